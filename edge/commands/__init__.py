"""The commands of `seld-edge`, one module each: its options, and the function that runs it.

The modules import numpy and the rest of `edge` inside these functions only: the number of numpy's BLAS threads is set
before numpy is loaded, and `seld-edge --help` answers at once on a small board.
"""
