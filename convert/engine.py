"""A function and tasks -> its results in order, computed in processes here (joblib) or on many machines (Dask)."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from joblib import Parallel, delayed
from joblib.externals.loky import get_reusable_executor

from convert.processes import CRASHED, prepare_process

Task = TypeVar("Task")
Result = TypeVar("Result")

_CONNECT_S = 10


def compute_each(
    work: Callable[[Task], Result], tasks: Sequence[Task], jobs: int, dask: str | None = None
) -> Iterator[Result]:
    """Call a function with each of some tasks, in several processes of one thread each.

    No process outlives the iteration: where it ends with an error or an interrupt, they are ended at once, and they
    also end where the calling process is killed.

    Args:
        work: A function that can be pickled. What it returns may depend on nothing but its task.
        tasks: The tasks. With more than one process, each of them should take a second or more.
        jobs: Number of processes; 1 computes in the calling process.
        dask: Address of a Dask scheduler, such as `tcp://host:8786`, whose workers compute instead. They need this
            package and the same files at the same paths.

    Yields:
        The results in the order of the tasks.

    Raises:
        ValueError: `jobs` is below 1, or there is no such scheduler.
        ChildProcessError: A process ended before its work was done.
    """
    if jobs < 1:
        raise ValueError(f"got {jobs} jobs, wanted at least 1")
    if dask is not None:
        yield from _on_dask(work, tasks, dask)
    elif jobs == 1:
        yield from map(work, tasks)
    else:
        yield from _in_processes(work, tasks, jobs)


def _in_processes(work: Callable[[Task], Result], tasks: Sequence[Task], jobs: int) -> Iterator[Result]:
    options: dict[str, Any] = {"inner_max_num_threads": 1, "initializer": prepare_process, "initargs": (os.getpid(),)}
    done = False
    try:
        parallel = Parallel(jobs, backend="loky", return_as="generator", batch_size=1, **options)
        yield from parallel(delayed(work)(task) for task in tasks)
        done = True
    except BrokenProcessPool as error:
        raise ChildProcessError(CRASHED) from error
    finally:
        get_reusable_executor().shutdown(wait=True, kill_workers=not done)


def _on_dask(work: Callable[[Task], Result], tasks: Sequence[Task], address: str) -> Iterator[Result]:
    try:
        from distributed import Client
    except ImportError:
        raise ValueError("--dask: got no package distributed, wanted it: pip install 'seld-edge[dask]'") from None
    try:
        client = Client(address, timeout=_CONNECT_S, set_as_default=False)
    except (OSError, ValueError) as error:
        raise ValueError(f"--dask: got {address}, wanted a scheduler that answers ({error})") from None
    with client:
        futures = client.map(work, tasks, pure=False)[::-1]
        while futures:
            yield futures.pop().result()  # popped, so that the cluster forgets what has been read
