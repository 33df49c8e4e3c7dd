"""Processes beside the one that trains or renders, for work that can be cut into independent tasks."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager

CRASHED = "a worker process crashed or was killed, as the kernel does where memory is short; fewer --jobs need less"
_WATCH_S = 0.5
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
    guard. Functions and arguments must be picklable. An error in a process is raised where its result is read. No
    process outlives the block: where it ends with an error or an interrupt, they are ended at once, and they also end
    where the calling process is killed.

    Raises:
        ChildProcessError: A process ended before its work was done, so that the block had a `BrokenProcessPool`.
    """
    others = set(multiprocessing.active_children())
    with _environment(_ENVIRONMENT):  # until the end: the pool starts a process when there is work for it
        pool = ProcessPoolExecutor(count, multiprocessing.get_context("spawn"), prepare_process, (os.getpid(),))
        try:
            yield pool
        except BaseException as error:
            for process in set(multiprocessing.active_children()) - others:
                process.terminate()
            pool.shutdown(cancel_futures=True)
            if isinstance(error, BrokenProcessPool):
                raise ChildProcessError(CRASHED) from error
            raise
        pool.shutdown()


def prepare_process(caller: int) -> None:
    """In a process of a pool: leave interrupts to the calling process, and end with it.

    Ctrl-C reaches all processes of a terminal, and a process of a pool would go on with its next task.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with, args=(caller,), daemon=True).start()


def _end_with(caller: int) -> None:
    """Wait for the end of the process that made the pool, which may have been killed, and end this one."""
    while os.getppid() == caller:
        time.sleep(_WATCH_S)
    os._exit(1)


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
