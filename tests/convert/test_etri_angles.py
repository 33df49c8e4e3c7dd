"""The last layers of DOAE learn what a vector's angles are, and are left alone once they know."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from convert.systems import etri_angles
from convert.systems.etri_angles import ANGLE_LAYERS, teach_angles
from convert.systems.etri_dev import direction_error_deg
from convert.systems.etri_nets import EtriSizes, build_doae

SIZES = EtriSizes(frames=40, bands=16, sad_filters=(4, 4), sed_filters=(4, 4), doae_filters=(4, 4), trellis_units=4)


def weights(net: keras.Model) -> dict[str, list[np.ndarray]]:
    return {layer.name: layer.get_weights() for layer in net.layers}


def error_deg(net: keras.Model) -> float:
    vectors, target = etri_angles._examples(np.random.default_rng(9))
    return direction_error_deg(target, np.asarray(etri_angles._angles_of(net)(vectors)))


def test_what_vectors_are_for() -> None:
    vectors, target = etri_angles._examples(np.random.default_rng(0))
    y, z, x = np.moveaxis(vectors[:, :, 0], -1, 0)
    np.testing.assert_allclose(180.0 * target[..., 0], np.rad2deg(np.arctan2(y, x)), atol=1e-3)
    np.testing.assert_allclose(180.0 * target[..., 1], np.rad2deg(np.arctan2(z, np.hypot(x, y))), atol=1e-3)
    assert np.all(target[..., 2] == 1.0)


def test_angles_are_learnt_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(etri_angles, "STEPS", 400)
    net = build_doae(SIZES, 3)
    before, untaught = weights(net), error_deg(net)
    teach_angles(net)
    assert error_deg(net) < 10.0 < 60.0 < untaught
    taught = weights(net)
    for name, values in taught.items():
        same = all(np.array_equal(left, right) for left, right in zip(before[name], values, strict=True))
        assert same == (name not in ANGLE_LAYERS), name
    teach_angles(net)
    for name, values in weights(net).items():
        assert all(np.array_equal(left, right) for left, right in zip(taught[name], values, strict=True))
