"""`seld-convert tune`: a bundle and development scenes -> the decoder settings with the best scores.

The nets run once; only the decoder runs for every candidate. The development scenes should be made of sounds that are
used neither for training nor for the scores that are reported.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict
from itertools import product
from typing import TYPE_CHECKING

from convert.commands.options import SCENES

if TYPE_CHECKING:
    from convert.commands.options import Subparsers
    from edge.events.decoder import DecodeSettings

GRID = {
    "on": (0.2, 0.3, 0.4, 0.5),
    "off": (0.05, 0.1, 0.2, 0.3),
    "smoothing": (0.0, 0.4, 0.6),
    "min_duration_labels": (2, 3, 5),
}


def add_tune_parser(subparsers: Subparsers) -> None:
    """Add the `tune` command and its options to a command line."""
    parser = subparsers.add_parser("tune", help="find the decoder settings that score best on development scenes")
    parser.add_argument("--model", default="coloc-edge", metavar="NAME|DIR", help="the bundle (default: %(default)s)")
    parser.add_argument("--scenes", required=True, metavar=SCENES, help="labelled development scenes, or a corpus")
    parser.add_argument("--most", type=int, default=10, metavar="N", help="lines to print (default: %(default)s)")
    parser.set_defaults(run=run_tune)


def run_tune(args: argparse.Namespace) -> int:
    """Print the scores (2022, macro) of the bundle's own settings and of the best ones of the grid; return 0.

    Raises:
        ValueError: scenes and bundle do not fit together.
    """
    from convert.data.folders import VAL_SPLITS
    from convert.evaluation.predictions import decode_again, predict
    from convert.evaluation.scenes import heard_truth, labelled_scenes, scene_array
    from edge.events.decoder import DecodeSettings
    from edge.nets.bundle import load_bundle
    from edge.scoring.metrics import score
    from edge.settings import build

    bundle = load_bundle(args.model)
    manifest = bundle.manifest
    wavs, truth = labelled_scenes(args.scenes, manifest.class_names, VAL_SPLITS)
    array = scene_array(args.scenes, bundle)
    truth = heard_truth(truth, array)
    predictions = predict(bundle, wavs, array=array)

    def line(settings: DecodeSettings) -> tuple[float, str]:
        rows = {name: decode_again(prediction, bundle, settings, array) for name, prediction in predictions.items()}
        result = score(truth, rows, len(manifest.class_names))
        values = "  ".join(f"{name} {getattr(settings, name)}" for name in GRID)
        scores = f"ER {result.er:.3f}  F {result.f:.3f}  LE {result.le:.1f}  LR {result.lr:.3f}  SELD {result.seld:.4f}"
        return result.seld, f"{values}:  {scores}"

    print(line(manifest.decode)[1])
    candidates = [dict(zip(GRID, values, strict=True)) for values in product(*GRID.values())]
    lines = [
        line(build(DecodeSettings, asdict(manifest.decode) | candidate, "decode"))
        for candidate in candidates
        if candidate["off"] <= candidate["on"]
    ]
    for _, text in sorted(lines)[: args.most]:
        print(text)
    return 0
