"""Directions by masks: of each class by the intensity where its mask is, over some label frames."""

import numpy as np
from numpy.testing import assert_allclose

from edge.frontend.maps import FEATURES
from edge.geometry import unit_vector
from edge.systems.etri.masks import INTENSITY, STEADY_LABELS, mask_directions
from edge.systems.etri.window import DOAE_MAPS

LABELS, PER_LABEL, BANDS, CLASSES = 20, 4, 8, 2
FRAMES = LABELS * PER_LABEL
LEFT, UP = unit_vector(90.0, 0.0), unit_vector(0.0, 60.0)


def maps_of(directions):
    """Maps with unit vectors (frames, bands, 3) as active intensity, and other values in the other maps."""
    maps = np.random.default_rng(0).normal(size=(FRAMES, BANDS, 10)).astype(np.float32)
    maps[..., INTENSITY] = directions[..., [1, 2, 0]]
    return maps


def test_the_maps_of_intensity_are_those_of_the_features():
    assert FEATURES["etri"][1][DOAE_MAPS][INTENSITY] == ("active_y", "active_z", "active_x")


def test_the_direction_of_a_class_is_that_of_the_intensity_in_its_mask():
    directions = np.broadcast_to(LEFT, (FRAMES, BANDS, 3)).copy()
    directions[:, BANDS // 2 :] = UP
    masks = np.zeros((FRAMES // 2, BANDS // 2, CLASSES), np.float32)
    masks[:, : BANDS // 4, 0] = 0.9
    masks[:, BANDS // 4 :, 1] = 0.1  # how much it is does not matter
    found = mask_directions(masks, maps_of(directions), LABELS)
    assert found.shape == (LABELS, CLASSES, 3)
    assert_allclose(found[:, 0], np.broadcast_to(LEFT, (LABELS, 3)), atol=1e-5)
    assert_allclose(found[:, 1], np.broadcast_to(UP, (LABELS, 3)), atol=1e-5)


def test_an_empty_mask_gives_no_direction():
    masks = np.zeros((FRAMES // 2, BANDS // 2, CLASSES), np.float32)
    assert not mask_directions(masks, maps_of(np.broadcast_to(LEFT, (FRAMES, BANDS, 3))), LABELS).any()


def test_the_running_mean_is_centred():
    directions = np.broadcast_to(LEFT, (FRAMES, BANDS, 3)).copy()
    directions[FRAMES // 2 :] = -LEFT
    masks = np.ones((FRAMES // 2, BANDS // 2, CLASSES), np.float32)
    masks[FRAMES // 4 :] = 0.5  # what comes later weighs less
    found = mask_directions(masks, maps_of(directions), LABELS)[:, 0, 1]
    weights = np.where(np.arange(LABELS) < LABELS // 2, 1.0, -0.5)
    reach = STEADY_LABELS // 2
    sums = [weights[max(0, label - reach) : label + reach + 1].sum() for label in range(LABELS)]
    assert_allclose(found, np.sign(np.round(sums, 6)), atol=1e-5)
