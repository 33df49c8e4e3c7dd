import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from edge.array import foa_encoder, load_array
from edge.bundle import Bundle, Manifest
from edge.clock import StageClock
from edge.decode import Decoder, DecodeSettings
from edge.features import FeatureExtractor, FeatureSettings
from edge.geometry import angle_between_deg, azimuth_elevation_deg, unit_vector
from edge.runtime import Pipeline, build_system
from edge.stft import Stft, StftSettings
from edge.systems.etri import NETS, Etri, strongest
from edge.systems.etri_settings import EtriSettings
from edge.types import AudioBlock, Event, FeatureFrames, Spectra

NAMES = ("bell", "dog", "door", "voice")
SILENCE = -1  # in place of the number of a label frame: not of the stream
TINY = StftSettings(sample_rate_hz=40, window_samples=4, hop_samples=2, nfft=4, frames_per_label=2)  # labels of 0.1 s
MAPS = 13
QUICK = {"post_sed": False, "post_doa": False}

BELL, DOG, DOOR = (0, 30.0, 10.0), (1, -100.0, -40.0), (2, 170.0, 0.0)
SOUNDING = {
    "nothing": lambda label: [],
    "one": lambda label: [BELL],
    "two": lambda label: [DOG, BELL],
    "mixed": lambda label: [BELL, DOOR, DOG][: label % 4],
    "seldom": lambda label: [DOG] if label % 10 == 9 else [],
}
PROBABILITIES = {0: 0.9, 1: 0.8, 2: 0.7, 3: 0.6}  # of a class where it sounds


class Numbers:
    """Features of spectra that say the number of their label frame: that number in all maps."""

    channels, bands, map_names = 4, 3, tuple(str(number) for number in range(MAPS))

    def __init__(self, look_ahead_labels):
        self.look_ahead_labels = look_ahead_labels
        self.reset()

    def push(self, spectra):
        self._late.append(spectra)
        if len(self._late) > self.look_ahead_labels:
            yield self._features(self._late.pop(0))

    def finish(self):
        yield from (self._features(spectra) for spectra in self._late)
        self.reset()

    def reset(self):
        self._late = []

    def _features(self, spectra):
        number = round(float(spectra.bins[0, 0, 0].real)) - 1  # no spectra: silence
        return FeatureFrames(np.full((TINY.frames_per_label, self.bands, MAPS), number, np.float32), spectra.start)


class Scene:
    """Nets that answer from a table: `sounds` says what sounds in a label frame: class, azimuth, elevation."""

    def __init__(self, sounds="mixed"):
        self.sounds_at = SOUNDING.get(sounds, sounds)
        self.calls = []  # step, name, numbers of the label frames
        self.stepped = 0
        self.nets = {name: FakeNet(self, name) for name in NETS}

    def system(self, look_ahead_labels=1, **changes):
        system = Etri(self.nets, Numbers(look_ahead_labels), TINY, NAMES, EtriSettings(**changes))
        self.calls.clear()
        return system

    def count(self, name):
        return sum(called == name for _, called, _ in self.calls)

    def windows(self, name):
        return [numbers for _, called, numbers in self.calls if called == name]

    @staticmethod
    def spectra(label):
        bins = np.full((TINY.frames_per_label, 4, TINY.bins), label + 1, np.complex64)
        return Spectra(bins, label * TINY.frames_per_label)

    def step(self, system, label):
        self.stepped = label
        return list(system.step(self.spectra(label)))

    def answers(self, system, labels, finish=True):
        answers = [answer for label in labels for answer in self.step(system, label)]
        return answers + (list(system.finish()) if finish else [])

    def check(self, answers, labels, slots=2):
        """Every label frame is answered once, in order, with what is true there, as far as there are slots."""
        assert [answer.start + n for answer in answers for n in range(len(answer.activity))] == list(labels)
        for answer in answers:
            assert answer.activity.dtype == answer.direction.dtype == np.float32
            assert answer.activity.shape == (len(answer.activity), slots, len(NAMES))
            assert answer.direction.shape == (len(answer.activity), slots, 3)
            for n, (activity, direction) in enumerate(zip(answer.activity, answer.direction, strict=True)):
                sounds = sorted(self.sounds_at(answer.start + n))[:slots]  # the first classes are the most probable
                wanted, where = np.zeros_like(activity), np.zeros_like(direction)
                for slot, (index, azimuth, elevation) in enumerate(sounds):
                    wanted[slot, index] = PROBABILITIES[index]
                    where[slot] = unit_vector(azimuth, elevation)
                assert_allclose(activity, wanted, atol=1e-6)
                assert_allclose(direction, where, atol=1e-6)


