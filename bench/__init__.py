"""Benchmarks of the device's loop: its time against a yardstick and against other systems, and over hours.

`python -m bench.MODULE` imports numpy at once, so the number of its BLAS threads is set here, before that.
"""

from edge.cli import set_blas_threads

set_blas_threads()
