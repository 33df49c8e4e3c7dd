"""`seld-convert evaluate`: a bundle on labelled scenes, through the device's loop -> tables, JSON, plots."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from convert.evaluate import labelled_scenes, predict, report, score_predictions
from convert.paper_tables import paper_tables
from convert.tensorflow_import import import_tensorflow
from edge.bundle import load_bundle
from edge.nets import Net

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]


def add_evaluate_parser(subparsers: Subparsers) -> None:
    """Add the `evaluate` command and its options to a command line; `args.run` is `run_evaluate`."""
    parser = subparsers.add_parser("evaluate", help="scores of a bundle on scenes, through the device's loop")
    parser.add_argument("--model", default="coloc-edge", metavar="NAME|DIR", help="bundle (default: %(default)s)")
    parser.add_argument("--scenes", type=Path, required=True, metavar="DIR", help="scenes with labels")
    parser.add_argument("--run", type=Path, metavar="RUN", dest="run_folder", help="also the Keras nets of this run")
    parser.add_argument("--max-overlap", type=int, help="instead of the bundle's")
    parser.add_argument("--tables", action="store_true", help="also the paper's Table 1 and conditional accuracy")
    parser.add_argument("--plots", type=Path, metavar="DIR", help="write PNG figures there (implies --tables)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run_evaluate)


def run_evaluate(args: argparse.Namespace) -> int:
    """Print scores by the rules of 2022 and 2020 for each rung; return 0. Raises ValueError if scenes do not fit."""
    bundle = load_bundle(args.model)
    class_names = bundle.manifest.class_names
    wavs, truth = labelled_scenes(args.scenes, class_names)
    overrides = {} if args.max_overlap is None else {"max_overlap": args.max_overlap}
    rungs: dict[str, Mapping[str, Net] | None] = {bundle.manifest.precision: None}
    if args.run_folder is not None:
        rungs["keras"] = _keras_nets(args.run_folder)
    results: dict[str, Any] = {}
    for rung, nets in rungs.items():
        predictions = predict(bundle, wavs, nets, overrides, description=rung)
        scores = score_predictions(truth, predictions, len(class_names))
        results[rung] = {name: asdict(result) for name, result in scores.items()}
        if not args.json:
            print(f"{args.model}, {rung}, {len(wavs)} scenes\n{report(scores, class_names)}", flush=True)
        if args.tables or args.plots is not None:
            tables = paper_tables(bundle, wavs, nets)
            results[rung]["doa_error_deg"] = [
                [None if np.isnan(cell) else round(float(cell), 3) for cell in row] for row in tables.error_deg
            ]
            results[rung]["conditional_accuracy"] = tables.conditional_accuracy
            results[rung]["confusion"] = tables.confusion.tolist()
            if not args.json:
                print(tables, flush=True)
            if args.plots is not None:
                from convert.plots import write_plots

                write_plots(args.plots, rung, truth, predictions, tables, class_names)
    if args.json:
        print(json.dumps(results))
    return 0


def _keras_nets(folder: Path) -> dict[str, Net]:
    import_tensorflow()
    from convert.export import open_run
    from convert.ladder import KerasNet

    return {name: KerasNet(model) for name, model in open_run(folder).keras_nets().items()}
