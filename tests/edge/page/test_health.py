import pytest

from edge.page.health import problems, step_times

WELL = {
    "step_ms": [1.0, 2.0], "budget_ms": 100.0, "level": "full", "best_level": "full", "lost_samples": 0,
    "repaired_samples": 0, "faulty_channels": "none", "temperature_c": 50.0,
    "outputs": [{"name": "jsonl:-", "works": True, "dropped": 0}],
}  # fmt: skip


def test_a_run_that_is_well_has_no_problems():
    assert problems(WELL) == []
    assert problems(WELL | {"step_ms": None, "temperature_c": None, "best_level": None, "level": None}) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"step_ms": [50.0, 130.0]}, "The machine is too slow: steps take up to 130 ms, and have 100 ms."),
        ({"step_ms": [50.0, 90.0]}, "The machine is nearly too slow: steps take up to 90 of 100 ms."),
        ({"level": "1 track"}, "Quality is reduced to keep up with the sound: 1 track."),
        ({"lost_samples": 9}, "9 samples were lost: sounds of that time were not heard."),
        ({"repaired_samples": 9}, "9 samples were no sound and were replaced: check the microphone."),
        ({"faulty_channels": "2 silent"}, "Microphone channel 2 silent: directions are wrong until it works."),
        ({"temperature_c": 81.4}, "The processor has 81 degrees and slows down: it needs cooling."),
        (
            {"outputs": [{"name": "mqtt:", "works": False, "dropped": 3}]},
            "The output mqtt: does not work: see the log.",
        ),
        ({"outputs": [{"name": "mqtt:", "works": True, "dropped": 3}]}, "The output mqtt: lost 3 messages."),
    ],
)
def test_each_problem_is_said_in_plain_words(change, words):
    assert problems(WELL | change) == [words]


def test_times_of_steps():
    assert step_times([], 100.0) is None
    times = step_times([float(number) for number in range(100)], 100.0)
    assert (times.p50_ms, times.p95_ms, times.budget_ms) == (50.0, 94.0, 100.0)