class FakeNet:
    """One net of a scene. What it says where it is not to be read is wrong."""

    def __init__(self, scene, name):
        self.scene, self.name = scene, name
        self.answer = getattr(self, name)

    def __call__(self, past=None, *, features):
        assert features.shape[1:] == (3, 10 if self.name == "doae" else 3)
        numbers = [round(number) for number in features[:: TINY.frames_per_label, 0, 0].tolist()]
        self.scene.calls.append((self.scene.stepped, self.name, numbers))
        return {"output": np.array([self.answer(self.sounds(number)) for number in numbers], np.float32)}

    def sounds(self, number):
        return [] if number == SILENCE else self.scene.sounds_at(number)

    def sad(self, sounds):
        return [0.95 if sounds else 0.05]

    def sed(self, sounds):
        output = np.full(len(NAMES), 0.1 if sounds else 0.99)  # it has not learnt silence
        for index, _, _ in sounds:
            output[index] = PROBABILITIES[index]
        return output

    def doae(self, sounds):
        output = np.full((2, len(NAMES)), 0.3)
        for index, *angles in sounds:
            output[:, index] = np.array(angles) / 180.0
        return output.ravel()

    def fresh(self):
        return {}


class Replaced(FakeNet):
    """A net that answers with what a function of the numbers of the label frames says."""

    def __init__(self, scene, name, answer):
        self.scene, self.name = scene, name
        self.sounds, self.answer = lambda number: number, answer


# The stream, in label frames


def test_streams_of_any_length_are_answered_label_by_label():
    """The defaults, for all lengths from one label frame to more than three windows."""
    scene = Scene()
    system = scene.system(**QUICK)
    for length in [*range(1, 45), *range(45, 140, 11)]:
        system.reset()
        scene.check(scene.answers(system, range(length)), range(length))


@settings(max_examples=60)
@given(st.data())
def test_windows_of_any_size_answer_label_by_label(data):
    window, ahead = data.draw(st.integers(1, 12)), data.draw(st.integers(0, 3))
    hop, length, slots = data.draw(st.integers(1, window)), data.draw(st.integers(0, 40)), data.draw(st.integers(1, 3))
    scene = Scene()
    system = scene.system(ahead, window_labels=window, hop_labels=hop, max_overlap=slots, post_sed=False, path_labels=5)
    scene.check(scene.answers(system, range(length)), range(length), slots)


@pytest.mark.parametrize("resumed", [25, 100, 3])
def test_a_gap_closes_the_stream_and_begins_another(resumed):
    scene = Scene()
    labels = [*range(17), *range(resumed, resumed + 45)]
    scene.check(scene.answers(scene.system(), labels), labels)


def test_after_a_gap_nothing_of_before_is_heard():
    scene = Scene()
    system = scene.system(window_labels=8, hop_labels=4)
    scene.answers(system, range(14), finish=False)
    scene.calls.clear()
    scene.answers(system, range(40, 47), finish=False)
    assert scene.windows("sad")[-1] == [SILENCE, SILENCE, *range(40, 46)]


