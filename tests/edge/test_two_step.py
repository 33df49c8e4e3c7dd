import functools
import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from edge.acoustics import array_spectra
from edge.array import load_array
from edge.beamform import Beamformer
from edge.bundle import Bundle, Manifest
from edge.clock import StageClock
from edge.features import FeatureExtractor, FeatureSettings, logmel, mel_bank
from edge.geometry import angle_between_deg, unit_vector
from edge.runtime import build_pipeline, build_system
from edge.stft import StftSettings
from edge.systems.two_step import FUSED, NETS, TwoStep
from edge.systems.two_step_settings import TwoStepSettings
from edge.types import AudioBlock, Event, Spectra

NAMES = ("bell", "dog", "door", "voice")
SILENCE = -1  # in place of the number of a label frame: not of the stream
TINY = StftSettings(sample_rate_hz=320, window_samples=32, hop_samples=16, nfft=32, frames_per_label=2)
SETTINGS = FeatureSettings("two_step", 3)
MEAN = np.arange(27, dtype=np.float32).reshape(3, 9) - 20
DEVIATION = 1 + np.arange(27, dtype=np.float32).reshape(3, 9) % 4

BELL, DOG, DOOR = (0, 30.0, 10.0), (1, -100.0, -40.0), (2, 170.0, 0.0)
SOUNDING = {
    "nothing": lambda label: [],
    "one": lambda label: [BELL],
    "mixed": lambda label: [BELL, DOOR, DOG][: label % 4],
    "seldom": lambda label: [DOG] if label % 10 == 9 else [],
}
LENGTHS = (0.9, 0.8, 0.7, 0.6)  # of the vector of a class where it sounds


@functools.cache
def spectra(label):
    """Noise as loud as the number of the label frame says, in tenths of a decibel: W and the first microphone alone."""
    shape = TINY.frames_per_label, SETTINGS.channels, TINY.bins
    if label == SILENCE:
        return Spectra(np.zeros(shape, np.complex64), 0)
    turned = np.exp(2j * np.pi * np.random.default_rng(label).uniform(size=shape))
    return Spectra((10 ** (label / 200) * turned).astype(np.complex64), label * TINY.frames_per_label)


def extractor():
    return FeatureExtractor(SETTINGS, TINY, MEAN, DEVIATION)


@functools.cache
def maps(label):
    return extractor()(spectra(label)).maps


@functools.cache
def beam_maps(array, label, tracks):
    """What is to be heard of a label frame toward its tracks: by hand, normalised as the log-mel of W."""
    beams = beamformer(array)(spectra(label).bins[:, 4:], np.array(tracks, np.float32))
    return (logmel(beams, mel_bank(SETTINGS, TINY)) - MEAN[:, :1]) / DEVIATION[:, :1]


@functools.cache
def beamformer(array):
    return Beamformer(load_array(array), TINY)


class Scene:
    """Nets that answer from a table: `sounds` says what sounds in a label frame: class, azimuth, elevation."""

    def __init__(self, sounds="mixed", fused=FUSED, array="foa"):
        self.sounds_at = SOUNDING.get(sounds, sounds)
        self.fused, self.array = fused, array
        self.calls = []  # step, name, numbers of the label frames
        self.stepped = 0
        self.nets = {name: FakeNet(self, name) for name in NETS}

    def system(self, **changes):
        array, nets = load_array(self.array), self.nets
        return TwoStep(nets, extractor(), TINY, len(NAMES), TwoStepSettings(**changes), array, self.fused)

    def count(self, name):
        return sum(called == name for _, called, _ in self.calls)

    def windows(self, name):
        return [numbers for _, called, numbers in self.calls if called == name]

    def steps(self):
        """In which steps each was at work."""
        names = dict.fromkeys(called for _, called, _ in self.calls)
        return {name: sorted({step for step, called, _ in self.calls if called == name}) for name in names}

    def step(self, system, label):
        self.stepped = label
        return list(system.step(spectra(label)))

    def answers(self, system, labels, finish=True):
        answers = [answer for label in labels for answer in self.step(system, label)]
        return answers + (list(system.finish()) if finish else [])

    def check(self, answers, labels, slots=3):
        """Every label frame is answered once, in order, with what is true there, as far as there are slots."""
        assert [answer.start + n for answer in answers for n in range(len(answer.activity))] == list(labels)
        for answer in answers:
            assert answer.activity.dtype == answer.direction.dtype == np.float32
            assert answer.activity.shape == (len(answer.activity), slots, len(NAMES))
            wanted, where = np.zeros_like(answer.activity), np.zeros((len(answer.activity), slots, 3))
            for n in range(len(wanted)):
                sounds = sorted(self.sounds_at(answer.start + n))[:slots]  # the first classes are the strongest
                for slot, (index, azimuth, elevation) in enumerate(sounds):
                    wanted[n, slot, index] = LENGTHS[index]
                    where[n, slot] = unit_vector(azimuth, elevation)
            assert_allclose(answer.activity, wanted, atol=1e-6)
            assert_allclose(answer.direction, where, atol=1e-6)

    def tracks_at(self, number):
        """Three vectors. Silence it has not learnt: a track is there."""
        if number == SILENCE:
            return ((0.0, 0.9, 0.0), *((0.0, 0.0, 0.0),) * 2)
        there = [tuple((0.9 * unit_vector(*angles)).tolist()) for _, *angles in self.sounds_at(number)]
        return tuple([*there, *((0.1, -0.1, 0.3),) * 3][:3])

    def accdoa_at(self, number):
        """(tracks, 3, classes). Something small everywhere."""
        output = np.full((3, 3, len(NAMES)), 0.1)
        for track, (index, *angles) in enumerate([BELL] if number == SILENCE else self.sounds_at(number)):
            output[track, :, index] = LENGTHS[index] * unit_vector(*angles)
        return output


