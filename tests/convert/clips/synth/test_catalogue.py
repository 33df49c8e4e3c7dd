"""Every model of the catalogue: what it renders is finite, audible, not clipped, and the same every time."""

import pickle
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convert.clips.sources.synthesis import SYNTHESIS
from convert.clips.synth.catalogue import MODELS, kinds_of, render
from convert.clips.synth.recording import LONGEST_S, record
from convert.clips.synth.tools import SAMPLE_RATE_HZ

KINDS = [(class_name, kind) for class_name in MODELS for kind in kinds_of(class_name)]


def check(clip: np.ndarray, rate_hz: int) -> None:
    assert rate_hz == SAMPLE_RATE_HZ and clip.dtype == np.float32 and clip.ndim == 1
    assert 0.05 * rate_hz < len(clip) <= LONGEST_S * rate_hz
    assert np.isfinite(clip).all()
    assert 0.15 < np.max(np.abs(clip)) <= 0.95 + 1e-6
    assert np.sqrt(np.mean(clip**2)) > 0.001
    assert abs(np.mean(clip)) < 0.02
    assert np.mean(clip == 0.0) < 0.01  # no digital silence


@pytest.mark.parametrize(("class_name", "kind"), KINDS, ids=[kind for _, kind in KINDS])
def test_each_kind_renders(class_name, kind):
    check(*render(class_name, kind, 0, 0))


@settings(max_examples=15, deadline=None)
@given(st.sampled_from(KINDS), st.integers(0, 2**31), st.integers(0, 2**31))
def test_any_thing_and_take_renders(what, thing, take):
    check(*render(*what, thing, take))


@pytest.mark.parametrize("class_name", MODELS)
def test_the_same_job_gives_the_same_samples_and_another_take_does_not(class_name):
    kind = kinds_of(class_name)[-1]
    (first, _), (again, _), (other, _) = (render(class_name, kind, 1, take) for take in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first[:1000], other[:1000])


def test_takes_of_one_telephone_have_its_tones():
    def loudest_hz(thing: int, take: int) -> float:
        clip, rate_hz = render("telephone", "beeper", thing, take)
        return float(np.argmax(np.abs(np.fft.rfft(clip))) * rate_hz / len(clip))

    same = [loudest_hz(5, take) for take in range(3)]
    other = [loudest_hz(thing, 0) for thing in (6, 7, 8)]
    assert max(same) - min(same) < 30 < max(other) - min(other)


def test_there_are_100_clips_of_12_groups_of_each_class():
    jobs = SYNTHESIS.jobs({})
    assert SYNTHESIS.packages == () and {job.licence for job in jobs} == set(SYNTHESIS.licences) == {"CC0-1.0"}
    assert min(Counter(job.class_name for job in jobs).values()) >= 100
    assert min(Counter(name for name, _ in {(job.class_name, job.group) for job in jobs}).values()) >= 12
    assert max(Counter((job.class_name, job.name) for job in jobs).values()) == 1
    job = pickle.loads(pickle.dumps(jobs[0]))
    np.testing.assert_array_equal(job.make()[0], jobs[0].make()[0])


def test_a_recording_has_margins_noise_and_a_room():
    click = np.zeros(2400)
    click[0] = 1.0
    margins, floors = [], []
    for session in range(20):
        clip = record(np.random.default_rng(session), np.random.default_rng(session), click)
        margins.append(int(np.argmax(np.abs(clip))))
        floors.append(np.std(clip[-1000:]))
    assert len(set(margins)) > 10 and max(margins) > 2400
    assert min(floors) > 0 and max(floors) > 10 * min(floors)
