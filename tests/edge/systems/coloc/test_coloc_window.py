import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from edge.frontend.maps import FeatureExtractor, FeatureSettings
from edge.frontend.stft import StftSettings
from edge.geometry import angle_between_deg
from edge.stage_clock import StageClock
from edge.systems.coloc.settings import ColocSettings
from edge.systems.coloc.window import ColocWindow
from edge.systems.label_stepper import LabelStepper

ORIGIN = (0.0, 0.0, 0.0)
SILENCE = -1


def window(scene, first, labels):
    return np.concatenate([scene.extractor(scene.spectra(label)).maps for label in range(first, first + labels)])


class Replaced:
    """A net that answers with a function of its inputs."""

    def __init__(self, answer):
        self._answer = answer

    def __call__(self, past=None, **inputs):
        return self._answer(**inputs)

    def fresh(self):
        return {}


# The loop over one window


@pytest.mark.parametrize("most", [1, 2, 3])
@pytest.mark.parametrize("sounds", ["nothing", "one", "two", "three", "mixed"])
def test_all_directions_are_found_one_after_the_other(scene_of, sounds, most):
    scene = scene_of(sounds)
    activity, direction, _ = scene.system(window_labels=8, hop_labels=8, max_overlap=most).infer(window(scene, 0, 8))
    assert activity.shape == (8, most, scene.classes) and direction.shape == (8, most, 3)
    assert activity.dtype == direction.dtype == np.float32
    for label in range(8):
        wanted = scene.directions_at(label)[:most]
        assert_allclose(direction[label, : len(wanted)], np.reshape(wanted, (-1, 3)), atol=1e-6)
        assert_array_equal(direction[label, len(wanted) :], 0.0)
        assert_array_equal(activity[label, len(wanted) :], 0.0)
        for slot, vector in enumerate(wanted):
            probabilities = np.full(scene.classes, 0.05, np.float32)
            probabilities[[np.array_equal(vector, c) for c in scene.compass].index(True)] = 0.7
            assert_allclose(activity[label, slot], probabilities)


@pytest.mark.parametrize(
    ("sounds", "most", "asked", "encoded", "classified"),
    [
        ("nothing", 3, 1, 1, 0),  # the origin alone is encoded
        ("one", 3, 2, 2, 1),
        ("two", 3, 3, 3, 2),
        ("three", 3, 3, 3, 3),
        ("nothing", 1, 1, 1, 0),
        ("one", 1, 1, 1, 1),
        ("three", 2, 2, 2, 2),
    ],
)
def test_the_loop_stops_after_a_pass_that_finds_nothing(scene_of, sounds, most, asked, encoded, classified):
    scene = scene_of(sounds)
    scene.system(window_labels=8, hop_labels=8, max_overlap=most).infer(window(scene, 0, 8))
    assert scene.count("localizer") == asked
    assert scene.count("localizer_encoder") == encoded
    assert scene.count("classifier") == scene.count("classifier_encoder") == classified


def test_one_frame_with_another_source_keeps_the_loop_going(scene_of):
    scene = scene_of(lambda label: scene_of.compass[: 2 if label == 5 else 1])
    scene.system(window_labels=8, hop_labels=8, max_overlap=3).infer(window(scene, 0, 8))
    assert scene.count("localizer") == 3 and scene.count("classifier") == 2


def test_embeddings_are_the_origin_then_means_of_known_directions(scene_of):
    scene = scene_of("mixed")
    scene.system(window_labels=8, hop_labels=8, max_overlap=3).infer(window(scene, 0, 8))
    first, second, third = (inputs["embedding"] - scene.origin for inputs in scene.inputs("localizer"))
    assert_array_equal(first, 0.0)
    for label in range(8):
        directions = scene.directions_at(label)
        assert_allclose(second[label], [*directions[0], 1] if directions else [0] * 4, atol=1e-6)
        mean = np.mean(directions[:2], axis=0) if len(directions) >= 2 else None
        assert_allclose(third[label], [0] * 4 if mean is None else [*mean, 1], atol=1e-6)