class FakeNet:
    """One net of a scene. It refuses what no correct loop would give; what it says where none is to read is wrong."""

    def __init__(self, scene, name):
        self.scene, self.name = scene, name
        self.answer = getattr(self, name)

    def __call__(self, past=None, *, features, **told):
        part = slice(7, 9) if self.name == "sed" else slice(0, 7)
        level = features[:: TINY.frames_per_label, 0, 0] - maps(0)[0, 0, part.start]
        numbers = [
            SILENCE if number < -200 else round(number) for number in (10 * level * DEVIATION[0, part.start]).tolist()
        ]
        assert_array_equal(features, np.concatenate([maps(number)[..., part] for number in numbers]))
        self.scene.calls.append((self.scene.stepped, self.name, numbers))
        return self.answer(numbers, **told)

    def doa(self, numbers):
        output = np.array([self.scene.tracks_at(number) for number in numbers], np.float32)
        return {"output": output.reshape(len(numbers), 9), "hidden": hidden("doa", numbers)}

    def sed(self, numbers):
        return {"hidden": hidden("sed", numbers), "output": None}

    def fusion(self, numbers, **told):
        assert tuple(told) == self.scene.fused
        tracks = [tuple(map(tuple, self.scene.tracks_at(number))) for number in numbers]
        for name in told:
            if name == "beams":
                heard = [beam_maps(self.scene.array, *each) for each in zip(numbers, tracks, strict=True)]
                assert_allclose(told["beams"], np.concatenate(heard), atol=1e-4)
            else:
                assert_array_equal(told[name], hidden(name, numbers))
        output = np.array([self.scene.accdoa_at(number) for number in numbers], np.float32)
        return {"output": output.reshape(len(numbers), 9 * len(NAMES))}

    def fresh(self):
        return {}


def hidden(name, numbers):
    """What a net knows of label frames besides its output."""
    return np.array([[number, len(name), *name.encode()[:2]] for number in numbers], np.float32)


def joined(answers):
    return [np.concatenate([getattr(each, name) for each in answers]) for name in ("activity", "direction")]


# The stream, in label frames


def test_streams_of_any_length_are_answered_label_by_label():
    """The defaults, for lengths from one label frame to more than three windows."""
    scene = Scene()
    system = scene.system()
    for length in [*range(1, 14), 29, 60, 113, 150]:
        system.reset()
        scene.check(scene.answers(system, range(length)), range(length))


@settings(max_examples=30)
@given(st.data())
def test_windows_of_any_size_answer_label_by_label(data):
    window, length, slots = data.draw(st.integers(1, 12)), data.draw(st.integers(0, 40)), data.draw(st.integers(1, 3))
    changes = {"window_labels": window, "hop_labels": data.draw(st.integers(1, window)), "max_overlap": slots}
    scene = Scene(data.draw(st.sampled_from(["mixed", "seldom"])))
    scene.check(scene.answers(scene.system(**changes), range(length)), range(length), slots)


