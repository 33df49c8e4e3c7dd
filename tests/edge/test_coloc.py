import functools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from edge.array import foa_encoder, load_array
from edge.bundle import Bundle, Manifest, load_bundle
from edge.decode import Decoder, DecodeSettings
from edge.features import FeatureExtractor, FeatureSettings
from edge.geometry import angle_between_deg, unit_vector
from edge.runtime import Pipeline, build_pipeline, build_system
from edge.stft import Stft, StftSettings
from edge.systems.coloc import NETS, Coloc, ColocSettings
from edge.types import AudioBlock, Event, Spectra

SMALL = StftSettings(sample_rate_hz=40, window_samples=4, hop_samples=2, nfft=4, frames_per_label=2)
CLASSES = 5
COMPASS = [np.array(v, np.float32) for v in ((1, 0, 0), (0, 1, 0), (0, 0, 1), (-1, 0, 0))]
ORIGIN = (0.0, 0.0, 0.0)


def spectra_of(label):
    """A label frame whose features say its number: the log-power of W, in dB, is a tenth of it."""
    bins = np.zeros((SMALL.frames_per_label, 4, SMALL.bins), np.complex64)
    bins[:, 0] = 10 ** (label / 200)
    return Spectra(bins, label * SMALL.frames_per_label)


def label_numbers(features):
    """Number of each label frame of a window, None where it is silence."""
    loudness_db = features[:: SMALL.frames_per_label, 0, 0]
    assert_array_equal(features[1 :: SMALL.frames_per_label, 0, 0], loudness_db)
    return [None if db < -50 else round(float(db) * 10) for db in loudness_db]


class Scene:
    """Four nets that answer from a table: `directions_at(label)` lists what sounds, in the order it is named.

    The embedding of a direction is the direction and a one; the localizer finds out from their mean what is known, and
    names the next. It refuses means that no correct loop would give.
    """

    def __init__(self, directions_at, length_at=lambda label, n: 0.9):
        self._directions_at, self._length_at = directions_at, length_at
        self.calls = []
        self.nets = {name: FakeNet(self, name) for name in NETS}

    def count(self, name):
        return sum(call[0] == name for call in self.calls)

    def inputs(self, name):
        return [inputs for called, inputs in self.calls if called == name]

    def answer(self, name, inputs):
        self.calls.append((name, {key: value.copy() for key, value in inputs.items()}))
        if name.endswith("_encoder"):
            assert list(inputs) == ["direction"]
            direction = inputs["direction"]
            return {
                "embedding": np.hstack([direction, np.any(direction != 0, axis=-1, keepdims=True)]).astype(np.float32)
            }
        assert set(inputs) == {"features", "embedding"}
        numbers = label_numbers(inputs["features"])
        give = self._named if name == "localizer" else self._classified
        return {
            "output": np.array([give(*pair) for pair in zip(numbers, inputs["embedding"], strict=True)], np.float32)
        }

    def _named(self, label, embedding):
        means, answers = self._table(label)
        fits = np.abs(means - embedding).max(axis=1) < 1e-5
        if not fits.any():
            raise AssertionError(f"label {label}: {embedding} is none of {means}")
        return answers[fits.argmax()]

    @functools.cache  # noqa: B019
    def _table(self, label):
        """The embeddings of the first 0, 1, ... directions, and the answer to each: the next, or nothing."""
        directions = [] if label is None else self._directions_at(label)
        means = [[*np.mean(directions[:known], axis=0), 1.0] for known in range(1, len(directions) + 1)]
        lengths = [self._length_at(label, known) for known in range(len(directions))]
        answers = [vector * length for vector, length in zip(directions, lengths, strict=True)]
        return np.array([[0.0] * 4, *means]), np.array([*answers, ORIGIN])

    def _classified(self, label, embedding):
        """The class of COMPASS[n] is n, with probability 0.7; the last output is "none of the classes"."""
        probabilities = np.full(CLASSES + 1, 0.05)
        probabilities[-1] = 0.1
        if embedding[3] == 0.0:  # no direction: what it says here is not to be read
            return np.full(CLASSES + 1, 0.9)
        probabilities[int(np.argmax([vector @ embedding[:3] for vector in COMPASS]))] = 0.7
        return probabilities


class FakeNet:
    def __init__(self, scene, name):
        self._scene, self._name = scene, name

    def __call__(self, **inputs):
        return self._scene.answer(self._name, inputs)

    def reset(self):
        pass


