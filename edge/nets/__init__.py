"""Quantized nets and the bundles that hold them."""
