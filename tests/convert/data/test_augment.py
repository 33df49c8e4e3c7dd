"""Augmented features against features of augmented sound, through the device's own STFT and features."""

from __future__ import annotations

import numpy as np
import pytest

from convert.data.augment import (
    Augmentation,
    change_level,
    draw_level_db,
    mask_stripes,
    random_equalizer_db,
    rotate_foa,
    stretch_time,
)
from convert.data.features import device_features
from edge.frontend.maps import FEATURES, FeatureExtractor, FeatureSettings
from edge.frontend.quantities import FLOOR_DB
from edge.frontend.stft import StftSettings
from edge.geometry import foa_gains, unit_vector

STFT = StftSettings()
KINDS = {"logmel_iv": 64, "logpower_phase_iv": 513, "etri": 64}
DIRECTIONS = unit_vector([30.0, -100.0], [20.0, -35.0]).astype(np.float32)  # two waves at once


def features(kind: str, samples: np.ndarray) -> np.ndarray:
    return device_features(samples.astype(np.float32), STFT, FeatureExtractor(FeatureSettings(kind, KINDS[kind]), STFT))


def waves(directions: np.ndarray) -> np.ndarray:
    """Plane waves of different noise from the directions (n, 3), FOA (samples, 4)."""
    return 0.05 * np.random.default_rng(0).standard_normal((4800, len(directions))) @ foa_gains(directions)


def split(kind: str) -> tuple[list[int], list[int]]:
    """Indices of the phase maps and of all other maps."""
    names = FEATURES[kind][1]
    phases = [index for index, name in enumerate(names) if name.startswith("phase")]
    return phases, [index for index in range(len(names)) if index not in phases]


@pytest.mark.parametrize("pattern", range(16))
@pytest.mark.parametrize("kind", KINDS)
def test_rotated_features_are_features_of_rotated_waves(kind: str, pattern: int) -> None:
    maps = features(kind, waves(DIRECTIONS))
    before = maps.copy()
    rotated, turned = rotate_foa(maps, DIRECTIONS, FEATURES[kind][1], pattern)
    np.testing.assert_array_equal(maps, before)
    expected = features(kind, waves(turned))
    phases, others = split(kind)
    np.testing.assert_allclose(rotated[..., others], expected[..., others], atol=2e-3)
    difference = rotated[..., phases] - expected[..., phases]
    np.testing.assert_allclose(np.abs(np.exp(1j * difference) - 1), 0, atol=2e-3)
    if phases:
        assert np.abs(rotated[..., phases]).max() <= np.float32(np.pi)


def test_the_16_patterns_differ_and_the_first_changes_nothing() -> None:
    maps = features("logmel_iv", waves(DIRECTIONS))
    names = FEATURES["logmel_iv"][1]
    results = [rotate_foa(maps, DIRECTIONS, names, pattern) for pattern in range(16)]
    np.testing.assert_array_equal(results[0][0], maps)
    np.testing.assert_array_equal(results[0][1], DIRECTIONS)
    for seen in range(2):
        assert len({np.round(result[seen], 4).tobytes() for result in results}) == 16
    for _, turned in results:
        np.testing.assert_allclose(turned @ turned.T, DIRECTIONS @ DIRECTIONS.T, atol=1e-6)


@pytest.mark.parametrize("pattern", [-1, 16])
def test_unknown_patterns_are_errors(pattern: int) -> None:
    with pytest.raises(ValueError, match=rf"got rotation pattern {pattern}, wanted 0 to 15"):
        rotate_foa(np.zeros((1, 1, 7), np.float32), DIRECTIONS, FEATURES["logmel_iv"][1], pattern)


def test_an_empty_direction_stays_empty() -> None:
    directions = np.zeros((3, 3), np.float32)
    maps = np.zeros((1, 1, 7), np.float32)
    for pattern in range(16):
        assert not rotate_foa(maps, directions, FEATURES["logmel_iv"][1], pattern)[1].any()


