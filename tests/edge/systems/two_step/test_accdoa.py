import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal

from edge.geometry import unit_vector
from edge.systems.two_step.accdoa import decode_accdoa, steered


def angle_deg(a, b):
    """Angle between two vectors as in the baseline, in float64."""
    cosine = np.dot(a, b) / np.sqrt(np.dot(a, a) * np.dot(b, b))
    return np.rad2deg(np.arccos(np.clip(cosine, -1.0, 1.0)))


def baseline(tracks, threshold, unify_deg):
    """The rule of the DCASE 2022 baseline for three vectors of one class -> the vectors of its sources."""
    first, second, third = tracks
    on = [np.linalg.norm(each) > threshold for each in tracks]

    def similar(a, b):
        return bool(on[a] and on[b] and angle_deg(tracks[a], tracks[b]) < unify_deg)

    pairs = similar(0, 1), similar(1, 2), similar(2, 0)
    if sum(pairs) == 0:
        return [each for each, active in zip(tracks, on, strict=True) if active]
    if sum(pairs) >= 2:
        return [(first + second + third) / 3]
    alone = {(1, 0, 0): 2, (0, 1, 0): 0, (0, 0, 1): 1}[tuple(map(int, pairs))]
    one, other = (each for index, each in enumerate(tracks) if index != alone)
    return [(one + other) / 2] + ([tracks[alone]] if on[alone] else [])


def expected(frame, threshold, unify_deg):
    """Sources of one label frame (3 tracks, 3 axes, classes) as (class, vector), the strongest first."""
    found = [
        (index, vector)
        for index in range(frame.shape[2])
        for vector in baseline(frame[:, :, index].astype(np.float64), threshold, unify_deg)
    ]
    return sorted(found, key=lambda each: -np.linalg.norm(each[1]))


def clear(output, threshold, unify_deg):
    """Whether rounding decides neither which tracks are active nor which are near."""
    vectors = output.astype(np.float64).transpose(0, 3, 1, 2).reshape(-1, 3, 3)
    lengths = np.linalg.norm(vectors, axis=2)
    if np.abs(lengths - threshold).min() < 1e-4:
        return False
    for tracks, active in zip(vectors, lengths > threshold, strict=True):
        for a, b in ((0, 1), (1, 2), (2, 0)):
            if active[a] and active[b] and abs(angle_deg(tracks[a], tracks[b]) - unify_deg) < 0.01:
                return False
    return True


def check(output, threshold=0.5, unify_deg=15.0):
    labels, _, _, classes = output.shape
    slots = 3 * classes
    activity, direction = decode_accdoa(output, slots, threshold, unify_deg)
    assert activity.shape == (labels, slots, classes) and direction.shape == (labels, slots, 3)
    assert activity.dtype == direction.dtype == np.float32
    for label in range(labels):
        wanted = expected(output[label], threshold, unify_deg)
        lengths = [np.linalg.norm(vector) for _, vector in wanted]
        assert_allclose(
            activity[label].max(axis=1), [*np.minimum(lengths, 1), *[0.0] * (slots - len(wanted))], atol=1e-5
        )
        assert_array_equal((activity[label] > 0).sum(axis=1), [1] * len(wanted) + [0] * (slots - len(wanted)))
        assert_array_equal(direction[label, len(wanted) :], 0.0)
        classes_of, left = activity[label].argmax(axis=1), list(range(len(wanted)))
        for index, vector in wanted:
            unit = vector / np.linalg.norm(vector)
            left.remove(
                next(n for n in left if classes_of[n] == index and np.abs(direction[label, n] - unit).max() < 1e-3)
            )


def degrees(*pairs):
    return np.array([unit_vector(azimuth, elevation) for azimuth, elevation in pairs])


@given(
    arrays(np.float32, (1, 3, 3, 2), elements=st.floats(-1, 1, width=16)),
    st.sampled_from([0.3, 0.5, 0.7]),
    st.sampled_from([5.0, 15.0, 40.0, 75.0]),
)
def test_any_output_is_decoded_as_the_baseline_does(output, threshold, unify_deg):
    assume(clear(output, threshold, unify_deg))
    check(output, threshold, unify_deg)


@given(st.integers(0, 10**6), st.floats(2, 30), st.floats(0.3, 1.1))
def test_tracks_that_nearly_agree_are_decoded_as_the_baseline_does(seed, spread_deg, length):
    rng = np.random.default_rng(seed)
    toward = rng.normal(size=(4, 1, 3, 5))
    toward /= np.linalg.norm(toward, axis=2, keepdims=True)
    output = toward + rng.normal(size=(4, 3, 3, 5)) * np.deg2rad(spread_deg) / np.sqrt(3)
    output = (length * rng.uniform(0.6, 1.2, (4, 3, 1, 5)) * output).astype(np.float32)
    assume(clear(output, 0.5, 15.0))
    check(output)


def test_three_near_tracks_are_one_source():
    output = np.zeros((1, 3, 3, 2), np.float32)
    output[0, :, :, 1] = 0.9 * degrees((30, -20), (33, -20), (27, -20))
    activity, direction = decode_accdoa(output, 3)
    assert_allclose(activity[0], [[0, 0.9], [0, 0], [0, 0]], atol=2e-3)
    assert_allclose(direction[0], [unit_vector(30, -20), np.zeros(3), np.zeros(3)], atol=1e-3)


