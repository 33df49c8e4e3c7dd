"""A recipe file, or the name of one in `convert/recipes` -> `Recipe`; and recipes with other values in places."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, is_dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

from convert.data.augment import Augmentation
from convert.systems import find_system
from convert.systems.recipe import ConversionSettings, Recipe, TrainSettings
from edge.events.decoder import DecodeSettings
from edge.frontend.maps import FeatureSettings
from edge.frontend.stft import StftSettings
from edge.settings import build, read_toml

RECIPE_SUFFIX = ".toml"


def read_recipe(path: Path) -> Recipe:
    """Read a recipe.

    A file has `name`, `system` and a table for each other field of `Recipe`. A table that is left out, and a key that
    is left out of a table, have the defaults of their dataclass; `sizes` and `losses` are those of the system.

    Raises:
        ValueError: The file cannot be read, or has unknown keys, missing ones or wrong values.
    """
    table = read_toml(path)
    for key in ("name", "system"):
        if not isinstance(table.get(key), str):
            raise ValueError(f"{path}: got {key} {table.get(key)!r}, wanted a string")
    try:
        system = find_system(table["system"])
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    kinds: dict[str, type] = {
        "sizes": system.sizes,
        "augmentation": Augmentation,
        "losses": system.losses,
        "features": FeatureSettings,
        "training": TrainSettings,
        "stft": StftSettings,
        "device": dict,
        "decode": DecodeSettings,
        "conversion": ConversionSettings,
        "stages": dict,
    }
    values: dict[str, Any] = {}
    for key, kind in kinds.items():
        value = table.pop(key, {})
        if not isinstance(value, Mapping):
            raise ValueError(f"{path}: {key}: got {value!r}, wanted a table")
        values[key] = build(kind, value, f"{path}: {key}") if is_dataclass(kind) else value
    unknown = sorted(table.keys() - {"name", "system"})
    if unknown:
        raise ValueError(f"{path}: got unknown key {unknown[0]!r}, wanted one of name, system, {', '.join(kinds)}")
    for stage in values["stages"]:
        if stage not in system.stages:
            raise ValueError(f"{path}: stages: got {stage!r}, wanted one of {', '.join(system.stages)}")
    try:
        recipe = Recipe(name=table["name"], system=table["system"], **values)
        for stage in recipe.stages:
            recipe.training_of(stage)
        return recipe
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _shipped_recipes() -> dict[str, Recipe]:
    folder = Path(str(resources.files("convert"))) / "recipes"
    recipes = map(read_recipe, sorted(folder.glob(f"*{RECIPE_SUFFIX}")))
    return {recipe.name: recipe for recipe in recipes}


RECIPES = _shipped_recipes()


def find_recipe(name: str) -> Recipe:
    """The shipped recipe of that name, or the recipe in a file of that path. Raises ValueError for neither."""
    if name in RECIPES:
        return RECIPES[name]
    if name.endswith(RECIPE_SUFFIX):
        return read_recipe(Path(name))
    raise ValueError(f"model: got {name!r}, wanted one of {', '.join(RECIPES)} or the path of a {RECIPE_SUFFIX} file")


def parse_changes(assignments: Sequence[str]) -> dict[str, Any]:
    """TOML assignments such as `sizes.filters=[16, 32, 64]` -> a table for `changed`. Raises ValueError for others."""
    try:
        return tomllib.loads("\n".join(assignments))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"set: got {', '.join(assignments)}, wanted KEY=VALUE as in TOML: {error}") from None


def changed(recipe: Recipe, changes: Mapping[str, Any]) -> Recipe:
    """A recipe with other values for some of its settings.

    Args:
        recipe: Settings that are not named keep its values.
        changes: By name of a table of the recipe, new values by key.

    Raises:
        ValueError: A table or a key is unknown, or a value is wrong.
    """
    known = _changeable(recipe)
    values: dict[str, Any] = {}
    for key, value in changes.items():
        if key not in known:
            raise ValueError(f"{recipe.name}: got unknown key {key!r}, wanted one of {', '.join(known)}")
        if not isinstance(value, Mapping):
            raise ValueError(f"{recipe.name}: {key}: got {value!r}, wanted {key}.NAME")
        now = known[key]
        if isinstance(now, Mapping):
            values[key] = {**now, **(_by_stage(now, value) if key == "stages" else value)}
        else:
            values[key] = build(type(now), asdict(now) | dict(value), f"{recipe.name}: {key}")
    return replace(recipe, **values)


def _changeable(recipe: Recipe) -> dict[str, Any]:
    values = {item.name: getattr(recipe, item.name) for item in fields(recipe)}
    return {name: value for name, value in values.items() if is_dataclass(value) or isinstance(value, Mapping)}


def _by_stage(now: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """The tables of the stages in `new`, with what they have of `now`."""
    return {stage: {**now.get(stage, {}), **own} for stage, own in new.items()}
