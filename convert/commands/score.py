"""`seld-convert score`: folders of reference and of predicted DCASE csv files -> the SELD scores on stdout."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from edge.scoring.metrics import Average, Rules, score_folders

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]


def add_score_parser(subparsers: Subparsers) -> argparse.ArgumentParser:
    """Add the `score` command and its options to a command line; `args.run` is `run_score`."""
    parser = subparsers.add_parser("score", help="score predicted DCASE csv files against reference files")
    parser.add_argument("--reference", type=Path, required=True, metavar="DIR", help="folder of reference csv files")
    parser.add_argument("--prediction", type=Path, required=True, metavar="DIR", help="folder of predicted csv files")
    parser.add_argument("--classes", type=int, required=True, metavar="N", help="number of classes")
    parser.add_argument(
        "--rules", choices=get_args(Rules), default="2022", help="DCASE year (default: 2022, also 2023)"
    )
    parser.add_argument(
        "--average",
        choices=get_args(Average),
        default="macro",
        help="over classes or events (default: macro; not for 2020)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON, with the scores of each class")
    parser.set_defaults(run=run_score)
    return parser


def run_score(args: argparse.Namespace) -> int:
    """Print the scores: one line, ER, F and LR as fractions and LE in degrees, or one JSON object; return 0.

    Raises:
        ValueError: see `score_folders`.
        OSError: a folder or file cannot be read.
    """
    scores = score_folders(args.reference, args.prediction, args.classes, args.rules, args.average)
    if args.json:
        print(json.dumps(asdict(scores)))
    else:
        print(f"er {scores.er:.4f} f {scores.f:.4f} le {scores.le:.3f} lr {scores.lr:.4f} seld {scores.seld:.4f}")
    return 0
