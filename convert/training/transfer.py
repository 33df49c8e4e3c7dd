"""Convolutions of a trained CoLoC -> the first ones of another net that hears the same maps.

The paper of two-step begins with an SED net that others have trained on far more than it has. What CoLoC's nets have
learnt about log-mel and intensity is such a start for its DoA and its fusion net.
"""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np

from convert.training.recipes import find_recipe
from convert.training.run_file import RUN_FILE, read_run
from convert.training.start import start_classes
from convert.training.trained import load_stage

TEACHERS = {"doa": "localizer", "fusion": "classifier"}  # by stage


def teach(stage: str, net: keras.Model, start: Path) -> int:
    """Give a net of stage `doa` or `fusion` the convolutions of the CoLoC in `start`; returns how many fit."""
    if stage not in TEACHERS:
        return 0
    recipe = find_recipe(read_run(start).model if (start / RUN_FILE).is_file() else start.name)
    *_, teacher = load_stage(TEACHERS[stage], recipe, len(start_classes(start)), start)
    return adopt_convolutions(net, teacher)


def adopt_convolutions(net: keras.Model, teacher: keras.Model) -> int:
    """Weights of the first convolutions of `teacher` and of their norms -> those of `net`; returns how many fit.

    Layers are `NAME_conv` and `NAME_norm`. Further maps that only `net` hears begin with zeros. What comes after the
    first pair of different shape stays as it is.
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