def test_reset_and_finish_equal_a_new_system():
    scene = Scene()
    changes = {"window_labels": 8, "hop_labels": 5, "sad_median_labels": 3, "sed_median_labels": {"dog": 5}}
    fresh = scene.answers(scene.system(**changes), range(33))
    system = scene.system(**changes)
    scene.answers(system, range(27), finish=False)
    system.reset()
    for _ in range(2):
        again = scene.answers(system, range(33))
        assert [answer.start for answer in again] == [answer.start for answer in fresh]
        for one, other in zip(again, fresh, strict=True):
            assert_array_equal(one.activity, other.activity)
            assert_array_equal(one.direction, other.direction)
        system.reset()


def test_finish_goes_on_where_it_ended():
    scene = Scene()
    system = scene.system()
    assert list(system.finish()) == []
    scene.check(scene.answers(system, range(13)), range(13))
    scene.check(scene.answers(system, range(13, 20)), range(13, 20))


def test_answers_stay_as_they_are_while_the_next_ones_are_computed():
    scene = Scene()
    system = scene.system(window_labels=8, hop_labels=2, max_overlap=3)
    answers = scene.answers(system, range(30), finish=False)
    kept = [(answer.activity.copy(), answer.direction.copy()) for answer in answers]
    scene.answers(system, range(30, 60))
    assert kept
    for answer, (activity, direction) in zip(answers, kept, strict=True):
        assert_array_equal(answer.activity, activity)
        assert_array_equal(answer.direction, direction)


# Windows


def test_before_and_after_the_stream_there_is_silence():
    scene = Scene("nothing")
    scene.answers(scene.system(window_labels=8, hop_labels=4), range(6))
    assert scene.windows("sad") == [[SILENCE, SILENCE, *range(6)], [2, 3, 4, 5, *[SILENCE] * 4]]


@pytest.mark.parametrize(
    ("hop", "windows"),
    [
        (4, [[SILENCE, SILENCE, *range(6)], list(range(2, 10)), list(range(6, 14))]),
        (5, [[SILENCE, SILENCE, *range(6)], list(range(3, 11))]),  # the odd one comes before the answer
        (8, [list(range(8))]),
    ],
)
def test_windows_overlap_as_the_settings_say(hop, windows):
    scene = Scene("nothing")
    scene.answers(scene.system(0, window_labels=8, hop_labels=hop), range(15), finish=False)
    assert scene.windows("sad") == windows


def test_by_default_windows_of_200_frames_share_50():
    scene = Scene("nothing")
    scene.answers(scene.system(), range(140), finish=False)
    windows = scene.windows("sad")
    assert len(windows) == 4 and all(len(window) == 40 for window in windows)
    assert all(one[-10:] == other[:10] for one, other in itertools.pairwise(windows))  # of 20 ms each, 5 in a label


# The nets, one after the other


def test_silence_costs_one_net_a_window():
    scene = Scene("nothing")
    scene.check(scene.answers(scene.system(), range(150)), range(150))
    assert scene.count("sad") == 5 and scene.count("sed") == scene.count("doae") == 0


def test_the_others_run_where_sad_finds_something_in_what_is_answered():
    scene = Scene(lambda label: [BELL] if label in (3, 21) else [])
    answers = scene.answers(scene.system(window_labels=10, hop_labels=6, **QUICK), range(36))
    scene.check(answers, range(36))
    assert scene.count("sad") == 6
    wanted = [
        [SILENCE, SILENCE, *range(8)],
        list(range(16, 26)),
    ]  # not the window from 10 on, which hears 21 at its end
    assert scene.windows("sed") == scene.windows("doae") == wanted


@pytest.mark.parametrize(("threshold", "found"), [(0.5, [5, 6]), (0.35, [3, 4, 5, 6]), (0.7, [6])])
def test_what_sad_finds_is_above_its_threshold(threshold, found):
    scene = Scene("one")
    scene.nets["sad"] = Replaced(scene, "sad", lambda number: [number / 8 if 0 <= number < 7 else 0.0])
    answers = scene.answers(scene.system(sad_threshold=threshold, **QUICK), range(60))
    activity = np.concatenate([answer.activity for answer in answers])
    assert np.flatnonzero(activity.any(axis=(1, 2))).tolist() == found
    assert scene.count("sad") == 2 and scene.count("sed") == 1