@pytest.mark.parametrize("resumed", [25, 100, 3])
def test_a_gap_closes_the_stream_and_begins_another(resumed):
    scene = Scene()
    labels = [*range(17), *range(resumed, resumed + 45)]
    scene.check(scene.answers(scene.system(), labels), labels)


def test_after_a_gap_nothing_of_before_is_heard():
    """Nor by the beams: the fusion net would refuse them."""
    scene = Scene()
    system = scene.system(window_labels=8, hop_labels=4)
    scene.answers(system, range(14), finish=False)
    scene.calls.clear()
    scene.answers(system, range(40, 49), finish=False)
    assert scene.windows("doa")[-1] == scene.windows("fusion")[-1] == [SILENCE, SILENCE, *range(40, 46)]


def test_reset_and_finish_equal_a_new_system():
    scene = Scene()
    fresh = joined(scene.answers(scene.system(window_labels=8, hop_labels=5), range(33)))
    system = scene.system(window_labels=8, hop_labels=5)
    scene.answers(system, range(27), finish=False)
    system.reset()
    for _ in range(2):
        again = scene.answers(system, range(33))
        scene.check(again, range(33))
        for one, other in zip(joined(again), fresh, strict=True):
            assert_array_equal(one, other)
        system.reset()
    assert list(system.finish()) == []
    scene.check([*scene.answers(system, range(7)), *scene.answers(system, range(7, 20))], range(20))


# Windows, and the nets one after the other


@pytest.mark.parametrize(
    ("hop", "windows"),
    [
        (4, [[SILENCE, SILENCE, *range(6)], [*range(2, 10)], [*range(6, 14)], [10, 11, 12, 13, 14, *[SILENCE] * 3]]),
        (5, [[SILENCE, SILENCE, *range(6)], [*range(3, 11)], [*range(8, 15), SILENCE]]),  # the odd one comes before
        (8, [[*range(8)], [*range(8, 15), SILENCE]]),
    ],
)
def test_windows_overlap_as_the_settings_say_with_silence_before_and_after(hop, windows):
    scene = Scene("one")
    scene.answers(scene.system(window_labels=8, hop_labels=hop), range(15))
    assert scene.windows("doa") == scene.windows("sed") == scene.windows("fusion") == windows


def test_silence_costs_one_net_a_window():
    scene = Scene("nothing")
    scene.check(scene.answers(scene.system(), range(150)), range(150))
    assert scene.count("doa") == 15 and scene.count("sed") == scene.count("fusion") == 0


def test_the_others_run_where_doa_is_sure_in_what_is_answered():
    scene = Scene(lambda label: [BELL] if label in (3, 21) else [])
    scene.check(scene.answers(scene.system(window_labels=10, hop_labels=6), range(36)), range(36))
    assert scene.count("doa") == 6
    wanted = [[SILENCE, SILENCE, *range(8)], [*range(16, 26)]]  # not the one from 10 on, which hears 21 at its end
    assert scene.windows("sed") == scene.windows("fusion") == wanted


@pytest.mark.parametrize(("sure", "heard"), [(0.5, [6, 7]), (0.45, [4, 5, 6, 7]), (0.65, [])])
def test_doa_is_sure_of_a_track_that_is_longer_than_the_setting(sure, heard):
    """Any of them. What is asked about a window is believed, also about the label frame where DOA was not sure."""
    scene = Scene("one")
    scene.tracks_at = lambda number: ((0.1, 0.1, 0.1), (0.0, 0.0, 0.1), (0.0, -min(number, 6) / 10, 0.0))
    activity, _ = joined(scene.answers(scene.system(window_labels=2, hop_labels=2, sure=sure), range(8)))
    assert np.flatnonzero(activity.any(axis=(1, 2))).tolist() == heard


def recorded(scene, monkeypatch):
    """Beams are among the calls of the scene."""

    class Recorded(Beamformer):
        def __call__(self, bins, vectors):
            scene.calls.append((scene.stepped, "beams", []))
            return super().__call__(bins, vectors)

    monkeypatch.setattr("edge.systems.two_step.Beamformer", Recorded)