def coloc(scene, **changes):
    extractor = FeatureExtractor(FeatureSettings("logpower_phase_iv", SMALL.bins), SMALL)
    return Coloc(scene.nets, extractor, SMALL, CLASSES, ColocSettings(**changes))


def window(first, labels):
    extractor = FeatureExtractor(FeatureSettings("logpower_phase_iv", SMALL.bins), SMALL)
    return np.concatenate([extractor(spectra_of(label)).maps for label in range(first, first + labels)])


def answers_of(system, labels, finish=True):
    answers = [answer for label in labels for answer in system.step(spectra_of(label))]
    return answers + (list(system.finish()) if finish else [])


def nothing(label):
    return []


def one(label):
    return [COMPASS[label % 4]]


def two(label):
    return [COMPASS[label % 4], COMPASS[(label + 1) % 4]]


def three(label):
    return [COMPASS[(label + n) % 4] for n in range(3)]


def mixed(label):
    """None, one, two or three directions, in turn."""
    return three(label)[: label % 4]


# The loop over one window


@pytest.mark.parametrize("most", [1, 2, 3])
@pytest.mark.parametrize("directions_at", [nothing, one, two, three, mixed])
def test_all_directions_are_found_one_after_the_other(directions_at, most):
    scene = Scene(directions_at)
    activity, direction = coloc(scene, window_labels=8, hop_labels=8, max_overlap=most).infer(window(0, 8))
    assert activity.shape == (8, most, CLASSES) and direction.shape == (8, most, 3)
    assert activity.dtype == direction.dtype == np.float32
    for label in range(8):
        wanted = directions_at(label)[:most]
        assert_allclose(direction[label, : len(wanted)], np.reshape(wanted, (-1, 3)), atol=1e-6)
        assert_array_equal(direction[label, len(wanted) :], 0.0)
        assert_array_equal(activity[label, len(wanted) :], 0.0)
        for slot, vector in enumerate(wanted):
            probabilities = np.full(CLASSES, 0.05, np.float32)
            probabilities[[np.array_equal(vector, c) for c in COMPASS].index(True)] = 0.7
            assert_allclose(activity[label, slot], probabilities)


@pytest.mark.parametrize(
    ("directions_at", "most", "asked", "encoded", "classified"),
    [
        (nothing, 3, 1, 1, 0),  # the origin alone is encoded
        (one, 3, 2, 2, 1),
        (two, 3, 3, 3, 2),
        (three, 3, 3, 3, 3),
        (nothing, 1, 1, 1, 0),
        (one, 1, 1, 1, 1),
        (three, 2, 2, 2, 2),
    ],
)
def test_the_loop_stops_as_soon_as_a_step_finds_nothing(directions_at, most, asked, encoded, classified):
    scene = Scene(directions_at)
    coloc(scene, window_labels=8, hop_labels=8, max_overlap=most).infer(window(0, 8))
    assert scene.count("localizer") == asked
    assert scene.count("localizer_encoder") == encoded
    assert scene.count("classifier") == scene.count("classifier_encoder") == classified


def test_one_frame_with_another_source_keeps_the_loop_going():
    scene = Scene(lambda label: two(label) if label == 5 else one(label))
    coloc(scene, window_labels=8, hop_labels=8, max_overlap=3).infer(window(0, 8))
    assert scene.count("localizer") == 3 and scene.count("classifier") == 2


def test_embeddings_are_the_origin_then_the_mean_of_what_is_known():
    scene = Scene(mixed)
    coloc(scene, window_labels=8, hop_labels=8, max_overlap=3).infer(window(0, 8))
    first, second, third = (inputs["embedding"] for inputs in scene.inputs("localizer"))
    assert_array_equal(first, 0.0)  # the embedding of the origin in this scene
    for label in range(8):
        directions = mixed(label)
        assert_allclose(second[label], [*directions[0], 1] if directions else [0] * 4, atol=1e-6)
        mean = np.mean(directions[:2], axis=0) if len(directions) >= 2 else None
        assert_allclose(third[label], [0] * 4 if mean is None else [*mean, 1], atol=1e-6)


