"""Pools of processes: results in order, errors where they are read, one thread and no GPU in each process."""

from __future__ import annotations

import os
from concurrent.futures.process import BrokenProcessPool

import pytest

from convert.processes import process_pool
from tests.convert.work import doubled


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


def test_a_process_that_ends_early_is_an_error() -> None:
    with process_pool(1) as pool, pytest.raises(BrokenProcessPool):
        list(pool.map(doubled, [99, 1]))


def test_processes_of_a_pool_have_one_thread_and_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    with process_pool(1) as pool:
        inside = [pool.submit(os.getenv, name).result() for name in ("OMP_NUM_THREADS", "JAX_PLATFORMS")]
    assert inside == ["1", "cpu"]
    assert (os.environ["OMP_NUM_THREADS"], os.getenv("JAX_PLATFORMS")) == ("7", None)
