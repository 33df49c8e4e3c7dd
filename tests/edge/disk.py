"""A disk that is full."""

import resource
from contextlib import contextmanager


@contextmanager
def full_disk(size=0):
    """No file can grow beyond a size, pytest's own log too: a write across it is short, the next one fails."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
