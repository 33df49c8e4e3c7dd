"""A recipe and its training data -> inputs of ETRI's nets as the device will feed them, for calibration and checks."""

from __future__ import annotations

from collections.abc import Mapping

from convert.data.cache import FeatureCache
from convert.systems.batches import calibration_sampling
from convert.systems.etri.batches import batch_maker
from convert.systems.interface import Examples
from convert.systems.recipe import Recipe
from edge.nets.net import Net
from edge.systems.ensembles import net_of

STAGES = ("sad", "sed", "doae")
CALIBRATION_WINDOWS = 200


def examples(recipe: Recipe, cache: FeatureCache, nets: Mapping[str, Net], share: float, seed: int) -> Examples:
    """Whole windows of training scenes at any level: `share` of as many as calibration takes, by net."""
    count = max(1, round(share * CALIBRATION_WINDOWS))
    result: Examples = {}
    for stage in STAGES:
        inputs, _ = batch_maker(stage, cache, calibration_sampling(recipe, count, seed))(0)
        result[stage] = [{"features": maps} for maps in inputs["features"]]
    return result | {name: result[net_of(name)] for name in nets}
