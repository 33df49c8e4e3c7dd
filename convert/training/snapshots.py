"""Snapshots: the weights of a net at the end of each cycle of its training (Huang et al. 2017), and their mean.

A snapshot holds the weights in the order of `model.get_weights()`: it fits a net and any model around it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from io import BytesIO
from pathlib import Path

import keras
import numpy as np

from edge.files import write_atomically

Weights = list[np.ndarray]


def snapshot_path(folder: Path, name: str, number: int) -> Path:
    """The file of snapshot `number`, counted from 1, of the stage `name`."""
    return folder / f"{name}.snapshot{number}.npz"


def save_snapshot(model: keras.Model, path: Path) -> None:
    """Write the weights of a model as they are now; a snapshot there is replaced at once."""
    content = BytesIO()
    np.savez(content, *model.get_weights())
    write_atomically(path, content.getvalue())


def load_snapshot(path: Path) -> Weights:
    """The weights of a snapshot, for `model.set_weights`. Raises ValueError if there is no such file."""
    if not path.is_file():
        raise ValueError(f"{path}: got no such file, wanted a snapshot of a training in cycles")
    with np.load(path) as arrays:
        return [arrays[name] for name in arrays.files]


def average_snapshots(paths: Sequence[Path]) -> Weights:
    """The mean of the weights of several snapshots. The moments of norms are averaged too: see `refresh_norms`."""
    snapshots = [load_snapshot(path) for path in paths]
    return [
        np.stack(values).mean(axis=0, dtype=np.float64).astype(np.float32) for values in zip(*snapshots, strict=True)
    ]


def refresh_norms(model: keras.Model, inputs: Iterable[dict[str, np.ndarray]]) -> None:
    """Set the moments of all batch norms to their mean over batches of training inputs.

    Activations under averaged weights have other moments than under any of the snapshots (Izmailov et al. 2018,
    section 3.2).

    Args:
        model: Its norms are changed.
        inputs: Batches of inputs by name.
    """
    norms = [layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.BatchNormalization)]
    usual = [norm.momentum for norm in norms]
    for count, batch in enumerate(inputs):
        for norm in norms:
            norm.momentum = count / (count + 1)
        model(batch, training=True)
    for norm, momentum in zip(norms, usual, strict=True):
        norm.momentum = momentum