def test_the_embedding_of_the_origin_is_not_assumed_to_be_zero(scene_of):
    """Label frames without a direction are given the embedding of the origin in every pass, whatever it is."""
    seen = []

    def localize(features, embedding):
        seen.append(embedding.copy())
        output = np.zeros((4, 3), np.float32)
        output[:2] = [[0.0, 0.9, 0.0], [0.0, 0.0, 0.9]] if len(seen) == 1 else [[0.9, 0.0, 0.0], [0.0, 0.0, 0.0]]
        return {"output": output}

    scene = scene_of("nothing")
    scene.nets["localizer_encoder"] = Replaced(lambda direction: {"embedding": direction + np.float32(10.0)})
    scene.nets["localizer"] = Replaced(localize)
    scene.system(window_labels=4, hop_labels=4, max_overlap=3).infer(window(scene, 0, 4))
    assert_array_equal(seen[0], np.full((4, 3), 10.0))
    assert_allclose(seen[1], [[10, 11, 10], [10, 10, 11], [10, 10, 10], [10, 10, 10]])
    assert_allclose(seen[2], [[10.5, 10.5, 10], [10, 10, 10], [10, 10, 10], [10, 10, 10]])


def test_directions_named_after_the_set_was_complete_are_ignored(scene_of):
    """Once the localizer names nothing in a label frame, its later answers there do not count (section 2.3)."""
    answers = iter(
        [
            [[0.9, 0, 0], [0.9, 0, 0], [0.0, 0, 0], [0.4, 0, 0]],
            [[0, 0.9, 0], [0, 0.4, 0], [0, 0.9, 0], [0, 0.9, 0]],
            [[0, 0, 0.9], [0, 0, 0.9], [0, 0, 0.9], [0, 0, 0.9]],
        ]
    )
    scene = scene_of("nothing")
    scene.nets["localizer"] = Replaced(lambda **inputs: {"output": np.array(next(answers), np.float32)})
    _, direction, _ = scene.system(window_labels=4, hop_labels=4, max_overlap=3).infer(window(scene, 0, 4))
    x, y, z = np.eye(3)
    assert_allclose(direction, [[x, y, z], [x, ORIGIN, ORIGIN], [ORIGIN] * 3, [ORIGIN] * 3], atol=1e-6)


def test_each_track_is_classified_from_its_own_direction(scene_of):
    scene = scene_of("two")
    scene.system(window_labels=8, hop_labels=8, max_overlap=2).infer(window(scene, 0, 8))
    for slot, inputs in enumerate(scene.inputs("classifier_encoder")):
        assert_allclose(inputs["direction"], [scene.directions_at(label)[slot] for label in range(8)], atol=1e-6)


def test_perturbation_is_off_by_default_and_deterministic_when_on(scene_of):
    plain = [scene_of.compass[label % 4] for label in range(8)]

    def encoded(**changes):
        scene = scene_of("one")
        system = scene.system(window_labels=8, hop_labels=8, max_overlap=1, **changes)
        runs = []
        for _ in range(2):
            scene.calls.clear()
            _, direction, _ = system.infer(window(scene, 0, 8))
            assert_allclose(direction[:, 0], plain, atol=1e-6)  # the answer is not moved
            runs.append(scene.inputs("classifier_encoder")[0]["direction"])
            system.reset()
        assert_array_equal(runs[0], runs[1])
        return runs[0]

    assert_allclose(encoded(), plain, atol=1e-6)
    moved = angle_between_deg(encoded(perturbation_deg=5.0), plain)
    assert 1.0 < moved.max() <= 5.0 * np.sqrt(2) + 1e-3


# The stream