@pytest.mark.parametrize("gain_db", [-6.0, 3.5])
@pytest.mark.parametrize("kind", KINDS)
def test_changing_the_level_is_scaling_the_sound(kind: str, gain_db: float) -> None:
    samples = waves(DIRECTIONS)
    maps = features(kind, samples)
    before = maps.copy()
    changed = change_level(maps, FEATURES[kind][1], np.float32(gain_db))
    np.testing.assert_array_equal(maps, before)
    np.testing.assert_allclose(changed, features(kind, samples * 10 ** (gain_db / 20)), atol=2e-3)
    assert np.abs(changed - maps).max() == pytest.approx(abs(gain_db), abs=1e-4)


def test_a_gain_per_band_reaches_log_maps_alone_and_stops_at_the_floor() -> None:
    names = FEATURES["logmel_iv"][1]
    maps = np.zeros((2, 3, 7), np.float32)
    maps[..., :4] = -90.0
    changed = change_level(maps, names, np.array([0.0, -30.0, 5.0], np.float32))
    np.testing.assert_array_equal(changed[..., :4], np.broadcast_to([[-90.0], [FLOOR_DB], [-85.0]], (2, 3, 4)))
    np.testing.assert_array_equal(changed[..., 4:], 0.0)


def test_the_random_equalizer_is_smooth_and_as_strong_as_asked() -> None:
    rng = np.random.default_rng(0)
    curves = np.stack([random_equalizer_db(64, 2.0, rng) for _ in range(500)])
    assert curves.dtype == np.float32
    assert curves.shape == (500, 64)
    assert curves[:, [0, 63]].std() == pytest.approx(2.0, abs=0.2)
    assert abs(curves.mean()) < 0.15
    assert np.abs(np.diff(curves, axis=1)).max() < 10 * 2.0 * 4 / 63


def test_masks_are_one_stripe_each_of_bounded_width() -> None:
    rng = np.random.default_rng(0)
    maps = rng.normal(size=(20, 12, 3)).astype(np.float32)
    before = maps.copy()
    fill = np.arange(36, dtype=np.float32).reshape(12, 3) + 100
    widths, heights = set(), set()
    for _ in range(300):
        masked = mask_stripes(maps, rng, 4, 3, fill)
        filled = np.all(masked == fill, axis=-1)
        frames, bands = filled.all(axis=1), filled.all(axis=0)
        np.testing.assert_array_equal(masked[~filled], maps[~filled])
        np.testing.assert_array_equal(filled, frames[:, None] | bands)
        for stripe, seen in ((frames, widths), (bands, heights)):
            places = np.flatnonzero(stripe)
            assert len(places) == 0 or places[-1] - places[0] + 1 == len(places)
            seen.add(len(places))
    assert (widths, heights) == ({0, 1, 2, 3, 4}, {0, 1, 2, 3})
    np.testing.assert_array_equal(maps, before)


def test_rotation_keeps_channel_means_and_turns_both_intensities() -> None:
    names = ("logmel_mean", "logmel_harmonic", "logmel_percussive", "logmel_y", "logmel_x")
    names += ("active_y", "active_z", "active_x", "reactive_y", "reactive_z", "reactive_x")
    maps = np.random.default_rng(0).normal(size=(6, 4, len(names))).astype(np.float32)
    rotated, turned = rotate_foa(
        maps, np.eye(3, dtype=np.float32), names, 1 + 2 + 8
    )  # x and y exchanged; x, z mirrored
    np.testing.assert_array_equal(turned, [[0, 1, 0], [-1, 0, 0], [0, 0, -1]])
    by_name = dict(zip(names, np.moveaxis(maps, -1, 0), strict=True))
    expected = [by_name[name] for name in names[:3]] + [by_name["logmel_x"], by_name["logmel_y"]]
    for kind in ("active", "reactive"):
        expected += [by_name[f"{kind}_x"], -by_name[f"{kind}_z"], -by_name[f"{kind}_y"]]
    np.testing.assert_array_equal(rotated, np.stack(expected, axis=-1))


def test_the_maps_of_a_microphone_do_not_turn_and_follow_the_level() -> None:
    names = FEATURES["two_step"][1]
    maps = np.random.default_rng(0).normal(size=(6, 4, len(names))).astype(np.float32)
    for pattern in range(16):
        rotated, turned = rotate_foa(maps, DIRECTIONS, names, pattern)
        foa, expected = rotate_foa(maps[..., :7], DIRECTIONS, FEATURES["logmel_iv"][1], pattern)
        np.testing.assert_array_equal(rotated, np.concatenate([foa, maps[..., 7:]], axis=-1))
        np.testing.assert_array_equal(turned, expected)
    raised = change_level(maps, names, np.arange(4, dtype=np.float32)) - maps
    np.testing.assert_allclose(raised[..., [0, 3, 7, 8]], np.arange(4)[:, None] * np.ones((6, 1, 4)), atol=1e-5)
    np.testing.assert_array_equal(raised[..., 4:7], 0.0)


