"""What is trained under which name: sizes, features, augmentation and schedule of every bundle."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from typing import Any

from convert.data.augment import Augmentation
from convert.losses import ColocLosses, EtriLosses, TwoStepLosses
from convert.systems.coloc import batches as coloc_batches
from convert.systems.coloc import nets as coloc_nets
from convert.systems.etri import batches as etri_batches
from convert.systems.etri import nets as etri_nets
from convert.systems.two_step import batches as two_step_batches
from convert.systems.two_step import sizes as two_step_sizes
from convert.training.trainer import TrainSettings
from edge.events.decoder import DecodeSettings
from edge.frontend.maps import FeatureSettings
from edge.frontend.stft import StftSettings
from edge.settings import build


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything but the data that makes a model what it is."""

    name: str
    system: str
    sizes: Any  # the next three are dataclasses of the system's own
    augmentation: Any
    losses: Any
    features: FeatureSettings
    training: TrainSettings = field(default_factory=TrainSettings)
    stft: StftSettings = field(default_factory=StftSettings)
    device: Mapping[str, Any] = field(default_factory=dict)  # settings of the system, for the bundle
    decode: DecodeSettings = field(default_factory=DecodeSettings)
    weaknesses: tuple[str, ...] = ()  # known ones, for the model card

    def __post_init__(self) -> None:
        if self.features.bands != self.sizes.bands:
            raise ValueError(f"got features.bands {self.features.bands}, wanted {self.sizes.bands}, as sizes.bands")


RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe(
            name="coloc-edge",
            system="coloc",
            sizes=coloc_nets.EDGE_SIZES,
            augmentation=coloc_batches.EDGE_AUGMENTATION,
            losses=ColocLosses(pair_power=0.5),
            features=FeatureSettings("logmel_iv", coloc_nets.EDGE_SIZES.bands),
            device={"mode": "streaming", "look_ahead_labels": 5},
            decode=DecodeSettings(on=0.5, off=0.1, smoothing=0.4, min_duration_labels=2),  # `seld-convert tune`
            weaknesses=(
                "A third source at the same time is seldom named: max_overlap 3 scores no better than 2.",
                "Doors are mostly missed; brief sounds (coughs, barks) and running water are found in two thirds of "
                "their frames (`seld-convert evaluate` on the test scenes, per class).",
                "With two sources at a time, 48 % of their frames are found, with one 77 % "
                "(`seld-convert evaluate --breakdown`).",
                "Rooms and arrays are simulated: no recorded room, no real microphone. Scenes as a slightly mismatched "
                "`em32_tetra` hears them score F 0.62 and LE 14 degrees where ideal ambisonics give 0.70 and 8.",
                "Some classes have few recordings behind them (telephone 12, knock 14, laughter 14 clips).",
            ),
        ),
        Recipe(
            name="coloc-paper",
            system="coloc",
            sizes=coloc_nets.PAPER_SIZES,
            augmentation=Augmentation(),
            losses=ColocLosses(),
            features=FeatureSettings("logpower_phase_iv", coloc_nets.PAPER_SIZES.bands),
            training=TrainSettings(steps=500_000, batch_size=96, learning_rate=5e-4, schedule="constant"),
            device={"mode": "streaming", "look_ahead_labels": 5, "max_overlap": 3},
        ),
        Recipe(
            name="etri-edge",
            system="etri",
            sizes=etri_nets.EDGE_SIZES,
            augmentation=etri_batches.EDGE_AUGMENTATION,
            losses=EtriLosses(),
            features=FeatureSettings("etri", etri_nets.EDGE_SIZES.bands),
            device={"window_labels": 40, "hop_labels": 10, "sad_threshold": 0.1, "sed_threshold": 0.95},
            decode=DecodeSettings(on=0.5, off=0.3, smoothing=0.0, min_duration_labels=3),
            weaknesses=(
                "It falls short of `coloc-edge`, and answers later: take that one, unless you want to compare.",
                "Directions are coarse where two sources sound at a time, and two sources of one class are one; doors "
                "and domestic sounds are often missed.",
                "SED and DOAE were trained in parts, each from the weights of the one before; DOAE began with the "
                "encoder and decoder of SED. The log of each net is that of its last part.",
                "Rooms and arrays are simulated: no recorded room, no real microphone.",
            ),
        ),
        Recipe(
            name="etri-paper",
            system="etri",
            sizes=etri_nets.PAPER_SIZES,
            augmentation=etri_batches.PAPER_AUGMENTATION,
            losses=EtriLosses(),
            features=FeatureSettings("etri", etri_nets.PAPER_SIZES.bands),
            training=TrainSettings(optimizer="ranger", cycles=5),
            stft=StftSettings(window_samples=480, hop_samples=240, nfft=2048, frames_per_label=10),
            device={"window_labels": 20, "hop_labels": 15},
            decode=DecodeSettings(on=0.5, off=0.3, smoothing=0.0, min_duration_labels=2),
        ),
        Recipe(
            name="two-step-edge",
            system="two_step",
            sizes=two_step_sizes.EDGE_SIZES,
            augmentation=two_step_batches.EDGE_AUGMENTATION,
            losses=TwoStepLosses(),
            features=FeatureSettings("two_step", two_step_sizes.EDGE_SIZES.bands),
            device={"window_labels": 50, "hop_labels": 10, "threshold": 0.4, "unify_deg": 30.0, "steer_deg": 45.0},
            decode=DecodeSettings(on=0.5, off=0.3, smoothing=0.3, min_duration_labels=2),
            weaknesses=(
                "It answers 0.8 s later than `coloc-edge`, and all at once every second; a window takes four steps of "
                "up to 6 ms on a PC, where a step of `coloc-edge` takes one.",
                "With two sources at a time 55 % of them are found within 20 degrees, with one 80 % "
                "(`seld-convert evaluate --breakdown`).",
                "Doors are mostly missed; coughs and running water are found in two thirds of their frames.",
                "DOA and fusion net begin with the convolutions of `coloc-edge`, which has heard more of these sounds.",
                "Rooms and arrays are simulated: no recorded room, no real microphone.",
            ),
        ),
        Recipe(
            name="two-step-paper",
            system="two_step",
            sizes=two_step_sizes.PAPER_SIZES,
            augmentation=two_step_batches.PAPER_AUGMENTATION,
            losses=TwoStepLosses(),
            features=FeatureSettings("two_step", two_step_sizes.PAPER_SIZES.bands),
            # section 3.1 of step 2; step 1 has batches of 128 and a rate of 1e-4
            training=TrainSettings(steps=100_000, learning_rate=1.5e-3, optimizer="adamw", schedule="linear"),
            device={"window_labels": 50, "hop_labels": 10},
            decode=DecodeSettings(on=0.5, off=0.3, smoothing=0.0, min_duration_labels=2),
        ),
    )
}


