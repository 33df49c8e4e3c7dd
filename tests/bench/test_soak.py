import os

import pytest

from bench.pace import run_paced
from bench.soak import SoakSample, slope, soak
from bench.steps import exhaust
from edge.nets.bundle import load_bundle


@pytest.fixture(scope="module")
def bundle(tiny_bundle):
    return load_bundle(str(tiny_bundle))


def test_a_soak_looks_at_memory_and_times_again_and_again(bundle):
    found = soak(bundle, 1, 0.01)  # 360 steps
    assert (found.steps, found.lost_samples, len(found.samples)) == (360, 0, 20)
    assert found.hours == pytest.approx(0.01)
    assert found.answers > 0 and found.p99_ms >= found.p50_ms > 0.0
    assert [sample.hours for sample in found.samples] == pytest.approx([(n + 1) / 2000 for n in range(20)])
    assert all(sample.rss_mb > 10.0 for sample in found.samples)
    assert 0 < found.least_descriptors == found.most_descriptors and abs(found.descriptors_per_hour) < 1e-6


def test_a_soak_finds_a_descriptor_that_stays_open(bundle, monkeypatch):
    opened = []

    def leak(pipeline, block):
        opened.append(open(os.devnull))  # noqa: PTH123, SIM115
        exhaust(pipeline, block)

    monkeypatch.setattr("bench.soak.exhaust", leak)
    found = soak(bundle, 1, 0.001)  # 36 steps, a sample after each
    for each in opened:
        each.close()
    assert len(opened) == found.steps == 36
    assert found.most_descriptors == found.least_descriptors + 35
    assert found.descriptors_per_hour == pytest.approx(36000.0)


def test_the_slope_leaves_the_first_samples_out():
    rss = [10.0, 90.0, *(100.0 + 2.5 * hour for hour in range(2, 8))]
    samples = [SoakSample(float(hour), value, 1.0, 2.0, 9) for hour, value in enumerate(rss)]
    assert slope(samples, "rss_mb") == pytest.approx(2.5)
    assert slope(samples, "p50_ms") == pytest.approx(0.0, abs=1e-9)


def test_a_soak_too_short_for_samples_is_refused(bundle):
    with pytest.raises(ValueError, match=r"got a soak of 0\.0005 hours, wanted at least 0\.00056"):
        soak(bundle, 1, 0.0005)


def test_in_real_time_a_second_takes_a_second(bundle):
    found = run_paced(bundle, 1, 0.7, step_ms=10_000.0)  # no step is late, however busy the machine is
    assert found.seconds == pytest.approx(0.7)
    assert found.wall_s >= 0.69
    assert found.cpu_percent > 0.0
    assert found.step.steps == 7 and found.lost_samples == 0
    assert (found.changes, found.full_after_s) == ((), 0.0)


def test_a_budget_that_cannot_be_held_is_told_of(bundle):
    found = run_paced(bundle, 1, 1.2, busy=1, step_ms=1e-3)
    assert found.late_steps == found.step.steps == 12
    assert found.changes and found.full_after_s is None
    assert 0.3 < found.busy_s[0] < found.busy_s[1] < found.wall_s
