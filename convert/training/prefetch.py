"""A function from the step number to the batch of that step -> batches in order, each made ahead of its time.

On a CPU the net has all cores, and one thread makes the next batch. A GPU would wait for that: there, processes make
them, each in a piece of shared memory, as to send a batch takes longer than to train on it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from ctypes import Array, c_byte
from multiprocessing.sharedctypes import RawArray

import numpy as np

from convert.processes import process_pool

Batch = tuple[dict[str, np.ndarray], np.ndarray]
Layout = Sequence[tuple[str | None, tuple[int, ...], np.dtype]]  # of the arrays of a batch; the target has no name
_SLOTS_PER_PROCESS = 2  # one that is filled, one that waits


def prefetched(batch: Callable[[int], Batch], first: int, last: int, workers: int) -> Iterator[Batch]:
    """Batches `first` to `last` - 1. With more than one worker, processes, a batch is gone when the next is asked for.

    All batches have the same shapes; processes want a `batch` that can be pickled.
    """
    if first >= last:
        return iter(())
    return _by_thread(batch, first, last) if workers == 1 else _by_processes(batch, first, last, workers)


def _by_thread(batch: Callable[[int], Batch], first: int, last: int) -> Iterator[Batch]:
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(batch, first)
        for step in range(first + 1, last):
            ready, coming = coming.result(), pool.submit(batch, step)
            yield ready
        yield coming.result()


def _by_processes(batch: Callable[[int], Batch], first: int, last: int, workers: int) -> Iterator[Batch]:
    inputs, target = batch(first)
    layout: Layout = [(name, value.shape, value.dtype) for name, value in [*inputs.items(), (None, target)]]
    size = sum(value.nbytes for value in [*inputs.values(), target])
    slots = [RawArray(c_byte, size) for _ in range(min(_SLOTS_PER_PROCESS * workers, last - first))]
    with process_pool(workers, _start, (batch, slots, layout)) as pool:
        coming = deque(pool.submit(_fill, first + index, index) for index in range(len(slots)))
        for step in range(first, last):
            coming.popleft().result()
            index = (step - first) % len(slots)
            yield _batch_in(slots[index], layout)
            if step + len(slots) < last:
                coming.append(pool.submit(_fill, step + len(slots), index))


def _batch_in(slot: Array[c_byte], layout: Layout) -> Batch:
    """The arrays in a slot, not copied."""
    arrays: dict[str | None, np.ndarray] = {}
    start = 0
    for name, shape, dtype in layout:
        arrays[name] = np.ndarray(shape, dtype, memoryview(slot), start)
        start += arrays[name].nbytes
    target = arrays.pop(None)
    return {str(name): value for name, value in arrays.items()}, target


_work: tuple[Callable[[int], Batch], Sequence[Array[c_byte]], Layout]  # of a process


def _start(*work: object) -> None:
    global _work
    _work = work  # type: ignore[assignment]


def _fill(step: int, index: int) -> None:
    """In a process: the batch of a step goes into a slot."""
    batch, slots, layout = _work
    inputs, target = batch(step)
    place, place_of_target = _batch_in(slots[index], layout)
    for name, value in inputs.items():
        place[name][...] = value
    place_of_target[...] = target