def test_sed_is_heard_only_where_sad_finds_something():
    scene = Scene("seldom")  # elsewhere all classes would sound, says SED
    scene.check(scene.answers(scene.system(**QUICK), range(60)), range(60))
    assert scene.count("sed") == 2


def test_where_sed_finds_no_class_nobody_asks_where_it_is():
    scene = Scene("one")
    scene.nets["sed"] = Replaced(scene, "sed", lambda number: [0.4, 0.3, 0.2, 0.1])
    activity = np.concatenate([answer.activity for answer in scene.answers(scene.system(), range(60))])
    assert not activity.any()
    assert scene.count("sed") == 2 and scene.count("doae") == 0


def test_the_nets_of_a_window_run_in_different_steps():
    scene = Scene("one")
    scene.answers(scene.system(0, window_labels=10, hop_labels=6), range(30), finish=False)
    steps = {name: [step for step, called, _ in scene.calls if called == name] for name in NETS}
    assert steps == {"sad": [7, 13, 19, 25], "sed": [8, 14, 20, 26], "doae": [9, 15, 21, 27]}
    assert scene.windows("sad") == scene.windows("sed") == scene.windows("doae")  # and all see the same


def test_with_short_hops_windows_are_under_way_together():
    scene = Scene()
    scene.check(scene.answers(scene.system(window_labels=5, hop_labels=1, **QUICK), range(30)), range(30))
    for name, late in (("sed", 1), ("doae", 2)):
        began = {tuple(numbers): step for step, called, numbers in scene.calls if called == "sad"}
        steps = [(step, began[tuple(numbers)]) for step, called, numbers in scene.calls if called == name]
        assert all(step - first == late for step, first in steps if step < 29)  # in the last step all is finished


def test_stages_are_timed_by_name():
    scene = Scene("one")
    system = scene.system(window_labels=10, hop_labels=6)
    system.clock = StageClock()
    for label in range(30):
        scene.step(system, label)
        system.clock.end()
    stages = system.clock.stages()
    assert list(stages) == ["features", "sad", "sed", "doae", "post"]
    assert [timing.steps for timing in stages.values()] == [30, 4, 4, 4, 4]


# Latency


@pytest.mark.parametrize("ahead", [0, 2])
@pytest.mark.parametrize("sizes", [(40, 30), (10, 2), (7, 7), (9, 1), (10, 7)])
@pytest.mark.parametrize("post", [QUICK, {"sad_median_labels": 3, "sed_median_labels": {"bell": 5}, "path_labels": 7}])
def test_an_answer_comes_no_later_than_the_latency_says(ahead, sizes, post):
    scene = Scene()
    system = scene.system(ahead, window_labels=sizes[0], hop_labels=sizes[1], **post)
    waited, end = [], 0
    for label in range(130):
        for answer in scene.step(system, label):
            assert answer.start == end
            end += len(answer.activity)
            waited += [label + 1 - n for n in range(answer.start, end)]  # labels from its beginning to now
    assert max(waited) * TINY.label_s == pytest.approx(system.latency_s)
    assert 130 - end < system.latency_s / TINY.label_s  # and none is held back longer


def test_an_impulse_is_heard_no_later_than_the_latency_says_and_once_as_late():
    waited = []
    changes = {"window_labels": 8, "hop_labels": 5, "path_labels": 3}
    for impulse in range(30):
        scene = Scene(lambda label, impulse=impulse: [DOG] if label == impulse else [])
        system = scene.system(2, **changes)
        heard = [
            (label, answer.start + int(np.flatnonzero(answer.activity.any(axis=(1, 2)))[0]))
            for label in range(60)
            for answer in scene.step(system, label)
            if answer.activity.any()
        ]
        ((step, place),) = heard
        assert place == impulse
        waited.append(step + 1 - impulse)
    assert max(waited) == 2 + (5 + 1) + 2 + 1 == round(system.latency_s / TINY.label_s)


