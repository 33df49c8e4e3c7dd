"""Keras nets -> int8 bundles."""
