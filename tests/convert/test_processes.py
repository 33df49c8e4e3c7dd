"""Pools of processes: results in order, errors where they are read, one thread and no GPU in each process."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import pytest

from convert.processes import process_pool
from tests.convert.work import asleep, doubled
from tests.paths import ROOT


def test_results_come_in_the_order_of_the_tasks_from_other_processes() -> None:
    with process_pool(2) as pool:
        results, places = zip(*pool.map(doubled, [3, 0, 1, 5, 2, 2]), strict=True)
    assert results == (6, 0, 2, 10, 4, 4)
    assert os.getpid() not in places


def test_an_error_in_a_process_is_raised_where_its_result_is_read() -> None:
    with process_pool(2) as pool:
        results = pool.map(doubled, [1, -1, 2])
        assert next(results)[0] == 2
        with pytest.raises(ValueError, match="got -1, wanted 0 or more"):
            next(results)


def test_a_process_that_ends_early_is_an_error_of_one_line() -> None:
    message = "^a worker process crashed or was killed, .*; fewer --jobs need less$"
    with pytest.raises(ChildProcessError, match=message) as caught, process_pool(1) as pool:
        list(pool.map(doubled, [99, 1]))
    assert isinstance(caught.value.__cause__, BrokenProcessPool)
    assert not multiprocessing.active_children()


def killed_when_all_work(pool: ProcessPoolExecutor, folder: Path) -> None:
    """Start four long tasks on two processes, and kill one of these when both work."""
    tasks = [pool.submit(asleep, folder) for _ in range(4)]
    first, _ = started(folder, 2)
    os.kill(first, signal.SIGKILL)
    for task in tasks:
        task.result()


def test_a_killed_process_ends_the_work_of_the_others_at_once(tmp_path: Path) -> None:
    with pytest.raises(ChildProcessError), process_pool(2) as pool:
        killed_when_all_work(pool, tmp_path)
    assert not multiprocessing.active_children()
    assert len(list(tmp_path.iterdir())) == 2  # no task was begun after that


def test_an_error_does_not_wait_for_tasks_that_are_left(tmp_path: Path) -> None:
    with pytest.raises(KeyError), process_pool(2) as pool:
        tasks = [pool.submit(asleep, tmp_path) for _ in range(4)]
        started(tmp_path, 2)
        raise KeyError(len(tasks))
    assert not multiprocessing.active_children()


def started(folder: Path, count: int) -> list[int]:
    """Wait for so many processes to begin their task; return their numbers."""
    wait_for(lambda: len(list(folder.iterdir())) >= count)
    return [int(path.name) for path in folder.iterdir()]


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)


def is_there(number: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        state = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def interrupted(program: str, folder: Path, number: signal.Signals, whole_group: bool) -> str:
    """Run a program whose processes sleep, send it a signal, and see that nothing is left; return its stderr."""
    (folder / "program.py").write_text(program)
    (folder / "tasks").mkdir()
    command = [sys.executable, str(folder / "program.py"), str(folder / "tasks")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as running:
        processes = started(folder / "tasks", 2)
        (os.killpg if whole_group else os.kill)(running.pid, number)
        _, err = running.communicate(timeout=120)
    assert running.returncode == -number
    wait_for(lambda: not any(map(is_there, processes)))
    assert sorted(processes) == sorted(started(folder / "tasks", 2))  # no further task was begun
    return err


PROGRAM = """
import signal, sys
from pathlib import Path
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts programs in the background without it
from convert.processes import process_pool
from tests.convert.work import asleep
if __name__ == "__main__":
    with process_pool(2) as pool:
        list(pool.map(asleep, 6 * [Path(sys.argv[1])]))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("whole_group", [False, True])
def test_no_process_is_left_behind_by_an_interrupt(number: signal.Signals, whole_group: bool, tmp_path: Path) -> None:
    """Ctrl-C in a terminal reaches the whole group, and a service manager or the kernel one process."""
    err = interrupted(PROGRAM, tmp_path, number, whole_group)
    if number == signal.SIGINT:
        assert "Process SpawnProcess" not in err  # only the program itself has a traceback


def test_processes_of_a_pool_have_one_thread_and_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    with process_pool(1) as pool:
        inside = [pool.submit(os.getenv, name).result() for name in ("OMP_NUM_THREADS", "JAX_PLATFORMS")]
    assert inside == ["1", "cpu"]
    assert (os.environ["OMP_NUM_THREADS"], os.getenv("JAX_PLATFORMS")) == ("7", None)
