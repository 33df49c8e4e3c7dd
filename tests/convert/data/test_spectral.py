"""Shifts and crops of frequency, and mixtures of chains."""

from functools import partial

import numpy as np
import pytest

from convert.data.augment import Augmentation
from convert.data.spectral import crop_bands, mix_chains, shift_bands

NAMES = ("logmel_w", "intensity_x", "phase_y")
MAPS = np.random.default_rng(0).normal(size=(10, 16, 3)).astype(np.float32)
FILL = np.full((16, 3), 7.0, np.float32)


@pytest.mark.parametrize("bands", [-3, 0, 3])
def test_a_shift_moves_all_channels_by_the_same_bands_but_no_phases(bands):
    shifted = shift_bands(MAPS, NAMES, bands)
    inside = np.arange(3, 13)
    np.testing.assert_array_equal(shifted[:, inside, :2], MAPS[:, inside - bands, :2])
    np.testing.assert_array_equal(shifted[..., 2], MAPS[..., 2])
    if bands == 3:
        np.testing.assert_array_equal(shifted[:, :3, 0], MAPS[:, [2, 1, 0], 0])  # mirrored
    if bands == -3:
        np.testing.assert_array_equal(shifted[:, 13:, 0], MAPS[:, [15, 14, 13], 0])


def test_a_crop_keeps_what_is_inside():
    cropped = crop_bands(MAPS, FILL, 2, 12)
    np.testing.assert_array_equal(cropped[:, 2:12], MAPS[:, 2:12])
    assert np.all(cropped[:, :2] == 7) and np.all(cropped[:, 12:] == 7)
    np.testing.assert_array_equal(crop_bands(MAPS, FILL, 0, 16), MAPS)


def test_a_mixture_of_chains_is_a_convex_one():
    same = mix_chains(MAPS, NAMES, [lambda maps: maps], 3, np.random.default_rng(0))
    np.testing.assert_allclose(same, MAPS, atol=1e-6)  # the weights sum to 1
    add = partial(np.add, np.float32(1.0))
    shares = [(mix_chains(MAPS, NAMES, [add], 3, np.random.default_rng(seed)) - MAPS) for seed in range(20)]
    assert all(np.ptp(share[..., :2]) < 1e-5 and np.all(share[..., 2] == 0) for share in shares)
    means = [share[0, 0, 0] for share in shares]
    assert min(means) >= 0 and max(means) <= 3 and np.std(means) > 0.3  # one to three steps in each chain


def test_settings_below_zero_are_errors():
    with pytest.raises(ValueError, match="got shifted_bands -1"):
        Augmentation(shifted_bands=-1)
