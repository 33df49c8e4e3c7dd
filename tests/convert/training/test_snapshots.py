"""Snapshots: what was saved comes back; averages of weights, and the norms that go with them."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest

from convert.training.snapshots import average_snapshots, load_snapshot, refresh_norms, save_snapshot, snapshot_path


def net(seed: int) -> keras.Model:
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((3,), name="x")
    x = keras.layers.Dense(4)(inputs)
    x = keras.layers.BatchNormalization(momentum=0.9)(x)
    return keras.Model({"x": inputs}, keras.layers.Dense(2)(keras.layers.Dropout(0.5)(x)))


def saved(folder: Path, model: keras.Model, number: int) -> Path:
    path = snapshot_path(folder, "sed", number)
    save_snapshot(model, path)
    return path


def test_a_snapshot_fits_the_net_and_a_model_around_it(tmp_path: Path) -> None:
    first = net(1)
    path = saved(tmp_path, first, 3)
    assert [path.name for path in tmp_path.iterdir()] == ["sed.snapshot3.npz"]
    other = net(2)
    around = keras.Model(other.inputs, other(other.inputs))
    for model in (other, around):
        model.set_weights(load_snapshot(path))
        for left, right in zip(model.get_weights(), first.get_weights(), strict=True):
            np.testing.assert_array_equal(left, right)


def test_a_snapshot_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"sed\.snapshot1\.npz: got no such file, wanted a snapshot"):
        load_snapshot(snapshot_path(tmp_path, "sed", 1))


def test_the_average_is_that_of_all_weights(tmp_path: Path) -> None:
    nets = [net(seed) for seed in range(12)]  # two digits: their order is kept
    paths = [saved(tmp_path, model, number) for number, model in enumerate(nets, 1)]
    for found, *values in zip(average_snapshots(paths), *(model.get_weights() for model in nets), strict=True):
        np.testing.assert_allclose(found, np.mean(values, axis=0), atol=1e-6)
        assert found.dtype == np.float32
    for found, kept in zip(average_snapshots(paths[:1]), nets[0].get_weights(), strict=True):
        np.testing.assert_array_equal(found, kept)


def test_norms_get_the_mean_of_the_moments_of_the_batches() -> None:
    model = net(1)
    before = model.get_weights()
    rng = np.random.default_rng(0)
    batches = [{"x": rng.normal(size=(8, 3), loc=count).astype(np.float32)} for count in range(3)]
    refresh_norms(model, batches)
    outputs = [batch["x"] @ before[0] + before[1] for batch in batches]
    (norm,) = (layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization))
    np.testing.assert_allclose(norm.moving_mean, np.mean([x.mean(axis=0) for x in outputs], axis=0), atol=1e-5)
    np.testing.assert_allclose(norm.moving_variance, np.mean([x.var(axis=0) for x in outputs], axis=0), atol=1e-5)
    assert norm.momentum == 0.9
    moving = [weight.path.endswith(("moving_mean", "moving_variance")) for weight in model.weights]
    for left, right, moves in zip(before, model.get_weights(), moving, strict=True):
        assert np.array_equal(left, right) != moves
