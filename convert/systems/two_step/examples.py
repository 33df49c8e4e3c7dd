"""A recipe and its training data -> inputs of two-step's nets as the device will feed them, for calibration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from convert.data.cache import FeatureCache
from convert.systems.batches import AS_RECORDED, calibration_sampling
from convert.systems.interface import Examples
from convert.systems.recipe import Recipe
from convert.systems.two_step.batches import batch_maker, fusion_batch_maker
from convert.systems.two_step.windows import fusion_inputs, load_windows
from edge.nets.net import Net
from edge.types import FloatArray

STEP_1 = ("doa", "sed")
CALIBRATION_WINDOWS = 200


def examples(recipe: Recipe, cache: FeatureCache, nets: Mapping[str, Net], share: float, seed: int) -> Examples:
    """Whole windows of training scenes at any level: `share` of as many as calibration takes, by net."""
    count = max(1, round(share * CALIBRATION_WINDOWS))
    result: Examples = {}
    for stage in STEP_1:
        inputs, _ = batch_maker(stage, cache, calibration_sampling(recipe, count, seed), recipe.sizes.tracks)(0)
        result[stage] = [{"features": maps} for maps in inputs["features"]]
    if cache.folder is None:
        result["fusion"] = _random_fusion_examples(recipe, nets, result)
    else:
        sampling = replace(calibration_sampling(recipe, count, seed), augmentation=AS_RECORDED)
        windows = load_windows(recipe, cache.folder)
        inputs, _ = fusion_batch_maker(windows, cache, sampling, fusion_inputs(recipe))(0)
        result["fusion"] = [{name: values[number] for name, values in inputs.items()} for number in range(count)]
    return result


def _random_fusion_examples(
    recipe: Recipe, nets: Mapping[str, Net], step_1: Mapping[str, list[dict[str, FloatArray]]]
) -> list[dict[str, FloatArray]]:
    """Inputs of a fusion net with random weights, from what the nets of step 1 answer to their own examples."""
    result = []
    for doa, sed in zip(step_1["doa"], step_1["sed"], strict=True):
        level = doa["features"][..., :1]
        values = {
            "features": doa["features"],
            "beams": np.repeat(level, recipe.sizes.tracks, axis=-1),
            "doa": nets["doa"](features=doa["features"])["hidden"],
            "sed": nets["sed"](features=sed["features"])["hidden"],
        }
        result.append({name: values[name] for name in fusion_inputs(recipe)})
    return result
