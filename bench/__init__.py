"""Benchmarks: how long the device's loop takes, against a yardstick, against others, for hours."""

from edge.cli import set_blas_threads

set_blas_threads()  # before a module of this package imports numpy