def test_the_origin_is_encoded_not_taken_for_zero():
    """The embedding of the origin may be anything: it is what empty frames are given in every step."""
    seen = []

    class Encoder(FakeNet):
        def __call__(self, **inputs):
            return {"embedding": inputs["direction"] + np.float32(10.0)}

    class Localizer(FakeNet):
        def __call__(self, features, embedding):
            seen.append(embedding.copy())
            output = np.zeros((4, 3), np.float32)
            output[:2] = [[0.0, 0.9, 0.0], [0.0, 0.0, 0.9]] if len(seen) == 1 else [[0.9, 0.0, 0.0], [0.0, 0.0, 0.0]]
            return {"output": output}

    scene = Scene(nothing)
    scene.nets |= {"localizer_encoder": Encoder(scene, ""), "localizer": Localizer(scene, "")}
    coloc(scene, window_labels=4, hop_labels=4, max_overlap=3).infer(window(0, 4))
    assert_array_equal(seen[0], np.full((4, 3), 10.0))
    assert_allclose(seen[1], [[10, 11, 10], [10, 10, 11], [10, 10, 10], [10, 10, 10]])
    assert_allclose(seen[2], [[10.5, 10.5, 10], [10, 10, 10], [10, 10, 10], [10, 10, 10]])


def test_what_is_named_after_the_set_was_complete_is_not_read():
    """A frame that was empty once stays empty, whatever the localizer says there in later steps (section 2.3)."""
    answers = iter(
        [
            [[0.9, 0, 0], [0.9, 0, 0], [0.0, 0, 0], [0.4, 0, 0]],
            [[0, 0.9, 0], [0, 0.4, 0], [0, 0.9, 0], [0, 0.9, 0]],
            [[0, 0, 0.9], [0, 0, 0.9], [0, 0, 0.9], [0, 0, 0.9]],
        ]
    )

    class Localizer(FakeNet):
        def __call__(self, features, embedding):
            return {"output": np.array(next(answers), np.float32)}

    scene = Scene(nothing)
    scene.nets["localizer"] = Localizer(scene, "")
    _, direction = coloc(scene, window_labels=4, hop_labels=4, max_overlap=3).infer(window(0, 4))
    x, y, z = np.eye(3)
    assert_allclose(direction, [[x, y, z], [x, ORIGIN, ORIGIN], [ORIGIN] * 3, [ORIGIN] * 3], atol=1e-6)


@pytest.mark.parametrize(
    ("threshold", "found"), [(0.5, [3, 4, 5, 6, 7]), (0.25, [1, 2, 3, 4, 5, 6, 7]), (0.75, [5, 6, 7])]
)
def test_the_threshold_is_on_the_length(threshold, found):
    lengths = [0.1, 0.3, 0.45, 0.55, 0.7, 0.8, 0.9, 1.0]
    scene = Scene(one, lambda label, n: lengths[label])
    system = coloc(scene, window_labels=8, hop_labels=8, max_overlap=1, threshold=threshold)
    activity, direction = system.infer(window(0, 8))
    assert np.flatnonzero(np.any(direction[:, 0] != 0, axis=-1)).tolist() == found
    assert np.flatnonzero(np.any(activity[:, 0] != 0, axis=-1)).tolist() == found
    assert_allclose(np.linalg.norm(direction[found, 0], axis=-1), 1.0, atol=1e-6)


def test_each_track_is_classified_from_its_own_direction():
    scene = Scene(two)
    coloc(scene, window_labels=8, hop_labels=8, max_overlap=2).infer(window(0, 8))
    for slot, inputs in enumerate(scene.inputs("classifier_encoder")):
        assert_allclose(inputs["direction"], [two(label)[slot] for label in range(8)], atol=1e-6)


def test_perturbation_is_off_by_default_and_deterministic_when_on():
    def encoded(**changes):
        scene = Scene(one)
        system = coloc(scene, window_labels=8, hop_labels=8, max_overlap=1, **changes)
        runs = []
        for _ in range(2):
            scene.calls.clear()
            _, direction = system.infer(window(0, 8))
            assert_allclose(
                direction[:, 0], [one(label)[0] for label in range(8)], atol=1e-6
            )  # the answer is not moved
            runs.append(scene.inputs("classifier_encoder")[0]["direction"])
            system.reset()
        assert_array_equal(runs[0], runs[1])
        return runs[0]

    plain = [one(label)[0] for label in range(8)]
    assert_allclose(encoded(), plain, atol=1e-6)
    moved = angle_between_deg(encoded(perturbation_deg=5.0), plain)
    assert 1.0 < moved.max() <= 5.0 * np.sqrt(2) + 1e-3