def test_the_nets_and_beams_of_a_window_take_a_step_each(monkeypatch):
    scene = Scene("one")
    recorded(scene, monkeypatch)
    scene.answers(scene.system(window_labels=10, hop_labels=6), range(30), finish=False)
    began = np.array([7, 13, 19, 25])
    assert scene.steps() == {name: list(began + n) for n, name in enumerate(("doa", "beams", "sed", "fusion"))}


@pytest.mark.parametrize("hop", [4, 5, 9])
def test_with_hops_of_four_labels_and_more_no_step_asks_twice(monkeypatch, hop):
    scene = Scene()
    recorded(scene, monkeypatch)
    scene.answers(scene.system(window_labels=9, hop_labels=hop), range(60), finish=False)
    steps = list(itertools.chain(*scene.steps().values()))
    assert len(steps) == len(set(steps)) > 4 * 60 // hop - 10


def test_stages_are_timed_by_name():
    scene = Scene("one")
    system = scene.system(window_labels=10, hop_labels=6)
    system.clock = StageClock(now_ns=itertools.count(0, 1000).__next__)
    for label in range(30):
        scene.step(system, label)
        system.clock.end()
    stages = system.clock.stages()
    assert list(stages) == ["features", "doa", "beams", "sed", "fusion", "accdoa"]
    assert [timing.steps for timing in stages.values()] == [30, 4, 4, 4, 4, 4]


# What the fusion net is told


@pytest.mark.parametrize("fused", [(), ("doa",), ("beams",), ("sed",), ("beams", "sed"), ("doa", "sed")])
def test_what_the_fusion_net_does_not_take_is_not_computed(monkeypatch, fused):
    """It refuses what it was not promised."""
    scene = Scene(fused=fused)
    recorded(scene, monkeypatch)
    scene.check(scene.answers(scene.system(window_labels=10, hop_labels=6), range(30)), range(30))
    assert set(scene.steps()) == {"doa", "fusion", *({"beams", "sed"} & set(fused))}
    steps = scene.steps()
    assert set(np.subtract(steps["fusion"][:3], steps["doa"][:3])) == {3}  # whether or not: as late


def test_beams_are_those_of_the_array():
    scene = Scene()
    system = scene.system(window_labels=10, hop_labels=6)
    for array in ("em32_tetra", "open_tetra", "foa"):
        scene.array = array
        system.set_array(load_array(array))
        assert system.array == load_array(array)
        scene.check(scene.answers(system, range(20)), range(20))
        system.reset()
    scene.array = "em32_tetra"
    with pytest.raises(AssertionError, match="Not equal to tolerance"):  # the fusion net hears a difference
        scene.answers(system, range(20))


# Latency and quality


@pytest.mark.parametrize("sizes", [(50, 10), (10, 2), (7, 7), (9, 1), (10, 7)])
def test_an_answer_comes_no_later_than_the_latency_says(sizes):
    scene = Scene("seldom")
    system = scene.system(window_labels=sizes[0], hop_labels=sizes[1])
    waited, end = [], 0
    for label in range(130):
        for answer in scene.step(system, label):
            assert answer.start == end
            end += len(answer.activity)
            waited += [label + 1 - n for n in range(answer.start, end)]  # labels from its beginning to now
    assert max(waited) * TINY.label_s == pytest.approx(system.latency_s)
    assert 130 - end < system.latency_s / TINY.label_s  # and none is held back longer


def test_lower_levels_are_longer_hops():
    scene = Scene("nothing")
    assert scene.system(window_labels=40, hop_labels=40).levels == ("windows every 4.0 s",)
    system = scene.system()
    assert system.levels == tuple(f"windows every {hop} s" for hop in (1.0, 2.0, 4.0, 5.0))
    for level, (windows, latency_s) in enumerate([(40, 1.0 + 2.0), (20, 2.0 + 1.5), (10, 4.0 + 0.5), (8, 5.0)]):
        system.reset()
        system.set_level(level)
        assert system.latency_s == pytest.approx(latency_s + 0.3)  # each net and the beams a step of their own
        scene.calls.clear()
        scene.answers(system, range(400))
        assert scene.count("doa") == windows


@settings(max_examples=20)
@given(st.integers(1, 9), st.lists(st.tuples(st.integers(0, 59), st.integers(0, 9)), max_size=6))
def test_a_change_of_level_loses_nothing_and_repeats_nothing(hop, changes):
    scene = Scene(fused=("doa",))
    system = scene.system(window_labels=9, hop_labels=hop)
    at = {label: index % len(system.levels) for label, index in changes}
    most, answers = 0.0, []
    for label in range(60):
        if label in at:
            system.set_level(at[label])
        most = max(most, system.latency_s)
        for answer in scene.step(system, label):
            assert (label + 1 - answer.start) * TINY.label_s <= most + 1e-9
            answers.append(answer)
    scene.check([*answers, *system.finish()], range(60))