def test_the_default_latency():
    """Features one label frame, 3.5 s of the window, two nets, half of a path."""
    assert Scene().system().latency_s == pytest.approx(0.1 + 3.5 + 0.2 + 1.0)


# Quality


def test_lower_levels_are_longer_hops():
    scene = Scene("nothing")
    assert scene.system().levels == ("windows every 3.0 s", "windows every 4.0 s")
    assert scene.system(hop_labels=40).levels == ("windows every 4.0 s",)
    system = scene.system(hop_labels=5)
    assert system.levels == tuple(f"windows every {hop} s" for hop in (0.5, 1.0, 2.0, 4.0))
    for level, (windows, latency_s) in enumerate([(80, 2.2), (40, 2.5), (20, 3.0), (10, 4.0)]):
        system.reset()
        system.set_level(level)
        assert system.latency_s == pytest.approx(latency_s + 0.1 + 0.2 + 1.0)
        scene.calls.clear()
        scene.answers(system, range(400))
        assert scene.count("sad") == windows


@settings(max_examples=40)
@given(st.integers(1, 9), st.lists(st.tuples(st.integers(0, 99), st.integers(0, 9)), max_size=8))
def test_a_change_of_level_loses_nothing_and_repeats_nothing(hop, changes):
    scene = Scene()
    system = scene.system(window_labels=9, hop_labels=hop, **QUICK)
    at = {label: index % len(system.levels) for label, index in changes}
    most = 0.0
    answers = []
    for label in range(100):
        if label in at:
            system.set_level(at[label])
        most = max(most, system.latency_s)
        for answer in scene.step(system, label):
            assert (label + 1 - answer.start) * TINY.label_s <= most + 1e-9
            answers.append(answer)
    scene.check([*answers, *system.finish()], range(100))


# Slots


def test_the_strongest_classes_come_first_and_each_has_its_own_direction():
    activity = np.float32([[0.6, 0.0, 0.9, 0.7], [0.0, 0.0, 0.0, 0.8], [0.0] * 4])
    direction = unit_vector([[0, 10, 20, 30]] * 3, 5.0).astype(np.float32)
    alone, where = strongest(activity, direction, 2)
    assert_array_equal(alone[0], np.float32([[0, 0, 0.9, 0], [0, 0, 0, 0.7]]))
    assert_array_equal(where[0], direction[0, [2, 3]])
    assert_array_equal(alone[1], np.float32([[0, 0, 0, 0.8], [0] * 4]))
    assert_array_equal(where[1], [direction[1, 3], [0, 0, 0]])
    assert not alone[2].any() and not where[2].any()


def test_slots_are_as_many_as_may_sound_at_once():
    for slots in (1, 2, 3):
        scene = Scene(lambda label: [DOOR, DOG, BELL])
        scene.check(scene.answers(scene.system(max_overlap=slots), range(50)), range(50), slots)


def test_angles_beyond_the_zenith_are_the_zenith():
    scene = Scene(lambda label: [(0, 30.0, 110.0)])
    (direction,) = {
        tuple(each)
        for answer in scene.answers(scene.system(**QUICK), range(40))
        for each in answer.direction[:, 0].round(5).tolist()
    }
    assert direction == (0.0, 0.0, 1.0)


@settings(max_examples=40)
@given(st.integers(0, 10**6), st.booleans(), st.booleans())
def test_whatever_the_nets_say_slots_are_unit_vectors_of_one_class(seed, post_sed, post_doa):
    scene, rng = Scene(), np.random.default_rng(seed)
    for name, width in (("sad", 1), ("sed", len(NAMES)), ("doae", 2 * len(NAMES))):
        low = -1.0 if name == "doae" else 0.0
        answer = lambda number, low=low, width=width: rng.uniform(low, 1.0, width).round(rng.integers(0, 3))  # noqa: E731
        scene.nets[name] = Replaced(scene, name, answer)
    changes = {"window_labels": 8, "hop_labels": 6, "sed_median_labels": {"bell": 5, "dog": 3}, "path_labels": 5}
    system = scene.system(max_overlap=3, post_sed=post_sed, post_doa=post_doa, **changes)
    answers = scene.answers(system, range(50))
    activity, direction = (
        np.concatenate([getattr(each, name) for each in answers]) for name in ("activity", "direction")
    )
    assert activity.any()
    assert activity.max() <= 1.0 and not np.any((activity > 0) & (activity <= 0.5))
    live = np.any(activity > 0, axis=-1)
    assert_array_equal(np.sum(activity > 0, axis=-1), live)
    assert_allclose(np.linalg.norm(direction, axis=-1), live, atol=1e-5)


