"""Processes beside the one that trains or renders, for work that can be cut into independent tasks."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager

_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "JAX_PLATFORMS": "cpu",  # the GPU, if there is one, belongs to the process that trains
}


@contextmanager
def process_pool(count: int) -> Iterator[ProcessPoolExecutor]:
    """A pool of `count` processes of one thread each, without a GPU.

    Processes are spawned, not forked, as threads of Keras's backend may be running; a calling script needs a main
    guard. Functions and arguments must be picklable. An error in a process is raised where its result is read, and
    `concurrent.futures.process.BrokenProcessPool` if a process ends early.
    """
    with (
        _environment(_ENVIRONMENT),  # until the end: the pool starts a process when there is work for it
        ProcessPoolExecutor(count, multiprocessing.get_context("spawn")) as pool,
    ):
        yield pool


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set these environment variables inside, and restore them afterwards."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