# Slots


@pytest.mark.parametrize(("threshold", "found"), [(0.5, [5, 6]), (0.35, [3, 4, 5, 6]), (0.7, [6])])
def test_the_threshold_is_on_the_length(threshold, found):
    scene = Scene("one")
    scene.accdoa_at = lambda number: np.full((3, 3, len(NAMES)), max(number, 0) % 7 / 8 / np.sqrt(3))
    activity, direction = joined(scene.answers(scene.system(threshold=threshold, max_overlap=1), range(7)))
    assert np.flatnonzero(activity.any(axis=(1, 2))).tolist() == found
    assert_allclose(direction[found, 0], np.full((len(found), 3), np.sqrt(1 / 3)), atol=1e-6)


def test_tracks_of_a_class_that_are_near_are_one_and_slots_are_as_many_as_may_sound():
    """The same class from 0 and 20 degrees."""
    scene = Scene("one")
    vectors = np.stack([0.9 * unit_vector(0.0, 0.0), np.zeros(3), 0.8 * unit_vector(20.0, 0.0)])
    scene.accdoa_at = lambda number: vectors[..., None] * np.eye(len(NAMES))[2]
    for slots, unify_deg, sounding in ((3, 15.0, 2), (3, 21.0, 1), (1, 15.0, 1), (2, 15.0, 2)):
        system = scene.system(max_overlap=slots, unify_deg=unify_deg)
        activity, direction = joined(scene.answers(system, range(12)))
        assert activity.shape[1] == direction.shape[1] == slots
        assert_array_equal(np.flatnonzero(activity[5]), 2 + 4 * np.arange(sounding))
        angle_deg = angle_between_deg(direction[5, 0], unit_vector(0.0, 0.0))
        assert angle_deg == pytest.approx(9.4 if unify_deg > 20 else 0.0, abs=0.1)


@settings(max_examples=25)
@given(st.integers(0, 10**6), st.integers(1, 3))
def test_whatever_the_nets_say_slots_are_unit_vectors_of_one_class(seed, slots):
    def say(number, width):
        rng = np.random.default_rng([seed, number + 1, width])
        return (rng.uniform(-1.2, 1.2, (3, 3, width)) * rng.integers(0, 2, (3, 1, width))).round(rng.integers(0, 4))

    scene = Scene(fused=("sed",))
    scene.tracks_at = lambda number: tuple(map(tuple, say(number, 1)[..., 0]))
    scene.accdoa_at = lambda number: say(number, len(NAMES))
    system = scene.system(window_labels=8, hop_labels=6, max_overlap=slots)
    activity, direction = joined(scene.answers(system, range(40)))
    assert activity.any()
    assert activity.max() <= 1.0 and not np.any((activity > 0) & (activity <= 0.5))
    live = np.any(activity > 0, axis=-1)
    assert_array_equal(np.sum(activity > 0, axis=-1), live)
    assert_allclose(np.linalg.norm(direction, axis=-1), live, atol=1e-5)


# Settings and bundles


NONSENSE = {"max_overlap": (0, 4), "threshold": (0.0, 1.0), "sure": (0.0, 1.0), "unify_deg": (-1.0, 91.0)}


@pytest.mark.parametrize("name", [*NONSENSE, "hop_labels"])
def test_settings_that_make_no_sense(name):
    for value in NONSENSE.get(name, (0, 51)):
        with pytest.raises(ValueError, match=rf"^got .*{name} {value}, wanted "):
            TwoStepSettings(**{name: value})


CLASSES, BANDS = ("low", "high"), 64
SHAPES = {
    "doa": {"inputs": {"features": [100, BANDS, 7]}, "outputs": {"output": [20, 6], "hidden": [20, 3]}},
    "sed": {"inputs": {"features": [100, BANDS, 2]}, "outputs": {"hidden": [20, 1]}},
    "fusion": {
        "inputs": {"features": [100, BANDS, 7], "beams": [100, BANDS, 2], "doa": [20, 3], "sed": [20, 1]},
        "outputs": {"output": [20, 18]},
    },
}
FEATURES = FeatureSettings("two_step", BANDS)
NO_NETS = dict.fromkeys(NETS)


