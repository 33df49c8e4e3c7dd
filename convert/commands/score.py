"""`seld-convert score`: folders of reference and of predicted DCASE csv files -> SELD scores on stdout."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from convert.commands.options import Subparsers

RULES = ("2020", "2022", "2024")  # those of `edge.scoring.metrics.Rules`, whose import is slow
AVERAGES = ("macro", "micro")  # those of `edge.scoring.metrics.Average`


def add_score_parser(subparsers: Subparsers) -> argparse.ArgumentParser:
    """Add the `score` command and its options to a command line."""
    parser = subparsers.add_parser("score", help="score predicted DCASE csv files against reference files")
    parser.add_argument("--reference", type=Path, required=True, metavar="DIR", help="folder of reference csv files")
    parser.add_argument("--prediction", type=Path, required=True, metavar="DIR", help="folder of predicted csv files")
    parser.add_argument("--classes", type=int, required=True, metavar="N", help="number of classes")
    parser.add_argument(
        "--rules",
        choices=RULES,
        default="2022",
        help="DCASE year (default: 2022, also for 2023; 2024: with distances)",
    )
    parser.add_argument(
        "--average",
        choices=AVERAGES,
        default="macro",
        help="average over classes (macro, the default) or over events (micro); not for 2020",
    )
    parser.add_argument("--json", action="store_true", help="print JSON, with the scores of each class")
    parser.set_defaults(run=run_score)
    return parser


def run_score(args: argparse.Namespace) -> int:
    """Print the scores as one line (ER, F, LR and RDE as fractions, LE in degrees) or as one JSON object; return 0.

    Raises:
        ValueError: files do not match or are malformed; see `edge.scoring.metrics.score_folders`.
        OSError: a folder or file cannot be read.
    """
    from convert.evaluation.plain_scores import plain_scores
    from edge.scoring.metrics import score_folders

    scores = score_folders(args.reference, args.prediction, args.classes, args.rules, args.average)
    if args.json:
        print(json.dumps(plain_scores(scores)))
    else:
        line = f"er {scores.er:.4f} f {scores.f:.4f} le {scores.le:.3f} lr {scores.lr:.4f} seld {scores.seld:.4f}"
        print(line if scores.rde is None else f"{line} rde {scores.rde:.4f}")
    return 0
