"""A disk that is full, and the files of a folder that are open."""

import resource
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def full_disk(size=0):
    """No file can grow beyond a size, pytest's own log too: a write across it is short, the next one fails."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def open_files(folder):
    """The number of descriptors of a folder and of what is in it: other threads open and close what is theirs."""
    paths = []
    for fd in Path("/proc/self/fd").iterdir():
        try:
            paths.append(fd.readlink())
        except FileNotFoundError:  # closed since it was listed, like the listing itself
            continue
    return sum(path.is_relative_to(folder) for path in paths)
