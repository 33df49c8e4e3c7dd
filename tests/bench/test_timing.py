import pytest

from bench.timing import as_json, measure, timing


def test_percentiles_are_in_milliseconds():
    times = timing([number / 1000 for number in range(1, 101)])
    assert times.steps == 100
    assert as_json(times) == {"p50": 50.5, "p95": 95.05, "p99": 99.01, "max": 100.0}


def test_one_time_is_all_percentiles():
    assert set(as_json(timing([0.002])).values()) == {2.0}


def test_no_time_is_refused():
    with pytest.raises(ValueError, match="got no times"):
        timing([])


def test_calls_run_in_turn_and_the_first_round_is_left_out():
    calls = []
    times = measure({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, 3)
    assert calls == ["a", "b"] * 4
    assert [len(times[name]) for name in ("a", "b")] == [3, 3]
