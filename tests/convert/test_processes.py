"""Processes that ask on the way: the same results, in order, for any number of them."""

from __future__ import annotations

import os

import pytest

from convert.processes import conversations, process_pool
from tests.convert.work import doubtful

TASKS = [3, 0, 1, 5, 2, 2]


@pytest.mark.parametrize("count", [1, 3])
def test_what_is_said_in_the_end_comes_in_the_order_of_the_tasks(count: int) -> None:
    totals, places = zip(*conversations(doubtful, TASKS, lambda question: 10 + question, count), strict=True)
    assert totals == tuple(sum(range(10, 10 + task)) for task in TASKS)
    assert (os.getpid() in places) == (count == 1)


@pytest.mark.parametrize("count", [1, 2])
def test_what_goes_wrong_in_a_process_goes_wrong_here(count: int) -> None:
    with pytest.raises(ValueError, match="got -1, wanted 0 or more"):
        list(conversations(doubtful, [1, -1, 2], lambda question: question, count))


def test_a_process_that_ends_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="a process ended in the middle of 99"):
        list(conversations(doubtful, [99, 1], lambda question: question, 2))


def test_processes_of_a_pool_have_one_thread_and_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    with process_pool(1) as pool:
        inside = [pool.submit(os.getenv, name).result() for name in ("OMP_NUM_THREADS", "JAX_PLATFORMS")]
    assert inside == ["1", "cpu"]
    assert (os.environ["OMP_NUM_THREADS"], os.getenv("JAX_PLATFORMS")) == ("7", None)
