"""A run and the manifest of its bundle -> the model card `CARD.md`: training, data, scores and checks of the bundle."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from convert.evaluation.plots import CURVES, curves_have_scores
from convert.quantize.weights_licence import licence_section
from convert.systems.recipe import Recipe
from convert.training.run_json import RunFile
from edge.files import write_atomically
from edge.nets.bundle import Manifest

CARD = "CARD.md"
UNCHECKED = (
    "**Unchecked**: `seld-convert export --unchecked` wrote this bundle although a check of the conversion failed or "
    "was left out. It may find less than the trained nets do."
)

FLOATS = "Not int8 throughout: the recipe allows {} in float. These are slower, and may differ between processors."


def write_card(
    folder: Path,
    manifest: Manifest,
    recipe: Recipe,
    run: RunFile,
    run_folder: Path,
    checks: Sequence[str],
) -> None:
    """Write `CARD.md` into a bundle and copy the logs and curves of its training beside it.

    The card has only what was measured for this bundle. Without scores it has no section on scores.

    Args:
        folder: folder of the bundle.
        manifest: manifest of the bundle; its scores are printed.
        recipe: the recipe that the nets were trained with.
        run: the record of the training.
        run_folder: folder of the training, for its logs.
        checks: the lines of the ladder's report.
    """
    names = [*(f"{stage}.csv" for stage in run.training), CURVES]
    copied = [run_folder / name for name in names if (run_folder / name).is_file()]
    for path in copied:
        shutil.copy(path, folder / f"training-{path.name}")
    scored = curves_have_scores(run_folder / f"{stage}.csv" for stage in run.training)
    pictured = "Loss and scores on development data" if scored else "Loss"
    corpora = [row["source"] for row in run.sources if row.get("corpus")]
    data = [] if corpora and len(corpora) == len(run.sources) else ["rooms simulated by `seld-convert scenes`"]
    data += [f"recordings of {', '.join(corpora)}"] if corpora else ["no recorded room, no real microphone array"]
    measures = {"er": 3, "f": 3, "le": 1, "lr": 3, "seld": 3}  # digits
    heads = ["mode", "rung", "rules", "ER", "F", "LE (deg)", "LR", "SELD"]
    if manifest.settings.get("distance"):
        measures, heads = measures | {"rde": 3}, [*heads, "RDE"]
    scores = [
        f"| {mode} | {rung} | {rules} | {' | '.join(_number(row.get(key), measures[key]) for key in measures)} |"
        for mode, rungs in manifest.scores.items()
        if isinstance(rungs, Mapping)
        for rung, each in rungs.items()
        for rules, row in each.items()
    ]
    lines = [
        f"# {manifest.name}",
        "",
        f"System `{manifest.system}`, {manifest.precision}. {len(manifest.class_names)} classes: "
        f"{', '.join(manifest.class_names)}. Trained by `seld-convert train`; `seld-convert export` wrote this file.",
        "",
        *([UNCHECKED, ""] if manifest.unchecked else []),
        *([FLOATS.format(", ".join(manifest.float_ops)), ""] if manifest.float_ops else []),
        "## Training",
        "",
        f"- sizes: `{asdict(recipe.sizes)}`",
        f"- features: `{asdict(recipe.features)}`, `{asdict(recipe.stft)}`",
        f"- augmentation: `{asdict(recipe.augmentation)}`",
        f"- losses: `{asdict(recipe.losses)}`",
        *(f"- schedule of the {stage}: `{asdict(schedule)}`" for stage, schedule in run.training.items()),
        f"- scenes: {'; '.join(data)}",
        "- loss per step in `training-*.csv`",
        "",
        *([f"![{pictured} over the steps](training-{CURVES})", ""] if run_folder / CURVES in copied else []),
        "## Sources of the sounds",
        "",
        "| source | licence | clips | by |",
        "|---|---|---|---|",
        *(
            f"| {row['source']} | {row['licence']} | {row['clips']} | {row.get('attribution', '').replace('|', '/')} |"
            for row in run.sources
        ),
        "",
        "The clips themselves are not part of this project; the weights are.",
        "",
        *licence_section(run.sources),
        *(
            [
                "## Scores",
                "",
                f"On the {manifest.scores['scenes']} scenes that were given to `seld-convert export`, through the "
                "device's loop (20 degrees).",
                "",
                f"| {' | '.join(heads)} |",
                f"|{'---|' * len(heads)}",
                *scores,
                "",
            ]
            if scores
            else []
        ),
        "## Ladder",
        "",
        "Checks of the conversion from Keras to float TFLite and to int8 TFLite.",
        "",
        "```",
        *checks,
        "```",
        "",
    ]
    write_atomically(folder / CARD, "\n".join(lines))


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