def test_inputs_of_the_nets_are_not_shared_by_accident():
    """Answers of one window stay as they are while the next ones are computed."""
    system = coloc(Scene(mixed), window_labels=8, hop_labels=2, max_overlap=3)
    answers, kept = [], []
    for label in range(30):
        for answer in system.step(spectra_of(label)):
            answers.append(answer)
            kept.append((answer.activity.copy(), answer.direction.copy()))
    for answer, (activity, direction) in zip(answers, kept, strict=True):
        assert_array_equal(answer.activity, activity)
        assert_array_equal(answer.direction, direction)


# The stream


def check_answers(answers, labels):
    """Every label frame is answered once, in order, with what is true there."""
    answered = [answer.start + n for answer in answers for n in range(len(answer.activity))]
    assert answered == list(labels)
    if answered:
        direction = np.concatenate([answer.direction for answer in answers])
        wanted = np.zeros((len(answered), 3, 3))
        for row, label in zip(wanted, answered, strict=True):
            row[: len(mixed(label))] = np.reshape(mixed(label), (-1, 3))
        assert_allclose(direction, wanted[:, : direction.shape[1]], atol=1e-6)


def test_streams_of_any_length_are_answered_label_by_label():
    """The defaults, for all lengths from one label frame to more than three windows."""
    system = coloc(Scene(mixed))
    for length in range(1, 181):
        system.reset()
        check_answers(answers_of(system, range(length)), range(length))


@settings(max_examples=40)
@given(st.integers(1, 9), st.integers(0, 6), st.integers(0, 40), st.integers(1, 3))
def test_windows_of_any_size_answer_label_by_label(hop, sides, length, most):
    system = coloc(Scene(mixed), window_labels=hop + 2 * sides, hop_labels=hop, max_overlap=most)
    check_answers(answers_of(system, range(length)), range(length))


@pytest.mark.parametrize("sizes", [(50, 10), (10, 2), (7, 7), (9, 1)])
def test_an_answer_comes_no_later_than_the_latency_says(sizes):
    system = coloc(Scene(mixed), window_labels=sizes[0], hop_labels=sizes[1])
    waited = []
    for label in range(130):
        for answer in system.step(spectra_of(label)):
            waited += [label + 1 - answer.start]  # labels from the beginning of its first to now
    assert max(waited) * SMALL.label_s == pytest.approx(system.latency_s)
    answered = sum(sizes[1] for _ in waited)
    assert 130 - answered < system.latency_s / SMALL.label_s  # and none is held back longer


def test_the_default_latency_is_three_seconds():
    scene = Scene(mixed)
    extractor = FeatureExtractor(FeatureSettings(), StftSettings())
    assert Coloc(scene.nets, extractor, StftSettings(), CLASSES, ColocSettings()).latency_s == pytest.approx(3.0)


def test_before_and_after_the_stream_there_is_silence():
    scene = Scene(mixed)
    answers_of(coloc(scene, window_labels=8, hop_labels=4), range(6))
    numbers = [label_numbers(inputs["features"]) for inputs in scene.inputs("localizer")]
    assert numbers[0] == [None, None, 0, 1, 2, 3, 4, 5]
    assert [2, 3, 4, 5, None, None, None, None] in numbers


def test_windows_overlap_as_the_settings_say():
    scene = Scene(nothing)
    answers_of(coloc(scene, window_labels=8, hop_labels=4), range(14), finish=False)
    numbers = [label_numbers(inputs["features"]) for inputs in scene.inputs("localizer")]
    assert numbers == [[None, None, *range(6)], list(range(2, 10)), list(range(6, 14))]


@pytest.mark.parametrize("resumed", [25, 100])
def test_a_gap_closes_the_stream_and_begins_another(resumed):
    system = coloc(Scene(mixed))
    labels = [*range(17), *range(resumed, resumed + 45)]
    check_answers(answers_of(system, labels), labels)


def test_after_a_gap_nothing_of_before_is_heard():
    scene = Scene(mixed)
    system = coloc(scene, window_labels=8, hop_labels=4)
    answers_of(system, range(14), finish=False)
    scene.calls.clear()
    answers_of(system, range(40, 46), finish=False)
    after = [label_numbers(inputs["features"]) for inputs in scene.inputs("localizer")][-1]
    assert after == [None, None, 40, 41, 42, 43, 44, 45]


