"""Name of a recipe of CoLoC, settings of the device -> that recipe with nets of a few weights."""

from __future__ import annotations

from dataclasses import replace

from convert.systems.recipe import Recipe
from convert.training.recipes import find_recipe

BANDS = 8
LABELS = 12  # of a window


def tiny_recipe(name: str, **device: object) -> Recipe:
    recipe = find_recipe(name)
    sizes = replace(
        recipe.sizes,
        frames=5 * LABELS,
        bands=BANDS,
        filters=(4, 5, 6),
        frequency_pools=(2, 2, 1),
        gru_units=6,
        dense_units=6,
    )
    told = {"mode": "streaming", "window_labels": LABELS, "hop_labels": 2, "threshold": 0.02}
    return replace(recipe, sizes=sizes, features=replace(recipe.features, bands=BANDS), device=told | device)