def decoded(answers, **changes):
    decoder = Decoder(DecodeSettings(**changes), NAMES, 0.1)
    items = [item for answer in answers for item in decoder.push(answer)] + list(decoder.finish())
    return sorted((item for item in items if isinstance(item, Event)), key=lambda event: event.name)


def test_two_classes_at_once_are_two_events_where_they_are():
    scene = Scene(lambda label: [DOG] * (10 <= label < 50) + [BELL] * (20 <= label < 70))
    bell, dog = decoded(scene.answers(scene.system(), range(80)))
    assert (bell.name, bell.onset_s, bell.offset_s) == ("bell", 2.0, 7.0)
    assert (dog.name, dog.onset_s, dog.offset_s) == ("dog", 1.0, 5.0)
    assert_allclose([bell.azimuth_deg, bell.elevation_deg, bell.score], [30.0, 10.0, 0.9], atol=1e-3)
    assert_allclose([dog.azimuth_deg, dog.elevation_deg, dog.score], [-100.0, -40.0, 0.8], atol=1e-3)


def test_two_classes_at_one_place_are_two_events():
    scene = Scene(lambda label: [(2, 40.0, 0.0)] * (10 <= label < 50) + [(3, 40.0, 0.0)] * (20 <= label < 60))
    door, voice = decoded(scene.answers(scene.system(), range(80)))
    assert (door.name, door.onset_s, door.offset_s) == ("door", 1.0, 5.0)
    assert (voice.name, voice.onset_s, voice.offset_s) == ("voice", 2.0, 6.0)


def test_a_source_that_moves_over_the_seam_is_one_event():
    scene = Scene(lambda label: [(1, (150.0 + 2.0 * label + 180.0) % 360.0 - 180.0, 0.0)] if 5 <= label < 45 else [])
    answers = scene.answers(scene.system(), range(60))
    (event,) = decoded(answers)
    assert (event.onset_s, event.offset_s) == (0.5, 4.5)
    azimuth, _ = azimuth_elevation_deg(np.concatenate([answer.direction[:, 0] for answer in answers])[5:45])
    assert_allclose(np.unwrap(azimuth, period=360.0), 160.0 + 2.0 * np.arange(40), atol=1e-3)


# Settings and bundles


@pytest.mark.parametrize(
    "changes",
    [
        {"max_overlap": 0},
        {"max_overlap": 4},
        {"sad_threshold": 0.0},
        {"sed_threshold": 1.0},
        {"hop_labels": 0},
        {"hop_labels": 41},
        {"window_labels": 0, "hop_labels": 0},
        {"sad_median_labels": 4},
        {"sad_median_labels": -1},
        {"sad_median_labels": 203},
        {"path_labels": 10},
        {"sed_median_labels": {"bell": 2}},
        {"sed_median_labels": {"bell": "3"}},
        {"sed_median_labels": {"bell": 3.0}},
        {"speeds_deg_s": ()},
        {"speeds_deg_s": (0.0, -10.0)},
        {"path_deg": 0.0},
    ],
)
def test_settings_that_make_no_sense(changes):
    with pytest.raises(ValueError, match=r"^got .*, wanted "):
        EtriSettings(**changes)


CLASSES = ("low", "high")
BANDS = 64


