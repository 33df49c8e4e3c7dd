"""Recipes with other values for some of their settings."""

from __future__ import annotations

from dataclasses import replace

import pytest

from convert.training.recipes import changed, find_recipe, parse_changes


def test_what_is_named_changes_and_the_rest_stays() -> None:
    recipe = find_recipe("coloc-edge")
    changes = parse_changes(["sizes.filters=[16, 32, 64]", "training.learning_rate = 5e-4", "losses.pair_power=0"])
    assert changed(recipe, changes) == replace(
        recipe,
        sizes=replace(recipe.sizes, filters=(16, 32, 64)),
        training=replace(recipe.training, learning_rate=5e-4),
        losses=replace(recipe.losses, pair_power=0.0),
    )
    assert changed(recipe, {}) == recipe


def test_settings_of_the_system_are_a_table_of_their_own() -> None:
    recipe = changed(find_recipe("coloc-edge"), parse_changes(["device.look_ahead_labels=2"]))
    assert recipe.device == {"mode": "streaming", "look_ahead_labels": 2}


@pytest.mark.parametrize(
    ("assignments", "message"),
    [
        (["sizes.filter=[1, 2, 3]"], "sizes: got unknown key 'filter'"),
        (["sizes=3"], "sizes: got 3, wanted sizes.NAME"),
        (["sizes.bands=32"], r"got features.bands 64, wanted 32"),
        (["losses.pair_power=[]"], r"losses: pair_power: got \[\], wanted float"),
        (["name=3"], "got unknown key 'name', wanted one of sizes, augmentation, losses, features, training"),
        (["pair_power"], "set: got pair_power, wanted KEY=VALUE"),
        (["a=1", "a=2"], "set: got a=1, a=2, wanted KEY=VALUE"),
    ],
)
def test_wrong_changes(assignments: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        changed(find_recipe("coloc-edge"), parse_changes(assignments))
