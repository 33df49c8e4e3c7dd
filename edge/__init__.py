"""The device runtime of seld-edge: microphones in, sound events with class and direction out.

numpy's BLAS is to spawn no threads, which has to be said before numpy is imported: one thread, unless the environment
or `blas_threads` in the settings of `seld-edge run` says otherwise.
"""

import os

__version__ = "0.1.0"
BLAS_THREADS = "OPENBLAS_NUM_THREADS"

os.environ.setdefault(BLAS_THREADS, "1")
