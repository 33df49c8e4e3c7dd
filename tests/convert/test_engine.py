"""The engine of scenes and caches: results in order, errors where they are read, nothing left behind, Dask as well."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from convert.engine import compute_each
from tests.convert.test_processes import interrupted, is_there, wait_for
from tests.convert.work import doubled


def test_one_process_computes_in_the_calling_one() -> None:
    assert list(compute_each(doubled, [3, 0], jobs=1)) == [(6, os.getpid()), (0, os.getpid())]


def test_results_come_in_the_order_of_the_tasks_and_errors_where_they_are_read() -> None:
    results, places = zip(*compute_each(doubled, [3, 0, 1, 5, 2, 2], jobs=2), strict=True)
    assert results == (6, 0, 2, 10, 4, 4)
    assert os.getpid() not in places
    with pytest.raises(ValueError, match="got -1, wanted 0 or more"):
        list(compute_each(doubled, [1, -1, 2], jobs=2))
    wait_for(lambda: not any(map(is_there, places)))
    with pytest.raises(ValueError, match="got 0 jobs, wanted at least 1"):
        list(compute_each(doubled, [1], jobs=0))


def test_a_process_that_ends_early_is_an_error_of_one_line() -> None:
    message = "^a worker process crashed or was killed, .*; fewer --jobs need less$"
    with pytest.raises(ChildProcessError, match=message):
        list(compute_each(doubled, [99, 1], jobs=2))


PROGRAM = """
import signal, sys
from pathlib import Path
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts programs in the background without it
from convert.engine import compute_each
from tests.convert.work import asleep
if __name__ == "__main__":
    list(compute_each(asleep, 6 * [Path(sys.argv[1])], 2))
"""


@pytest.mark.parametrize(("number", "whole_group"), [(signal.SIGINT, True), (signal.SIGKILL, False)])
def test_no_process_is_left_behind_by_an_interrupt(number: signal.Signals, whole_group: bool, tmp_path: Path) -> None:
    interrupted(PROGRAM, tmp_path, number, whole_group)


def test_workers_of_dask_compute_the_same() -> None:
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
    ) as cluster:
        results = [result for result, _ in compute_each(doubled, [3, 0, 1], jobs=1, dask=cluster.scheduler_address)]
    assert results == [6, 0, 2]


def test_a_scheduler_that_is_not_there_is_an_error_of_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr("convert.engine._CONNECT_S", 1)
    with pytest.raises(ValueError, match=r"^--dask: got tcp://127.0.0.1:9, wanted a scheduler that answers"):
        list(compute_each(doubled, [1], jobs=1, dask="tcp://127.0.0.1:9"))
