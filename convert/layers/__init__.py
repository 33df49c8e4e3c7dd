"""Keras layers and blocks that survive the conversion to int8."""
