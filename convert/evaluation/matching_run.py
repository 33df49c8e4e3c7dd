"""The folder of a training run and a bundle -> the run, if the bundle was exported from it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from convert.tensorflow_import import import_tensorflow
from edge.nets.bundle import Bundle
from edge.systems.ensembles import member_name

if TYPE_CHECKING:
    from convert.training.run_folder import Run


def matching_run(folder: Path, bundle: Bundle) -> Run:
    """Open the run that a bundle was exported from; its nets are an ensemble if those of the bundle are one.

    Args:
        folder: folder of the run.
        bundle: the bundle.

    Raises:
        ValueError: the folder is no run, or its nets do not belong to this bundle.
    """
    import_tensorflow()
    from convert.training.run_folder import open_run

    run, manifest = open_run(folder), bundle.manifest
    for name, got, wanted in (
        ("system", run.recipe.system, manifest.system),
        ("classes", run.cache.class_names, manifest.class_names),
        ("features", run.recipe.features, manifest.features),
        ("settings", *map(run.system.net_settings, (run.recipe.device, manifest.settings))),
    ):
        if got != wanted:
            raise ValueError(f"{folder}: got {name} {got}, wanted {wanted} as bundle {manifest.name!r} has it")
    if not np.array_equal([run.cache.mean, run.cache.deviation], [bundle.mean, bundle.deviation]):
        raise ValueError(
            f"{folder}: got other feature statistics, wanted the run that {manifest.name!r} was exported from"
        )
    ensemble = any(member_name(stage, 2) in manifest.nets for stage in run.system.stages)
    return replace(run, ensemble=ensemble)