def bundle(**changes):
    """A bundle without files: what its nets are is only described."""
    inputs = {"sad": 3, "sed": 3, "doae": 10}
    outputs = {"sad": 1, "sed": len(CLASSES), "doae": 2 * len(CLASSES)}
    nets = {
        name: {
            "file": f"{name}.tflite",
            "sha256": "",
            "inputs": {"features": [200, BANDS, inputs[name]]},
            "outputs": {"output": [40, outputs[name]]},
        }
        for name in NETS
    }
    manifest = Manifest(
        format=1,
        name="tiny",
        system="etri",
        precision="float32",
        class_names=CLASSES,
        statistics_sha256="",
        nets=nets,
        features=FeatureSettings("etri", BANDS),
        settings={"sed_median_labels": {"low": 5}, "speeds_deg_s": [0, 10.0, 20.0], "path_labels": 11},
    )
    return Bundle(
        replace(manifest, **changes), {}, np.zeros((BANDS, MAPS), np.float32), np.ones((BANDS, MAPS), np.float32)
    )


def test_a_bundle_is_told_by_its_system_and_its_settings_can_be_overridden():
    nets = dict.fromkeys(NETS)
    system = build_system(bundle(), nets=nets)
    assert isinstance(system, Etri)
    late_s = 0.1 * FeatureExtractor(FeatureSettings("etri", BANDS), StftSettings()).look_ahead_labels
    assert system.latency_s == pytest.approx(late_s + 3.5 + 0.2 + 0.2 + 0.5)
    assert build_system(bundle(), nets=nets, overrides={"post_sed": False}).latency_s == pytest.approx(late_s + 4.2)
    assert build_system(bundle(), nets=nets, overrides={"post_doa": False}).latency_s == pytest.approx(late_s + 3.9)
    with pytest.raises(ValueError, match=r"^system: got unknown key 'overlap', wanted one of max_overlap, "):
        build_system(bundle(), nets=nets, overrides={"overlap": 3})
    with pytest.raises(ValueError, match=r"^system: got path_labels 4, wanted an odd number from 1 to 201$"):
        build_system(bundle(), nets=nets, overrides={"path_labels": 4})


def test_a_bundle_that_does_not_fit_says_what_is_missing():
    with pytest.raises(ValueError, match=r"^tiny: got nets doae, sad, wanted also sed$"):
        build_system(bundle(), nets=dict.fromkeys(("sad", "doae")))
    nets = dict.fromkeys(NETS)
    with pytest.raises(ValueError, match=r"^tiny: got features 'logmel_iv', wanted 'etri'$"):
        build_system(bundle(features=FeatureSettings()), nets=nets)
    with pytest.raises(
        ValueError, match=r"^tiny: sad: got features of shape \[200, 64, 3\], wanted \[150, 64, 3\] by "
    ):
        build_system(bundle(), nets=nets, overrides={"window_labels": 30})
    with pytest.raises(ValueError, match=r"^got sed_median_labels of 'cat', wanted only low, high$"):
        build_system(bundle(settings={"sed_median_labels": {"cat": 3}}), nets=nets)


def test_every_tensor_is_looked_for():
    good = bundle().manifest.nets
    for name, kind in itertools.product(NETS, ("inputs", "outputs")):
        for described in ({}, {key: [*shape[:-1], 7] for key, shape in good[name][kind].items()}):
            broken = bundle(nets={**good, name: {**good[name], kind: described}})
            with pytest.raises(ValueError, match=rf"^tiny: {name}: got (features|output) of shape .*, wanted \["):
                build_system(broken, nets=dict.fromkeys(NETS))


# The whole pipeline


class Ear:
    """A net made of means over the features of each label frame."""

    def __init__(self, answer):
        self._answer = answer

    def __call__(self, past=None, *, features):
        return {"output": self._answer(features.reshape(40, 5, BANDS, -1).mean(axis=1)).astype(np.float32)}

    def fresh(self):
        return {}


def squashed(values):
    return 1 / (1 + np.exp(-values))


def ear_heard(maps):
    """Something is louder than the noise: mean log-mel, in dB."""
    return squashed((maps[..., 0].mean(axis=1, keepdims=True) + 50.0) / 2)