@settings(max_examples=40)
@given(st.integers(1, 9), st.integers(0, 6), st.integers(0, 40), st.integers(1, 3))
def test_windows_of_any_size_answer_label_by_label(scene_of, hop, sides, length, most):
    scene = scene_of("mixed")
    system = scene.system(window_labels=hop + 2 * sides, hop_labels=hop, max_overlap=most)
    scene.check(scene.answers(system, range(length)), range(length))


@pytest.mark.parametrize("sizes", [(50, 10), (10, 2), (7, 7), (9, 1)])
def test_no_answer_comes_later_than_the_latency(scene_of, sizes):
    scene = scene_of("mixed")
    system = scene.system(window_labels=sizes[0], hop_labels=sizes[1])
    waited = []
    for label in range(130):
        for answer in system.step(scene.spectra(label)):
            waited += [label + 1 - answer.start]  # labels from the beginning of its first to now
    assert max(waited) * scene.stft.label_s == pytest.approx(system.latency_s)
    answered = sum(sizes[1] for _ in waited)
    assert 130 - answered < system.latency_s / scene.stft.label_s  # and none is held back longer


def test_the_default_latency_is_three_seconds(scene_of):
    stepper = LabelStepper(FeatureExtractor(FeatureSettings(), StftSettings()), StftSettings(), StageClock())
    system = ColocWindow(scene_of("mixed").nets, stepper, 5, ColocSettings())
    assert system.latency_s == pytest.approx(3.0)


def test_windows_are_padded_with_silence_before_and_after_the_stream(scene_of):
    scene = scene_of("mixed")
    scene.answers(scene.system(window_labels=8, hop_labels=4), range(6))
    numbers = [scene.numbers(inputs["features"]) for inputs in scene.inputs("localizer")]
    assert numbers[0] == [SILENCE, SILENCE, 0, 1, 2, 3, 4, 5]
    assert [2, 3, 4, 5, *[SILENCE] * 4] in numbers


def test_windows_overlap_as_the_settings_say(scene_of):
    scene = scene_of("nothing")
    scene.answers(scene.system(window_labels=8, hop_labels=4), range(14), finish=False)
    numbers = [scene.numbers(inputs["features"]) for inputs in scene.inputs("localizer")]
    assert numbers == [[SILENCE, SILENCE, *range(6)], list(range(2, 10)), list(range(6, 14))]


def test_windows_after_a_gap_hold_nothing_from_before(scene_of):
    scene = scene_of("mixed")
    system = scene.system(window_labels=8, hop_labels=4)
    scene.answers(system, range(14), finish=False)
    scene.calls.clear()
    scene.answers(system, range(40, 46), finish=False)
    after = [scene.numbers(inputs["features"]) for inputs in scene.inputs("localizer")][-1]
    assert after == [SILENCE, SILENCE, *range(40, 46)]


def test_perturbations_are_the_same_after_a_reset(scene_of):
    scene = scene_of("mixed")
    system = scene.system(perturbation_deg=3.0, max_overlap=1)
    encoded = []
    for _ in range(2):
        scene.answers(system, range(27), finish=False)
        system.reset()
        scene.calls.clear()
        scene.answers(system, range(33))
        encoded.append(np.stack([inputs["direction"] for inputs in scene.inputs("classifier_encoder")]))
    assert_array_equal(*encoded)


def test_lower_levels_name_fewer_directions(scene_of):
    scene = scene_of("three")
    system = scene.system(window_labels=4, hop_labels=4, max_overlap=3)
    assert system.levels == ("3 tracks", "2 tracks", "1 track")
    for level, tracks in ((0, 3), (2, 1), (1, 2), (0, 3)):
        system.set_level(level)
        scene.calls.clear()
        _, direction, _ = system.infer(window(scene, 0, 4))
        assert np.any(direction != 0, axis=-1).sum(axis=1).tolist() == [tracks] * 4
        assert scene.count("localizer") == scene.count("classifier") == tracks
