"""The model card of a bundle: what it is, what it learnt from, how it was trained, what it scores."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from convert.recipes import Recipe
from edge.bundle import Manifest

CARD = "CARD.md"


def write_card(
    folder: Path,
    manifest: Manifest,
    recipe: Recipe,
    sources: Sequence[Mapping[str, Any]],
    checks: Sequence[str],
    logs: Iterable[Path],
) -> None:
    """Write `CARD.md` into the bundle, and copy the training logs beside it."""
    for path in logs:
        shutil.copy(path, folder / f"training-{path.name}")
    training = recipe.training
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
        f"- schedule: `{asdict(training)}`; loss per step in `training-*.csv`",
        "- scenes: rooms simulated by `seld-convert scenes`; no recorded room, no real microphone array",
        "",
        "## Sounds it learnt from",
        "",
        "| source | licence | clips |",
        "|---|---|---|",
        *(f"| {row['source']} | {row['licence']} | {row['clips']} |" for row in sources),
        "",
        "The clips themselves are not part of this project; the weights are.",
        "",
        "## Scores",
        "",
        f"On {manifest.scores['scenes']} scenes made of clips and rooms that were not trained on, through the device's "
        "loop (20 degrees).",
        "",
        "| rung | rules | ER | F | LE (deg) | LR | SELD |",
        "|---|---|---|---|---|---|---|",
        *(
            f"| {rung} | {rules} | {row['er']:.3f} | {row['f']:.3f} | {row['le']:.1f} | {row['lr']:.3f} "
            f"| {row['seld']:.3f} |"
            for rung, each in manifest.scores.items()
            if isinstance(each, Mapping)
            for rules, row in each.items()
        ),
        "",
        "## Known weaknesses",
        "",
        *(f"- {weakness}" for weakness in recipe.weaknesses),
        "",
        "## Ladder",
        "",
        "```",
        *checks,
        "```",
        "",
    ]
    (folder / CARD).write_text("\n".join(lines), encoding="utf-8")
