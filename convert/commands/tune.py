"""`seld-convert tune`: which decoder settings score best on development scenes. The nets run once, the decoder often.

Use scenes made of sounds that are neither trained on nor reported on.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING

from convert.evaluation.evaluate import decoded, labelled_scenes, predict, scene_array
from edge.events.decoder import DecodeSettings
from edge.nets.bundle import load_bundle
from edge.scoring.metrics import score
from edge.settings import build

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

GRID = {
    "on": (0.2, 0.3, 0.4, 0.5),
    "off": (0.05, 0.1, 0.2, 0.3),
    "smoothing": (0.0, 0.4, 0.6),
    "min_duration_labels": (2, 3, 5),
}


def add_tune_parser(subparsers: Subparsers) -> None:
    """Add the `tune` command and its options to a command line; `args.run` is `run_tune`."""
    parser = subparsers.add_parser("tune", help="the decoder settings that score best on development scenes")
    parser.add_argument("--model", default="coloc-edge", metavar="NAME|DIR", help="bundle (default: %(default)s)")
    parser.add_argument("--scenes", type=Path, required=True, metavar="DIR", help="development scenes with labels")
    parser.add_argument("--most", type=int, default=10, metavar="N", help="lines to print (default: %(default)s)")
    parser.set_defaults(run=run_tune)


def run_tune(args: argparse.Namespace) -> int:
    """Print the best settings of the grid by SELD score (2022 rules, macro), the bundle's own first; return 0."""
    bundle = load_bundle(args.model)
    manifest = bundle.manifest
    classes = len(manifest.class_names)
    wavs, truth = labelled_scenes(args.scenes, manifest.class_names)
    predictions = predict(bundle, wavs, array=scene_array(args.scenes, bundle))

    def line(settings: DecodeSettings) -> tuple[float, str]:
        rows = {
            name: decoded(prediction, settings, manifest.class_names, manifest.stft.label_s)
            for name, prediction in predictions.items()
        }
        result = score(truth, rows, classes)
        values = "  ".join(f"{name} {getattr(settings, name)}" for name in GRID)
        scores = f"ER {result.er:.3f}  F {result.f:.3f}  LE {result.le:.1f}  LR {result.lr:.3f}  SELD {result.seld:.4f}"
        return result.seld, f"{values}:  {scores}"

    print(line(manifest.decode)[1])
    candidates = [dict(zip(GRID, values, strict=True)) for values in product(*GRID.values())]
    lines = [
        line(build(DecodeSettings, asdict(manifest.decode) | given, "decode"))
        for given in candidates
        if given["off"] <= given["on"]
    ]
    for _, text in sorted(lines)[: args.most]:
        print(text)
    return 0
