import json
from dataclasses import replace

import pytest

from bench.boards import BOARDS, Result, board_times, read_references, read_result

HERE = Result(
    "some PC", "coloc-edge", 1, mobilenet_v2_ms=3.15, step_p50_ms=1.5, step_p99_ms=2.0, real_time_factor=0.015
)
PI_4 = Result("Raspberry Pi 4 Model B Rev 1.4", "coloc-edge", 1, 47.25, 25.0, 31.0, 0.25)


def report_of(run):
    return {
        "machine": {"board": run.board},
        "model": run.model,
        "threads": run.threads,
        "mobilenet_v2_ms": run.mobilenet_v2_ms,
        "step_ms": {"p50": run.step_p50_ms, "p99": run.step_p99_ms},
        "real_time_factor": run.real_time_factor,
        "something": "else",
    }


def named(times, part):
    (found,) = [each for each in times if part in each.board]
    return found


def test_without_references_all_is_prediction():
    times = board_times(HERE, [])
    assert [each.board for each in times] == [board.name for board in BOARDS]
    assert {each.kind for each in times} == {"prediction"}
    assert all(each.source for each in times)


def test_a_machine_like_that_of_the_factors_is_scaled_by_them():
    pi_4 = named(board_times(HERE, []), "Pi 4")
    assert pi_4.step_p50_ms == pytest.approx((19.5, 27.0))
    assert pi_4.step_p99_ms == pytest.approx((26.0, 36.0))
    assert pi_4.real_time_factor == pytest.approx((0.195, 0.27))


def test_a_machine_twice_as_slow_gives_the_same_prediction():
    slow = replace(HERE, mobilenet_v2_ms=6.3, step_p99_ms=4.0, real_time_factor=0.03)
    for fast_times, slow_times in zip(board_times(HERE, []), board_times(slow, []), strict=True):
        assert slow_times.step_p99_ms == pytest.approx(fast_times.step_p99_ms)
        assert slow_times.real_time_factor == pytest.approx(fast_times.real_time_factor)


def test_a_run_on_the_board_replaces_the_prediction():
    times = board_times(HERE, [PI_4])
    pi_4 = named(times, "Pi 4")
    assert pi_4.kind == "measured"
    assert pi_4.step_p50_ms == (25.0, 25.0) and pi_4.step_p99_ms == (31.0, 31.0)
    assert pi_4.real_time_factor == (0.25, 0.25)
    assert [each.kind for each in times].count("prediction") == len(BOARDS) - 1


def test_a_run_of_another_model_replaces_the_yardstick_only():
    pi_4 = named(board_times(replace(HERE, model="other"), [PI_4]), "Pi 4")
    assert pi_4.kind == "prediction"
    assert pi_4.step_p99_ms == pytest.approx((30.0, 30.0))


def test_with_more_threads_there_are_measurements_only():
    assert board_times(replace(HERE, threads=4), [PI_4]) == []
    (pi_4,) = board_times(replace(HERE, threads=4), [replace(PI_4, threads=4)])
    assert pi_4.kind == "measured"


def test_reference_files(tmp_path):
    (tmp_path / "README.md").write_text("not a run")
    assert read_references(tmp_path) == []
    (tmp_path / "pi4.json").write_text(json.dumps(report_of(PI_4)))
    assert read_references(tmp_path) == [PI_4]


def test_those_that_are_shipped_can_be_read():
    for run in read_references():
        assert any(run.board.startswith(board.name) for board in BOARDS)


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", '{"machine": 3}', "[" * 100_000])
def test_a_file_that_is_no_run_is_refused(tmp_path, text):
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"a\.json: got something else, wanted what"):
        read_result(path)
    with pytest.raises(ValueError, match=r"b\.json: No such file"):
        read_result(tmp_path / "b.json")
