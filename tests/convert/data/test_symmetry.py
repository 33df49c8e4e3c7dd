"""The symmetry of arrays: which rotations are the same as an exchange of channels."""

from dataclasses import replace

import numpy as np
import pytest

from convert.data.augment import Augmentation, augmented, rotate_samples
from convert.data.cache import Chunk, FeatureCache
from convert.data.symmetry import PATTERNS, symmetries, turned_places
from convert.scenes.capsules import capsule_response, encode
from edge.arrays.profile import load_array
from edge.frontend.maps import FEATURES, FeatureSettings
from edge.frontend.stft import StftSettings
from edge.geometry import unit_vector


@pytest.mark.parametrize(
    ("name", "count"), [("foa", 16), ("em32_tetra", 8), ("open_tetra", 8), ("respeaker_usb4", 16), ("xvf3800", 16)]
)
def test_the_group_follows_from_the_capsules(name, count):
    found = symmetries(load_array(name))
    assert len(found) == count and 0 in found
    if count == 8:  # a tetrahedron turns into its mirror image by an odd number of mirrored axes
        assert all(bin(pattern >> 1).count("1") % 2 == 0 for pattern in found)


def test_a_rectangle_has_no_diagonal_symmetry_and_an_uneven_array_none_but_its_plane():
    square = load_array("respeaker_usb4")
    wide = replace(square, capsule_position_m=((0.03, 0.02, 0), (0.03, -0.02, 0), (-0.03, 0.02, 0), (-0.03, -0.02, 0)))
    assert symmetries(wide) == tuple(range(0, 16, 2))
    uneven = replace(square, capsule_position_m=((0.03, 0, 0), (0.01, 0.04, 0), (-0.02, 0.01, 0), (0.0, -0.03, 0)))
    assert symmetries(uneven) == (0, 8)


@pytest.mark.parametrize("name", ["em32_tetra", "respeaker_usb4"])
def test_a_symmetric_rotation_is_an_exchange_of_channels_with_all_aliasing(name):
    """A wave from one direction, turned after encoding, is the wave from the turned direction, at all frequencies.

    The filters of the encoder, designed on a grid of directions, are symmetric within a few percent themselves.
    """
    array = load_array(name)
    array = replace(array, channels=4, channel_map=(0, 1, 2, 3), capsule_gain_db=(), capsule_tilt_db=())
    here = unit_vector(np.array([33.0]), np.array([12.0]))

    def heard(direction):
        return encode(np.pad(capsule_response(array)(direction)[0].T.astype(np.float32), ((480, 480), (0, 0))), array)

    unturned = heard(here)
    for pattern in (2, 4, 6, 7, 9):
        turned, _ = rotate_samples(unturned, here.astype(np.float32), pattern)
        wanted = heard(turned_places(here, pattern))
        close = np.mean((turned - wanted) ** 2) < 0.1**2 * np.mean(wanted**2)
        assert close == (pattern in symmetries(array)), pattern


def test_symmetric_only_rotates_by_the_patterns_of_the_recording():
    kind = "logmel_iv"
    names = FEATURES[kind][1]
    maps = np.random.default_rng(0).normal(size=(10, 8, len(names))).astype(np.float32)
    tracks = np.zeros((3, 2, 4), np.float32)
    tracks[0] = (1.0, 0.5, 0.2, 0.0)
    zeros, ones = np.zeros((8, len(names)), np.float32), np.ones((8, len(names)), np.float32)
    cache = FeatureCache(maps, tracks, (0, 2), ("a",), StftSettings(), FeatureSettings(kind, 8), zeros, ones)
    settings = Augmentation(level_db=(0.0, 0.0), rotated_share=1.0, symmetric_only=True)
    seen = set()
    for seed in range(60):
        chunk = augmented(Chunk(maps, tracks, (0, 6)), cache, settings, np.random.default_rng(seed))
        occupied = chunk.tracks[np.any(chunk.tracks[..., :3] != 0, axis=-1)]
        seen.add((*np.sign(occupied[0, :2]), bool(abs(occupied[0, 0]) > abs(occupied[0, 1]))))
    assert seen == {(1.0, 1.0, True), (-1.0, -1.0, True)}
    assert cache.sample(2, np.random.default_rng(0)).patterns == PATTERNS
    assert replace(cache, patterns=((0, 6),)).sample(2, np.random.default_rng(0)).patterns == (0, 6)