def test_distant_tracks_stay_two_sources_and_a_chain_of_near_ones_is_one():
    output = np.zeros((2, 3, 3, 1), np.float32)
    output[0, :, :, 0] = degrees((0, 0), (100, 0), (8, 0)) * [[0.8], [0.7], [0.6]]
    output[1, :, :, 0] = degrees((0, 0), (28, 0), (14, 0))  # the ends are 28 degrees apart
    activity, direction = decode_accdoa(output, 3)
    assert_allclose(activity[0, :, 0], [0.7, 0.7 * np.cos(np.deg2rad(4)), 0], atol=2e-3)
    assert_allclose(
        sorted(direction[0, :2, 1]), [np.sin(np.deg2rad(8 * 0.6 / 1.4)), np.sin(np.deg2rad(100))], atol=1e-3
    )
    assert_array_equal(activity[1, 1:], 0)
    assert_allclose(direction[1, 0], unit_vector(14, 0), atol=1e-6)


def test_classes_are_not_unified_and_the_strongest_are_kept():
    output = np.zeros((1, 3, 3, 4), np.float32)
    for index, length in enumerate((0.6, 0.9, 0.4, 1.5)):
        output[0, 0, :, index] = length * unit_vector(30, -20)
    activity, direction = decode_accdoa(output, 2)
    assert_allclose(activity[0], [[0, 0, 0, 1.0], [0, 0.9, 0, 0]], atol=1e-6)
    assert_allclose(direction[0], [unit_vector(30, -20)] * 2, atol=1e-6)
    kept = output.copy()
    activity, direction = decode_accdoa(output, 20)
    assert activity.shape == (1, 20, 4) and np.count_nonzero(activity) == 3
    assert_array_equal(np.any(direction != 0, axis=2)[0], [True] * 3 + [False] * 17)
    assert_array_equal(output, kept)


@pytest.mark.parametrize("labels", [0, 1, 50])
def test_silence(labels):
    with np.errstate(all="raise"):
        activity, direction = decode_accdoa(np.zeros((labels, 3, 3, 13), np.float32), 3)
    assert_array_equal(activity, np.zeros((labels, 3, 13)))
    assert_array_equal(direction, np.zeros((labels, 3, 3)))


# Steering


def test_a_direction_turns_toward_the_nearest_sure_track():
    direction = np.stack([unit_vector(0.0, 0.0), unit_vector(90.0, 0.0), unit_vector(0.0, 60.0)]).astype(np.float32)
    tracks = [0.9 * unit_vector(10.0, 0.0), 0.4 * unit_vector(-2.0, 0.0), 0.6 * unit_vector(150.0, 0.0)]
    tracks = np.array(tracks, np.float32)  # near, nearer but not sure, far
    (turned,) = steered(direction[None], tracks[None], 0.5, 45.0, 1.0)
    assert_allclose(turned, [unit_vector(10.0, 0.0), unit_vector(90.0, 0.0), unit_vector(0.0, 60.0)], atol=1e-6)
    (turned,) = steered(direction[None], tracks[None], 0.3, 45.0, 1.0)
    assert_allclose(turned[0], unit_vector(-2.0, 0.0), atol=1e-6)
    (turned,) = steered(direction[None], tracks[None], 0.5, 61.0, 1.0)
    assert_allclose(turned[1], unit_vector(150.0, 0.0), atol=1e-6)
    (turned,) = steered(direction[None], tracks[None], 0.5, 45.0, 0.5)
    assert_allclose(turned[0], unit_vector(5.0, 0.0), atol=1e-6)


@given(
    arrays(np.float32, (4, 2, 3), elements=st.floats(-1, 1, width=32)),
    arrays(np.float32, (4, 3, 3), elements=st.floats(-1, 1, width=32)),
    st.floats(0, 90),
    st.floats(0, 1),
)
def test_steering_keeps_lengths_and_moves_directions_nearer_to_a_track(given_vectors, tracks, most_deg, share):
    lengths = np.linalg.norm(given_vectors, axis=2, keepdims=True)
    direction = np.where(lengths > 0.1, given_vectors / np.maximum(lengths, 0.1), np.float32(0.0))
    turned = steered(direction, tracks, 0.5, most_deg, share)
    assert turned.dtype == np.float32
    assert_array_equal(turned[lengths[..., 0] <= 0.1], 0.0)
    assert_allclose(np.linalg.norm(turned, axis=2), lengths[..., 0] > 0.1, atol=1e-5)
    sure = np.linalg.norm(tracks, axis=2) > 0.5
    for label, slot in np.argwhere(lengths[..., 0] > 0.1):
        apart = [angle_deg(direction[label, slot], track) for track in tracks[label][sure[label]]]
        if not apart or min(apart) > most_deg + 0.1:
            assert_array_equal(turned[label, slot], direction[label, slot])
        elif min(apart) < most_deg - 0.1:
            after = min(angle_deg(turned[label, slot], track) for track in tracks[label][sure[label]])
            assert after <= min(apart) + 0.1