def ear_classified(maps):
    low = squashed((maps[:, :32, 0].mean(axis=1) - maps[:, 32:, 0].mean(axis=1)) / 5)
    return np.stack([low, 1 - low], axis=1)


def ear_located(maps):
    """Active intensity y, z, x of all bands, the same for both classes."""
    azimuth_deg, elevation_deg = azimuth_elevation_deg(maps[..., [6, 4, 5]].mean(axis=1))
    return np.stack([azimuth_deg, azimuth_deg, elevation_deg, elevation_deg], axis=1) / 180.0


def pipeline_with_ears(**changes):
    nets = {"sad": Ear(ear_heard), "sed": Ear(ear_classified), "doae": Ear(ear_located)}
    system = build_system(bundle(), nets=nets, overrides=changes)
    return Pipeline(
        foa_encoder(load_array("foa")), Stft(StftSettings(), 4), system, Decoder(DecodeSettings(), CLASSES, 0.1)
    )


def run_through(pipeline, blocks):
    return [item for block in blocks for item in pipeline.push(block)] + list(pipeline.finish())


def heard(items):
    return [(item.name, item.onset_s, item.offset_s) for item in items if isinstance(item, Event)]


def test_events_and_rows_do_not_depend_on_the_blocks(sounds, cut, block_samples):
    whole = run_through(pipeline_with_ears(), [AudioBlock(sounds, 0)])
    assert heard(whole) == [("low", 1.0, 2.0), ("high", 3.0, 4.0)]
    events = [item for item in whole if isinstance(item, Event)]
    for event, direction in zip(events, ((30, -20), (-120, 40)), strict=True):
        assert angle_between_deg(unit_vector(event.azimuth_deg, event.elevation_deg), unit_vector(*direction)) < 1.0
    assert run_through(pipeline_with_ears(), cut(sounds, block_samples)) == whole  # floats and all


def test_with_a_gap_they_do_not_depend_on_the_blocks_either(sounds, cut, block_samples):
    """From 1.5 s to 2.87 s nothing was heard."""
    resumed = 68_900
    early, late = sounds[:36_000], sounds[resumed:]

    def with_gap(size):
        after = cut(late, size, start=resumed)
        after[0] = AudioBlock(after[0].samples, resumed, lost=resumed - 36_000)
        return [*cut(early, size), *after]

    got = run_through(pipeline_with_ears(), with_gap(block_samples))
    assert got == run_through(pipeline_with_ears(), with_gap(10**9))
    assert heard(got) == [("low", 1.0, 1.5), ("high", 3.0, 4.0)]


def test_reset_makes_the_pipeline_new(sounds):
    fresh = run_through(pipeline_with_ears(), [AudioBlock(sounds, 0)])
    pipeline = pipeline_with_ears()
    list(pipeline.push(AudioBlock(sounds[:40_000], 0)))
    for _ in range(2):
        pipeline.reset()
        assert run_through(pipeline, [AudioBlock(sounds, 0)]) == fresh


def test_a_plane_wave_from_anywhere_comes_out_of_the_loop_where_it_came_from(plane_wave):
    noise = np.convolve(np.random.default_rng(0).normal(0, 0.02, 24000), [2.0, *np.ones(15)], "same")  # more of the low
    pipeline, turn = pipeline_with_ears(), np.pi * (3 - np.sqrt(5))
    for n in range(12):
        azimuth, elevation = np.rad2deg(turn * n) % 360 - 180, np.rad2deg(np.arcsin((2 * n + 1) / 12 - 1))
        pipeline.reset()
        items = run_through(pipeline, [AudioBlock(plane_wave(noise, azimuth, elevation), 0)])
        (event,) = [item for item in items if isinstance(item, Event)]
        got = unit_vector(event.azimuth_deg, event.elevation_deg)
        assert angle_between_deg(got, unit_vector(azimuth, elevation)) < 1.0
        assert (event.name, event.onset_s, event.offset_s) == ("low", 0.0, 1.0)