def test_reset_and_finish_equal_a_new_system():
    fresh = answers_of(coloc(Scene(mixed), perturbation_deg=3.0, max_overlap=1), range(33))
    system = coloc(Scene(mixed), perturbation_deg=3.0, max_overlap=1)
    answers_of(system, range(27), finish=False)
    system.reset()
    for _ in range(2):
        again = answers_of(system, range(33))
        assert [answer.start for answer in again] == [answer.start for answer in fresh]
        for one_answer, other in zip(again, fresh, strict=True):
            assert_array_equal(one_answer.activity, other.activity)
            assert_array_equal(one_answer.direction, other.direction)
        system.reset()


def test_finish_goes_on_where_it_ended():
    system = coloc(Scene(mixed))
    assert list(system.finish()) == []
    check_answers(answers_of(system, range(13)), range(13))
    check_answers(answers_of(system, range(13, 20)), range(13, 20))


@pytest.mark.parametrize(
    "changes",
    [
        {"max_overlap": 0},
        {"max_overlap": 4},
        {"hop_labels": 0},
        {"hop_labels": 51},
        {"hop_labels": 11},
        {"threshold": 0.0},
        {"threshold": 1.0},
    ],
)
def test_settings_that_make_no_sense(changes):
    with pytest.raises(ValueError, match=r"^got .*, wanted |wanted "):
        ColocSettings(**changes)


def test_a_missing_net_is_named():
    scene = Scene(mixed)
    del scene.nets["classifier"]
    with pytest.raises(ValueError, match=r"^got nets .*, wanted also classifier$"):
        coloc(scene)


# The whole pipeline


class Ear:
    """Nets made of sums over the features, in float: nothing is hidden by rounding."""

    def __init__(self, labels):
        self._labels = labels

    def reset(self):
        pass

    def by_label(self, maps):
        return maps.reshape(self._labels, -1, *maps.shape[1:])


class EarEncoder(Ear):
    def __call__(self, direction):
        return {"embedding": direction}


class EarLocalizer(Ear):
    """Mean intensity, and nothing where a direction is known already."""

    def __call__(self, features, embedding):
        intensity_xyz = self.by_label(features)[..., [6, 4, 5]]
        vector = intensity_xyz.mean(axis=(1, 2)) / np.float32(0.75 / (12000 / 512))
        return {"output": np.where(np.any(embedding != 0, axis=-1, keepdims=True), np.float32(0), vector)}


class EarClassifier(Ear):
    def __call__(self, features, embedding):
        level_db = self.by_label(features)[..., 0].mean(axis=1)
        low = 1 / (1 + np.exp((level_db[:, 32:].mean(axis=1) - level_db[:, :32].mean(axis=1)) / 10))
        return {"output": np.stack([low, 1 - low, 0 * low], axis=1).astype(np.float32)}


EARS = {
    "localizer_encoder": EarEncoder,
    "localizer": EarLocalizer,
    "classifier_encoder": EarEncoder,
    "classifier": EarClassifier,
}


def pipeline_with_ears():
    stft = StftSettings()
    extractor = FeatureExtractor(FeatureSettings(), stft)
    nets = {name: ear(10) for name, ear in EARS.items()}
    system = Coloc(nets, extractor, stft, 2, ColocSettings(window_labels=10, hop_labels=2))
    return Pipeline(
        foa_encoder(load_array("foa")), Stft(stft, 4), system, Decoder(DecodeSettings(), ("low", "high"), 0.1)
    )


def run_through(pipeline, blocks):
    return [item for block in blocks for item in pipeline.push(block)] + list(pipeline.finish())


def test_events_and_rows_do_not_depend_on_the_blocks(sounds, cut, block_samples):
    whole = run_through(pipeline_with_ears(), [AudioBlock(sounds, 0)])
    assert [(i.name, i.onset_s, i.offset_s) for i in whole if isinstance(i, Event)] == [
        ("low", 1.0, 2.0),
        ("high", 3.0, 4.0),
    ]
    assert run_through(pipeline_with_ears(), cut(sounds, block_samples)) == whole  # floats and all


def test_with_a_gap_they_do_not_depend_on_the_blocks_either(sounds, cut, block_samples):
    """From 1.5 s to 2.87 s nothing was heard."""
    resumed = 68_900
    early, late = sounds[:36_000], sounds[resumed:]

    def with_gap(size):
        after = cut(late, size, start=resumed)
        after[0] = AudioBlock(after[0].samples, resumed, lost=resumed - 36_000)
        return [*cut(early, size), *after]

    pipeline = pipeline_with_ears()
    got = run_through(pipeline, with_gap(block_samples))
    assert pipeline.lost_samples == resumed - 36_000
    assert got == run_through(pipeline_with_ears(), with_gap(10**9))
    events = [(i.name, i.onset_s, i.offset_s) for i in got if isinstance(i, Event)]
    assert events == [("low", 1.0, 1.5), ("high", 3.0, 4.0)]


