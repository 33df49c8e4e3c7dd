"""Nets of a stage with the weights that training left in a folder."""

from __future__ import annotations

from pathlib import Path

import keras

from convert.systems import SYSTEMS
from convert.training.recipes import Recipe


def load_stage(stage: str, recipe: Recipe, classes: int, folder: Path) -> tuple[keras.Model, ...]:
    """The nets of a stage as `train_stages` left them."""
    nets = SYSTEMS[recipe.system].build(stage, recipe, classes)
    for net in nets:
        path = folder / f"{net.name}.weights.h5"
        if not path.is_file():
            raise ValueError(f"{path}: got no such file, wanted weights that `seld-convert train` wrote")
        try:
            net.load_weights(path)
        except (ValueError, KeyError, OSError) as error:
            raise ValueError(f"{path}: not weights of this net: {' '.join(str(error).split())}") from None
    return nets
