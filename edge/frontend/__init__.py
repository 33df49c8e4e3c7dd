"""Blocks of samples -> spectra -> the maps that the nets see."""
