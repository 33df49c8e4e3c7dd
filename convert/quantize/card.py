"""The model card of a bundle: what it is, what it learnt from, how it was trained, what it scores."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from convert.evaluation.plots import CURVES
from convert.systems.recipe import Recipe
from convert.training.run_json import RunFile
from edge.nets.bundle import Manifest

CARD = "CARD.md"


def write_card(
    folder: Path,
    manifest: Manifest,
    recipe: Recipe,
    run: RunFile,
    run_folder: Path,
    checks: Sequence[str],
) -> None:
    """Write `CARD.md` into the bundle `folder`, and copy the logs and curves from `run_folder` beside it."""
    names = [*(f"{stage}.csv" for stage in run.training), CURVES]
    copied = [run_folder / name for name in names if (run_folder / name).is_file()]
    for path in copied:
        shutil.copy(path, folder / f"training-{path.name}")
    corpora = [row["source"] for row in run.sources if row.get("corpus")]
    data = [] if corpora and len(corpora) == len(run.sources) else ["rooms simulated by `seld-convert scenes`"]
    data += [f"recordings of {', '.join(corpora)}"] if corpora else ["no recorded room, no real microphone array"]
    lines = [
        f"# {manifest.name}",
        "",
        f"System `{manifest.system}`, {manifest.precision}. {len(manifest.class_names)} classes: "
        f"{', '.join(manifest.class_names)}. Trained by `seld-convert train`; `seld-convert export` wrote this file.",
        "",
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
        *([f"![Loss and scores over the steps](training-{CURVES})", ""] if run_folder / CURVES in copied else []),
        "## Sounds it learnt from",
        "",
        "| source | licence | clips |",
        "|---|---|---|",
        *(f"| {row['source']} | {row['licence']} | {row['clips']} |" for row in run.sources),
        "",
        "The clips themselves are not part of this project; the weights are.",
        "",
        "## Scores",
        "",
        f"On {manifest.scores['scenes']} scenes made of clips and rooms that were not trained on, through the device's "
        "loop (20 degrees).",
        "",
        "| mode | rung | rules | ER | F | LE (deg) | LR | SELD |",
        "|---|---|---|---|---|---|---|---|",
        *(
            f"| {mode} | {rung} | {rules} | {row['er']:.3f} | {row['f']:.3f} | {row['le']:.1f} | {row['lr']:.3f} "
            f"| {row['seld']:.3f} |"
            for mode, rungs in manifest.scores.items()
            if isinstance(rungs, Mapping)
            for rung, each in rungs.items()
            for rules, row in each.items()
        ),
        "",
        "## Ladder",
        "",
        "```",
        *checks,
        "```",
        "",
    ]
    (folder / CARD).write_text("\n".join(lines), encoding="utf-8")
