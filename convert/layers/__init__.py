"""Keras layers and blocks that survive int8 conversion."""
