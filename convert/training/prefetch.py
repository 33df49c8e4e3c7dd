"""A function from the step number to the batch of that step -> batches in order, each made ahead of its time.

On a CPU the net has all cores, and one thread makes the next batch. A GPU would wait for that: there, processes make
them. A batch goes through a file in memory, as pickling it takes longer than to train on it.
"""

from __future__ import annotations

import math
import pickle
import shutil
import tempfile
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from convert.processes import process_pool
from convert.systems.batches import Batch, BatchFunction

_SLOTS_PER_PROCESS = 2  # one that is filled, one that waits
_MEMORY_FOLDER = Path("/dev/shm")  # files there are in memory; elsewhere they are until memory is short


def prefetched(batch: BatchFunction, first: int, last: int, workers: int) -> Iterator[Batch]:
    """The batches of steps `first` to `last` - 1, in order.

    Args:
        batch: A function from the step number to the batch; all batches have the same shapes. For processes it must be
            picklable.
        first: The first step.
        last: The step after the last one.
        workers: 1: a thread makes the batches. More: as many processes do, and the arrays of a batch are overwritten
            once the next batch is asked for.
    """
    if first >= last:
        return iter(())
    return _by_thread(batch, first, last) if workers == 1 else _by_processes(batch, first, last, workers)


def _by_thread(batch: BatchFunction, first: int, last: int) -> Iterator[Batch]:
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(batch, first)
        for step in range(first + 1, last):
            ready, coming = coming.result(), pool.submit(batch, step)
            yield ready
        yield coming.result()


@dataclass(frozen=True, slots=True)
class _Work:
    """What a process needs: how to make batches, and the file of slots that they are written to."""

    batch: BatchFunction
    file: Path
    layout: tuple[tuple[str | None, tuple[int, ...], np.dtype[Any]], ...]  # of a batch; the target has no name

    @property
    def slot_bytes(self) -> int:
        """Size of one batch."""
        return sum(math.prod(shape) * dtype.itemsize for _, shape, dtype in self.layout)

    def slot(self, index: int) -> Batch:
        """The arrays of a slot, not copied."""
        memory = np.memmap(self.file, np.uint8, "r+", index * self.slot_bytes, (self.slot_bytes,))
        arrays: dict[str | None, np.ndarray] = {}
        start = 0
        for name, shape, dtype in self.layout:
            arrays[name] = np.ndarray(shape, dtype, memory.data, start)
            start += arrays[name].nbytes
        target = arrays.pop(None)
        return {str(name): value for name, value in arrays.items()}, target


def _by_processes(batch: BatchFunction, first: int, last: int, workers: int) -> Iterator[Batch]:
    inputs, target = batch(first)
    layout = tuple((name, value.shape, value.dtype) for name, value in [*inputs.items(), (None, target)])
    count = min(_SLOTS_PER_PROCESS * workers, last - first)
    with ExitStack() as stack:
        size = count * sum(value.nbytes for value in [*inputs.values(), target])
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=_roomy_folder(size))))
        work = _Work(batch, folder / "batches", layout)
        work.file.write_bytes(bytes(size))
        pickled = pickle.dumps(work)
        slots = [work.slot(index) for index in range(count)]
        pool = stack.enter_context(process_pool(workers))
        coming = deque(pool.submit(_fill, pickled, first + index, index) for index in range(count))
        for step in range(first, last):
            coming.popleft().result()
            index = (step - first) % count
            yield slots[index]
            if step + count < last:
                coming.append(pool.submit(_fill, pickled, step + count, index))


def _fill(pickled: bytes, step: int, index: int) -> None:
    """In a process: write the batch of a step into a slot."""
    work = _unpickled(pickled)
    inputs, target = work.batch(step)
    slot_inputs, slot_target = work.slot(index)
    for name, value in inputs.items():
        slot_inputs[name][...] = value
    slot_target[...] = target


@lru_cache(maxsize=1)
def _unpickled(pickled: bytes) -> _Work:
    """The work of a process: it opens the feature cache once, not for every batch."""
    work: _Work = pickle.loads(pickled)
    return work


def _roomy_folder(size_bytes: int) -> Path | None:
    """A folder in memory with room for so much, or None."""
    if _MEMORY_FOLDER.is_dir() and shutil.disk_usage(_MEMORY_FOLDER).free > 2 * size_bytes:
        return _MEMORY_FOLDER
    return None