def find_recipe(name: str) -> Recipe:
    """The recipe of that name, or ValueError."""
    if name not in RECIPES:
        raise ValueError(f"model: got {name!r}, wanted one of {', '.join(RECIPES)}")
    return RECIPES[name]


def parse_changes(assignments: Sequence[str]) -> dict[str, Any]:
    """TOML assignments such as `sizes.filters=[16, 32, 64]` -> a table for `changed`. Raises ValueError for others."""
    try:
        return tomllib.loads("\n".join(assignments))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"set: got {', '.join(assignments)}, wanted KEY=VALUE as in TOML: {error}") from None


def changed(recipe: Recipe, changes: Mapping[str, Any]) -> Recipe:
    """The recipe with other values for some of its settings; those not named stay. Raises ValueError for wrong ones."""
    known = _changeable(recipe)
    values: dict[str, Any] = {}
    for key, value in changes.items():
        if key not in known:
            raise ValueError(f"{recipe.name}: got unknown key {key!r}, wanted one of {', '.join(known)}")
        if not isinstance(value, Mapping):
            raise ValueError(f"{recipe.name}: {key}: got {value!r}, wanted {key}.NAME")
        now = known[key]
        if isinstance(now, Mapping):
            values[key] = {**now, **value}
        else:
            values[key] = build(type(now), asdict(now) | dict(value), f"{recipe.name}: {key}")
    return replace(recipe, **values)


def _changeable(recipe: Recipe) -> dict[str, Any]:
    values = {item.name: getattr(recipe, item.name) for item in fields(recipe)}
    return {name: value for name, value in values.items() if is_dataclass(value) or isinstance(value, Mapping)}