def bundle(shapes=SHAPES, features=FEATURES, **changes):
    """A bundle without files: what its nets are is only described."""
    nets = {name: {"file": f"{name}.tflite", "sha256": "", **tensors} for name, tensors in shapes.items()}
    known = {"format": 1, "name": "tiny", "system": "two_step", "precision": "float32", "class_names": CLASSES}
    asked = {"window_labels": 20, "hop_labels": 10}
    manifest = Manifest(**known, statistics_sha256="", nets=nets, features=features, settings=asked)
    statistics = [fill((BANDS, 9), np.float32) for fill in (np.zeros, np.ones)]
    return Bundle(replace(manifest, **changes), {}, *statistics)


def test_a_bundle_is_told_by_its_system_and_its_settings_can_be_overridden():
    system = build_system(bundle(), nets=NO_NETS)
    assert isinstance(system, TwoStep)
    assert system.latency_s == pytest.approx(1.0 + 0.5 + 0.3)
    assert system.array == load_array("foa")
    assert build_system(bundle(arrays=("open_tetra",)), nets=NO_NETS).array == load_array("open_tetra")
    system = build_system(bundle(shapes={}), nets=NO_NETS, overrides={"hop_labels": 20, "max_overlap": 2})
    assert system.latency_s == pytest.approx(2.3) and system.settings.max_overlap == 2
    with pytest.raises(ValueError, match=r"^system: got unknown key 'overlap', wanted one of max_overlap, "):
        build_system(bundle(), nets=NO_NETS, overrides={"overlap": 3})


def test_a_bundle_that_does_not_fit_says_what_is_missing():
    with pytest.raises(ValueError, match=r"^tiny: got nets doa, fusion, wanted also sed$"):
        build_system(bundle(), nets=dict.fromkeys(("fusion", "doa")))
    with pytest.raises(ValueError, match=r"^tiny: got features 'logmel_iv', wanted 'two_step'$"):
        build_system(bundle(features=FeatureSettings()), nets=NO_NETS)
    wanted = r"got features of shape \[100, 64, 7\], wanted \[150, 64, 7\] by window_labels 30$"
    with pytest.raises(ValueError, match=rf"^tiny: doa: {wanted}"):
        build_system(bundle(), nets=NO_NETS, overrides={"window_labels": 30})


def changed(name, kind, tensor, *shape):
    """Shapes with one that is another, or is missing."""
    tensors = {other: known for other, known in SHAPES[name][kind].items() if other != tensor}
    return {**SHAPES, name: {**SHAPES[name], kind: tensors | ({tensor: list(shape)} if shape else {})}}


def test_every_tensor_is_looked_for():
    for name, tensors in SHAPES.items():
        for kind, tensor in [(kind, tensor) for kind, shapes in tensors.items() for tensor in shapes]:
            shape = tensors[kind][tensor]
            broken = [changed(name, kind, tensor, 8, *shape[1:]), changed(name, kind, tensor, *shape[:-1], 8)]
            if tensor not in FUSED or kind == "outputs":
                broken.append(changed(name, kind, tensor))
            for each in broken:
                with pytest.raises(ValueError, match=r"^tiny: \w+: got \w+ of shape .*, wanted \[.*window_labels 20$"):
                    build_system(bundle(each), nets=NO_NETS)


# The whole pipeline


class Ear:
    """A net made of means over the features of each label frame, and of what it is told."""

    def __init__(self, answer):
        self._answer = answer

    def __call__(self, past=None, **inputs):
        means = {name: value.reshape(20, -1, *value.shape[1:]).mean(axis=1) for name, value in inputs.items()}
        return {name: value.astype(np.float32) for name, value in self._answer(**means).items()}

    def fresh(self):
        return {}


def low_against_high(levels_db):
    return levels_db[:, :32].mean(axis=1) - levels_db[:, 32:].mean(axis=1)


def ear_located(features, sign=1):
    """Intensity y, z, x where W is louder than the noise, of bands below spatial aliasing."""
    vectors = sign * features[:, :32, [6, 4, 5]].mean(axis=1)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True) + 1e-9
    loud = features[..., 0].mean(axis=1, keepdims=True) > -50.0
    return {"output": np.hstack([0.9 * vectors * loud, 0 * vectors]), "hidden": vectors}


