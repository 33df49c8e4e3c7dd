"""Blocks of FOA samples -> spectra -> the feature maps that nets take."""