def test_reset_makes_the_pipeline_new(sounds):
    fresh = run_through(pipeline_with_ears(), [AudioBlock(sounds, 0)])
    pipeline = pipeline_with_ears()
    list(pipeline.push(AudioBlock(sounds[:40_000], 0)))
    for _ in range(2):
        pipeline.reset()
        assert run_through(pipeline, [AudioBlock(sounds, 0)]) == fresh


def test_the_tiny_bundle_in_int8_hears_the_same(tiny_bundle, sounds, cut, block_samples):
    bundle = load_bundle(str(tiny_bundle))
    pipeline = build_pipeline(bundle, load_array("foa"), build_system(bundle))
    got = run_through(pipeline, cut(sounds, block_samples))
    low, high = [item for item in got if isinstance(item, Event)]
    assert (low.name, low.onset_s, low.offset_s) == ("low", 1.0, 2.0)
    assert (high.name, high.onset_s, high.offset_s) == ("high", 3.0, 4.0)
    for event, direction in ((low, (30, -20)), (high, (-120, 40))):
        got_there = unit_vector(event.azimuth_deg, event.elevation_deg)
        assert angle_between_deg(got_there, unit_vector(*direction)) < 2.0
    pipeline.reset()
    assert run_through(pipeline, [AudioBlock(sounds, 0)]) == got


def test_a_plane_wave_from_anywhere_comes_out_of_the_loop_where_it_came_from(tiny_bundle, plane_wave):
    """Through features, int8 nets, loop and decoder: within the steps of int8 and a little."""
    bundle = load_bundle(str(tiny_bundle))
    pipeline = build_pipeline(bundle, load_array("foa"), build_system(bundle))
    noise = np.convolve(np.random.default_rng(0).normal(0, 0.02, 24000), [2.0, *np.ones(15)], "same")  # more of the low
    turn = np.pi * (3 - np.sqrt(5))
    for n in range(20):
        azimuth, elevation = np.rad2deg(turn * n) % 360 - 180, np.rad2deg(np.arcsin((2 * n + 1) / 20 - 1))
        pipeline.reset()
        items = run_through(pipeline, [AudioBlock(plane_wave(noise, azimuth, elevation), 0)])
        (event,) = [item for item in items if isinstance(item, Event)]
        got = unit_vector(event.azimuth_deg, event.elevation_deg)
        assert angle_between_deg(got, unit_vector(azimuth, elevation)) < 2.0
        assert (event.onset_s, event.offset_s) == (0.0, 1.0)


def test_settings_can_be_overridden_and_are_checked(tiny_bundle):
    bundle = load_bundle(str(tiny_bundle))
    assert build_system(bundle, overrides={"hop_labels": 4}).latency_s == pytest.approx(0.7)
    with pytest.raises(ValueError, match=r"^system: got unknown key 'overlap', wanted one of window_labels"):
        build_system(bundle, overrides={"overlap": 3})
    with pytest.raises(ValueError, match=r"^system: got max_overlap 9, wanted 1, 2 or 3$"):
        build_system(bundle, overrides={"max_overlap": 9})
    with pytest.raises(ValueError, match=r"^tiny: localizer: got tensors .* by the settings$"):
        build_system(bundle, overrides={"window_labels": 20})
    with pytest.raises(ValueError, match=r"^decode: got unknown key 'onn', wanted one of on, off"):
        build_pipeline(bundle, load_array("foa"), build_system(bundle), {"onn": 0.5})


def test_nets_of_another_kind_take_the_place_of_the_bundles_own(tiny_bundle):
    """As the ladder does with Keras' nets, in a bundle that has no files yet."""
    whole = load_bundle(str(tiny_bundle))
    fields = {name: getattr(whole.manifest, name) for name in Manifest.__slots__} | {"nets": {}}
    scene = Scene(mixed)
    bundle = Bundle(Manifest(**fields), {}, whole.mean, whole.deviation)
    assert build_system(bundle, nets=scene.nets).latency_s == pytest.approx(0.6)
