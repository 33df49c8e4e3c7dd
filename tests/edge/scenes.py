"""What the tests of several systems share: label frames with known sounds, and checks of the answers."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from edge.geometry import angle_between_deg, unit_vector
from edge.types import AudioBlock, Event, FrameRow

NAMES = ("bell", "dog", "door", "voice")
SILENCE = -1  # in place of the number of a label frame: not of the stream

BELL, DOG, DOOR = (0, 30.0, 10.0), (1, -100.0, -40.0), (2, 170.0, 0.0)
SOUNDING = {
    "nothing": lambda label: [],
    "one": lambda label: [BELL],
    "two": lambda label: [DOG, BELL],
    "mixed": lambda label: [BELL, DOOR, DOG][: label % 4],
    "seldom": lambda label: [DOG] if label % 10 == 9 else [],
}
STRENGTHS = (0.9, 0.8, 0.7, 0.6)  # of a class where it sounds


class Scene:
    """A stream of label frames in which known sounds sound, and fake nets that answer from that knowledge.

    `sounds` maps the number of a label frame to its sounds: class, azimuth, elevation. The scene of a system is a
    subclass; it states its STFT, its fake nets, its number of slots, and how spectra encode the number of a label.
    """

    def __init__(self, sounds="mixed"):
        self.sounds_at = SOUNDING.get(sounds, sounds)
        self.calls = []  # step, name, numbers of the label frames
        self.stepped = 0
        self.nets = {name: self.net(self, name) for name in self.net_names}

    def count(self, name):
        return sum(called == name for _, called, _ in self.calls)

    def windows(self, name):
        return [numbers for _, called, numbers in self.calls if called == name]

    def steps(self):
        """The steps in which each net was called."""
        names = dict.fromkeys(called for _, called, _ in self.calls)
        return {name: sorted({step for step, called, _ in self.calls if called == name}) for name in names}

    def step(self, system, label):
        self.stepped = label
        return list(system.step(self.spectra(label)))

    def answers(self, system, labels, finish=True):
        answers = [answer for label in labels for answer in self.step(system, label)]
        return answers + (list(system.finish()) if finish else [])

    def check(self, answers, labels, slots=None):
        """Every label frame is answered once, in order, with its true sounds, as many as there are slots."""
        slots = slots or self.slots
        assert [answer.start + n for answer in answers for n in range(len(answer.activity))] == list(labels)
        for answer in answers:
            assert answer.activity.dtype == answer.direction.dtype == np.float32
            assert answer.activity.shape == (len(answer.activity), slots, len(NAMES))
            wanted, where = np.zeros_like(answer.activity), np.zeros((len(answer.activity), slots, 3))
            for n in range(len(wanted)):
                sounds = sorted(self.sounds_at(answer.start + n))[:slots]  # the first classes are the strongest
                for slot, (index, azimuth, elevation) in enumerate(sounds):
                    wanted[n, slot, index] = STRENGTHS[index]
                    where[n, slot] = unit_vector(azimuth, elevation)
            assert_allclose(answer.activity, wanted, atol=1e-6)
            assert answer.direction.shape == where.shape
            assert_allclose(answer.direction, where, atol=1e-6)

    def check_latency(self, system, labels=130):
        """No answer comes later than `latency_s`, and some come as late."""
        waited, end = [], 0
        for label in range(labels):
            for answer in self.step(system, label):
                assert answer.start == end
                end += len(answer.activity)
                waited += [label + 1 - n for n in range(answer.start, end)]  # labels from its beginning to now
        assert max(waited) * self.stft.label_s == pytest.approx(system.latency_s)
        assert labels - end < system.latency_s / self.stft.label_s  # and none is held back longer

    def check_changes_of_level(self, system, changes, labels):
        """With changes of level (label, index), nothing is lost, repeated or late."""
        at = {label: index % len(system.levels) for label, index in changes}
        most, answers = 0.0, []
        for label in range(labels):
            if label in at:
                system.set_level(at[label])
            most = max(most, system.latency_s)
            for answer in self.step(system, label):
                assert (label + 1 - answer.start) * self.stft.label_s <= most + 1e-9
                answers.append(answer)
        self.check([*answers, *system.finish()], range(labels))


def joined(answers):
    """Activity (labels, slots, classes) and direction (labels, slots, 3) of all answers."""
    return [np.concatenate([getattr(each, name) for each in answers]) for name in ("activity", "direction")]


def check_slots(activity, direction):
    """Each slot has one class above 0.5 and a unit vector, or is empty."""
    assert activity.any()
    assert activity.max() <= 1.0 and not np.any((activity > 0) & (activity <= 0.5))
    live = np.any(activity > 0, axis=-1)
    assert_array_equal(np.sum(activity > 0, axis=-1), live)
    assert_allclose(np.linalg.norm(direction, axis=-1), live, atol=1e-5)


# Whole pipelines


class Memory:
    """A sink that keeps everything."""

    def __init__(self):
        self.items = []

    def emit(self, item):
        self.items.append(item)

    def close(self):
        pass

    def events(self):
        return [(i.name, round(i.onset_s, 6), round(i.offset_s, 6)) for i in self.items if isinstance(i, Event)]

    def frames(self):
        return [i.frame for i in self.items if isinstance(i, FrameRow)]


def run_through(pipeline, blocks):
    return [item for block in blocks for item in pipeline.push(block)] + list(pipeline.finish())


def events_of(items):
    return [item for item in items if isinstance(item, Event)]


def heard(items):
    return [(event.name, round(event.onset_s, 6), round(event.offset_s, 6)) for event in events_of(items)]


def check_direction(event, direction, within_deg=1.0):
    got = unit_vector(event.azimuth_deg, event.elevation_deg)
    assert angle_between_deg(got, unit_vector(*direction)) < within_deg


def low_noise(count):
    """Noise (count,) with more power at low frequencies."""
    return np.convolve(np.random.default_rng(0).normal(0, 0.02, count), [2.0, *np.ones(15)], "same")


def around(count):
    """Yield `count` directions spread over the sphere: azimuth and elevation in degrees."""
    turn = np.pi * (3 - np.sqrt(5))
    for n in range(count):
        yield np.rad2deg(turn * n) % 360 - 180, np.rad2deg(np.arcsin((2 * n + 1) / count - 1))


def with_gap(cut, before, after, resumed, size):
    """Blocks of the samples before a gap and after it; the latter begin at sample `resumed`."""
    late = cut(after, size, start=resumed)
    late[0] = AudioBlock(late[0].samples, resumed, lost=resumed - len(before))
    return [*cut(before, size), *late]
