"""Benchmarks: how long the device's loop takes, against a yardstick, against others, for hours.

`python -m bench.MODULE` imports numpy at once, so the number of its BLAS threads is set here, before that.
"""

from edge.cli import set_blas_threads

set_blas_threads()