def ear_classified(features):
    return {"hidden": low_against_high(features[..., 0])[:, None]}


def ear_fused(features, beams=None, *, doa, sed):
    """The class as SED and the beam say, if the beam is no quieter than W; in the direction that DOA says."""
    beam, w = features[..., 0] if beams is None else beams[..., 0], features[..., 0]
    low = 1 / (1 + np.exp(-(sed[:, 0] + low_against_high(beam)) / 10))
    lengths = np.stack([low, 1 - low], axis=1) * ((beam - w).mean(axis=1, keepdims=True) > -2.0)
    output = np.zeros((20, 3, 3, len(CLASSES)))
    output[:, 1] = doa[..., None] * lengths[:, None]
    return {"output": output.reshape(20, -1)}


def pipeline_with_ears(array="foa", shapes=SHAPES, **ears):
    nets = {"doa": Ear(ear_located), "sed": Ear(ear_classified), "fusion": Ear(ear_fused)} | ears
    return build_pipeline(bundle(shapes), load_array(array), build_system(bundle(shapes), nets=nets))


def run_through(pipeline, blocks):
    return [item for block in blocks for item in pipeline.push(block)] + list(pipeline.finish())


def events_of(items):
    return [item for item in items if isinstance(item, Event)]


def heard(items):
    return [(event.name, round(event.onset_s, 6), round(event.offset_s, 6)) for event in events_of(items)]


def check_direction(event, direction, within_deg=1.0):
    got = unit_vector(event.azimuth_deg, event.elevation_deg)
    assert angle_between_deg(got, unit_vector(*direction)) < within_deg


HEARD = [("low", 0.2, 0.7), ("high", 2.2, 2.5)]


@pytest.fixture
def with_gap(sounds, cut):
    """A function that cuts 2.5 s of sound: from 0.7 s to 2.07 s nothing was heard."""

    def blocks(size):
        after = cut(sounds[68_900:79_200], size, start=49_700)
        after[0] = AudioBlock(after[0].samples, 49_700, lost=49_700 - 16_800)
        return [*cut(sounds[19_200:36_000], size), *after]

    return blocks


def test_events_and_rows_do_not_depend_on_the_blocks(with_gap, block_samples):
    pipeline = pipeline_with_ears()
    whole = run_through(pipeline, with_gap(10**9))
    assert heard(whole) == HEARD
    for event, direction in zip(events_of(whole), ((30, -20), (-120, 40)), strict=True):
        check_direction(event, direction)
    pipeline.reset()
    assert run_through(pipeline, with_gap(block_samples)) == whole  # floats and all


def test_beams_that_look_elsewhere_are_quieter(with_gap):
    """So the events above came through them; and where there are no beams, the direction does not matter."""
    behind = Ear(lambda features: ear_located(features, sign=-1))
    assert heard(run_through(pipeline_with_ears(doa=behind), with_gap(4096))) == []
    unbeamed = pipeline_with_ears(shapes=changed("fusion", "inputs", "beams"), doa=behind)
    assert heard(run_through(unbeamed, with_gap(4096))) == HEARD


@pytest.mark.parametrize("array", ["foa", "em32_tetra", "open_tetra"])
@pytest.mark.parametrize("direction", [(30, -20), (-110, 45)])
def test_a_plane_wave_comes_out_of_the_loop_where_it_came_from(plane_wave, array, direction):
    """Through encoder, transform, features, beams, loop and decoder, from what the device delivers."""
    noise = np.convolve(np.random.default_rng(0).normal(0, 0.02, 12000), [2.0, *np.ones(15)], "same")  # more of the low
    samples, hz = plane_wave(noise, *direction), np.fft.rfftfreq(12000, 1 / 24000)
    if array != "foa":
        toward = unit_vector([direction[0]], [direction[1]])
        spectrum = np.fft.rfft(noise) * array_spectra(load_array(array).capsules, toward, hz)[0]
        samples = np.fft.irfft(spectrum, 12000, axis=1).T.astype(np.float32)
    (event,) = events_of(run_through(pipeline_with_ears(array), [AudioBlock(samples, 0)]))
    assert (event.name, event.onset_s, event.offset_s) == ("low", 0.0, 0.5)
    check_direction(event, direction, within_deg=1.0 if array == "foa" else 3.0)
