"""Weights of a net at the ends of its training's cycles (Huang et al. 2017), and what to do with several of them.

A snapshot holds the weights in the order of `model.get_weights()`: it fits a net and any model around it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

Weights = list[np.ndarray]


def snapshot_path(folder: Path, name: str, number: int) -> Path:
    """Where `fit` leaves snapshot `number`, from 1, of the net `name`."""
    return folder / f"{name}.snapshot{number}.npz"


def save_snapshot(model: keras.Model, path: Path) -> None:
    """Write the weights as they are now."""
    partial = path.with_suffix(".partial.npz")
    np.savez(partial, *model.get_weights())
    partial.replace(path)


def load_snapshot(path: Path) -> Weights:
    """Weights for `model.set_weights`. Raises ValueError if there is no such file."""
    if not path.is_file():
        raise ValueError(f"{path}: got no such file, wanted a snapshot of a training in cycles")
    with np.load(path) as arrays:
        return [arrays[name] for name in arrays.files]


def average_snapshots(paths: Sequence[Path]) -> Weights:
    """The mean of the weights. The moments in norms are averaged too: see `refresh_norms`."""
    snapshots = [load_snapshot(path) for path in paths]
    return [
        np.stack(values).mean(axis=0, dtype=np.float64).astype(np.float32) for values in zip(*snapshots, strict=True)
    ]


def refresh_norms(model: keras.Model, inputs: Iterable[Any]) -> None:
    """Give the batch norms the mean of the moments that batches of training inputs have in them.

    Averaged weights make other moments than those that either net has met (Izmailov et al. 2018, section 3.2).
    """
    norms = [layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.BatchNormalization)]
    usual = [norm.momentum for norm in norms]
    for count, batch in enumerate(inputs):
        for norm in norms:
            norm.momentum = count / (count + 1)
        model(batch, training=True)
    for norm, momentum in zip(norms, usual, strict=True):
        norm.momentum = momentum