def ramp(labels: int, per_label: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Maps that hold the number of their frame in two bands, and tracks that hold the number of their label frame."""
    maps = np.arange(labels * per_label, dtype=np.float32)[:, None, None] * np.array([[1.0], [-2.0]], np.float32)
    tracks = np.broadcast_to(np.arange(labels, dtype=np.float32)[:, None], (2, labels, 4)).copy()
    return maps, tracks


@pytest.mark.parametrize("speed", [0.8, 1.0, 1.1, 1.25])
def test_stretched_maps_and_tracks_stay_aligned(speed: float) -> None:
    labels = 12
    source = ramp(int(np.ceil(labels * speed)))
    before = [value.copy() for value in source]
    maps, tracks = stretch_time(*source, speed, labels)
    assert (maps.shape, maps.dtype, tracks.shape) == ((60, 2, 1), np.float32, (2, labels, 4))
    place = np.minimum(speed * np.arange(60), len(source[0]) - 1)
    np.testing.assert_allclose(maps[:, 0, 0], place, atol=1e-4)  # linear between frames
    np.testing.assert_allclose(maps[:, 1, 0], -2 * place, atol=1e-4)
    middle = speed * (5 * np.arange(labels) + 2.5)  # of a label frame, in frames of the source
    np.testing.assert_array_equal(tracks[1, :, 0], np.floor(middle / 5))
    for value, kept in zip(source, before, strict=True):
        np.testing.assert_array_equal(value, kept)
    if speed == 1.0:
        np.testing.assert_array_equal(maps, source[0])
        np.testing.assert_array_equal(tracks, source[1])


@pytest.mark.parametrize("speed", [0.8, 1.25])
def test_the_length_of_an_event_follows_the_speed(speed: float) -> None:
    maps, tracks = np.full((125, 2, 1), -50.0, np.float32), np.zeros((1, 25, 4), np.float32)
    maps[40:80], tracks[:, 8:16] = 0.0, 1.0
    maps, tracks = stretch_time(maps, tracks, speed, 20)
    heard, labelled = np.flatnonzero(maps[:, 0, 0] > -25), np.flatnonzero(tracks[0, :, 0])
    np.testing.assert_allclose(heard[[0, -1]] + [0, 1], np.array([40, 80]) / speed, atol=1)
    np.testing.assert_allclose(labelled[[0, -1]] + [0, 1], np.array([8, 16]) / speed, atol=0.5)


@pytest.mark.parametrize("speed", [(0.0, 1.0), (1.25, 0.8), (-1.0, 1.0)])
def test_invalid_speeds_are_errors(speed: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match=r"got speed .*, wanted two numbers above 0, the lower one first"):
        Augmentation(speed=speed)


def test_the_volume_is_a_factor_that_is_drawn_uniformly():
    """CoLoC, section 3.6: a factor of 0.5 to 1.5, so that half of the draws are louder; in dB it would be 37 %."""
    rng, settings = np.random.default_rng(0), Augmentation(level_db=(0.0, 0.0), volume=(0.5, 1.5))
    factors = 10 ** (np.array([draw_level_db(settings, rng) for _ in range(4000)]) / 20)
    assert np.histogram(factors, 4, (0.5, 1.5))[0] == pytest.approx([1000] * 4, abs=100)
    assert np.all((factors >= 0.5) & (factors <= 1.5))
    with pytest.raises(ValueError, match=r"got volume \(0.0, 1.0\), wanted two numbers above 0"):
        Augmentation(volume=(0.0, 1.0))


def test_without_a_volume_the_level_draws_once():
    settings, ours, numpys = Augmentation(level_db=(-15.0, 10.0)), np.random.default_rng(1), np.random.default_rng(1)
    assert draw_level_db(settings, ours) == numpys.uniform(-15.0, 10.0)
    assert ours.random() == numpys.random()
