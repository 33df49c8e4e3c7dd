"""Functions that tests run in other processes, which import them from here."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np


def small_batch(step: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Two inputs of different types and a target, which differ from step to step; there is no thirteenth."""
    if step == 13:
        raise ValueError("got no such batch")
    rng = np.random.default_rng(step)
    return {"a": rng.normal(size=(2, 3)).astype(np.float32), "b": np.full((2,), step)}, rng.normal(size=(2, 1, 2))


def doubled(task: int) -> tuple[int, int]:
    """Twice the task, and the process that computed it; 99 ends the process."""
    if task < 0:
        raise ValueError(f"got {task}, wanted 0 or more")
    if task == 99:
        os._exit(1)
    return 2 * task, os.getpid()


def asleep(folder: Path) -> None:
    """Write a file that is named as the process, and work for ten minutes."""
    (folder / str(os.getpid())).touch()
    time.sleep(600)


def killed_batch(step: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """As `small_batch`, but the process of step 12 is killed by the kernel."""
    if step == 12:
        os.kill(os.getpid(), signal.SIGKILL)
    return small_batch(step)
