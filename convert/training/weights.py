"""Weights that training left in a folder -> the nets of a stage, or the first convolutions of another net.

The paper of two-step begins with an SED net that others have trained on far more data than it has. The convolutions of
CoLoC, trained on log-mel and intensity maps, are such a start for the DOA and the fusion net, which take the same maps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np

from convert.systems import find_system
from convert.systems.interface import KerasNets
from convert.systems.recipe import Recipe
from convert.training.recipes import find_recipe
from convert.training.run_json import RUN_FILE, run_recipe
from convert.training.warm_start import start_classes

TEACHERS = {"doa": "localizer", "fusion": "classifier", "localizer": "localizer", "classifier": "classifier"}
"""Stage -> the stage of CoLoC whose convolutions it can begin with: stages of two-step, and of causal CoLoC."""


def weights_path(folder: Path, net: str) -> Path:
    """The file of the weights of a net in a run or among shipped weights."""
    return folder / f"{net}.weights.h5"


def load_stage(stage: str, recipe: Recipe, classes: int, folder: Path) -> KerasNets:
    """The nets of a stage with the weights that training left in a folder.

    Raises:
        ValueError: The folder holds no weights of these nets.
    """
    nets = find_system(recipe.system).build(stage, recipe, classes)
    for net in nets:
        path = weights_path(folder, net.name)
        if not path.is_file():
            raise ValueError(f"{path}: got no such file, wanted weights that `seld-convert train` wrote")
        try:
            net.load_weights(path)
        except (ValueError, KeyError, OSError) as error:
            raise ValueError(f"{path}: not weights of this net: {' '.join(str(error).split())}") from None
    return nets


def start_stage(stage: str, recipe: Recipe, classes: int, folder: Path) -> KerasNets:
    """The nets of a stage with the weights in a folder.

    Weights of a recipe without distances do for one with them: what tells the distance then begins with random weights.

    Raises:
        ValueError: The folder holds no weights of these nets.
    """
    system, known = find_system(recipe.system), start_recipe(folder)
    if known.system != recipe.system or system.distances(known) or not system.distances(recipe):
        return load_stage(stage, recipe, classes, folder)
    nets = system.build(stage, recipe, classes)
    without = replace(recipe, device={name: value for name, value in recipe.device.items() if name != "distance"})
    for net, other in zip(nets, load_stage(stage, without, classes, folder), strict=True):
        for layer in other.layers:
            if layer.weights:
                net.get_layer(layer.name).set_weights(layer.get_weights())
    return nets


def start_recipe(start: Path) -> Recipe:
    """The recipe of a run or of shipped weights. Raises ValueError if the folder is neither."""
    return run_recipe(start) if (start / RUN_FILE).is_file() else find_recipe(start.name)


def teach(stage: str, net: keras.Model, teacher_folder: Path) -> int:
    """Give a net of a stage named in `TEACHERS` the convolutions of a trained CoLoC.

    Args:
        stage: A stage with no entry in `TEACHERS` is left as it is.
        net: Its first convolutions are changed as far as they fit.
        teacher_folder: A run or shipped weights of CoLoC.

    Returns:
        How many convolutions fitted.

    Raises:
        ValueError: The folder holds no weights of CoLoC.
    """
    if stage not in TEACHERS:
        return 0
    recipe = start_recipe(teacher_folder)
    *_, teacher = load_stage(TEACHERS[stage], recipe, len(start_classes(teacher_folder)), teacher_folder)
    return adopt_convolutions(net, teacher)


def freeze(net: keras.Model, beginnings: Sequence[str]) -> None:
    """Have layers stay as they are in training: their weights are kept, and they drop nothing out.

    Args:
        net: A net before its training.
        beginnings: How the names of the layers begin.

    Raises:
        ValueError: No layer has such a name.
    """
    for beginning in beginnings:
        layers = [layer for layer in net.layers if layer.name.startswith(beginning)]
        if not layers:
            raise ValueError(f"frozen: got {beginning!r}, wanted how the name of a layer of {net.name} begins")
        for layer in layers:
            layer.trainable = False
            if isinstance(layer, keras.layers.Dropout):
                layer.rate = 0.0


def adopt_convolutions(net: keras.Model, teacher: keras.Model) -> int:
    """Copy the first convolutions of `teacher` and their norms to those of `net`.

    Layers are named `NAME_conv` and `NAME_norm`. Input maps that only `net` has get zeros. Convolutions from the first
    pair on that differs in shape stay as they are.

    Returns:
        How many convolutions fitted.
    """
    adopted = 0
    for own, other in zip(_convolutions(net), _convolutions(teacher), strict=False):
        kernel, bias = other.get_weights()
        shape = own.kernel.shape
        further = shape[2] - kernel.shape[2]
        if shape[:2] != kernel.shape[:2] or shape[3] != kernel.shape[3] or further < 0 or (adopted and further):
            break
        own.set_weights([np.pad(kernel, [(0, 0), (0, 0), (0, further), (0, 0)]), bias])
        _norm_behind(net, own).set_weights(_norm_behind(teacher, other).get_weights())
        adopted += 1
    return adopted


def _convolutions(net: keras.Model) -> list[keras.layers.Conv2D]:
    return [layer for layer in net.layers if isinstance(layer, keras.layers.Conv2D) and layer.name.endswith("_conv")]


def _norm_behind(net: keras.Model, convolution: keras.layers.Layer) -> keras.layers.Layer:
    return net.get_layer(convolution.name.removesuffix("_conv") + "_norm")
