"""The trainable side of every system, by name: the same names as in `edge.systems`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

import keras

from convert.systems.coloc import system as coloc_system
from convert.systems.etri import system as etri_system
from convert.systems.two_step import system as two_step_system
from convert.training.lesson import Lesson

if TYPE_CHECKING:
    from convert.data.cache import FeatureCache
    from convert.training.recipes import Recipe
    from convert.training.run import Run
    from edge.nets.net import Net
    from edge.types import FloatArray

Examples = dict[str, list[dict[str, "FloatArray"]]]  # inputs by net


class TrainableSystem(Protocol):
    """What a module of `SYSTEMS` has."""

    @property
    def STAGES(self) -> tuple[str, ...]:  # noqa: N802  a constant of a module
        """What is trained, one after the other."""
        ...

    @property
    def MODES(self) -> Mapping[str, Mapping[str, Any]]:  # noqa: N802
        """Settings of the device's system for each way in which the nets are asked, by name; the first is usual."""
        ...

    def build(self, stage: str, recipe: Recipe, classes: int) -> tuple[keras.Model, ...]:
        """The nets of a stage with random weights; each is kept under its own name."""
        ...

    def lesson(
        self,
        stage: str,
        recipe: Recipe,
        nets: tuple[keras.Model, ...],
        cache: FeatureCache,
        dev: FeatureCache | None,
        seed: int,
        earlier: Callable[[str], tuple[keras.Model, ...]],
        jobs: int,
    ) -> Lesson:
        """How the nets of a stage are trained. `earlier` gives the trained nets of a stage before it.

        What has to be computed first is computed by `jobs` processes.
        """
        ...

    def net_settings(self, settings: Mapping[str, Any]) -> Mapping[str, Any]:
        """Of the settings of a bundle or a recipe, those that its nets are made for."""
        ...

    def bundle_settings(self, recipe: Recipe, cache: FeatureCache) -> dict[str, Any]:
        """Settings of the device's system for the bundle: the recipe's, and what the training data say."""
        ...

    def device_nets(self, recipe: Recipe, nets: Mapping[str, keras.Model]) -> dict[str, keras.Model]:
        """Trained nets -> every net of the bundle in Keras."""
        ...

    def deployed_nets(self, recipe: Recipe, nets: Mapping[str, keras.Model], classes: int) -> dict[str, keras.Model]:
        """Every net of the bundle -> the same in the form for the converter."""
        ...

    def examples(self, run: Run, nets: Mapping[str, Net], share: float, seed: int) -> Examples:
        """Inputs of all nets as the device will feed them, from training data; `share` of those for calibration."""
        ...

    def make_live(self, nets: tuple[keras.Model, ...]) -> None:
        """Have nets with random weights find something everywhere: for benchmarks."""
        ...


SYSTEMS: dict[str, TrainableSystem] = {
    "coloc": coloc_system,
    "etri": etri_system,
    "two_step": two_step_system,
}
