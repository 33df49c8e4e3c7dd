"""`seld-convert evaluate`: a bundle, and the rungs above it, on labelled scenes -> tables, JSON, plots."""

from __future__ import annotations

import argparse
import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from convert.evaluation.breakdown import break_down, scene_values
from convert.evaluation.evaluate import labelled_scenes, predict, report, scene_array, score_predictions, table
from convert.evaluation.paper_tables import PaperTables, paper_tables
from convert.tensorflow_import import import_tensorflow
from edge.nets.bundle import Bundle, load_bundle
from edge.nets.net import LiteRtNet, Net
from edge.runtime.pipeline import build_system
from edge.scoring.metrics import SeldScores

if TYPE_CHECKING:
    from convert.training.run_folder import Run

    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]


def add_evaluate_parser(subparsers: Subparsers) -> None:
    """Add the `evaluate` command and its options to a command line; `args.run` is `run_evaluate`."""
    parser = subparsers.add_parser("evaluate", help="scores of a bundle on scenes, through the device's loop")
    parser.add_argument("--model", default="coloc-edge", metavar="NAME|DIR", help="bundle (default: %(default)s)")
    parser.add_argument("--scenes", type=Path, required=True, metavar="DIR", help="scenes with labels")
    parser.add_argument(
        "--run", type=Path, metavar="RUN", dest="run_folder", help="of which the bundle was made: also its Keras nets"
    )
    parser.add_argument("--float", action="store_true", help="also the float TFLite nets of --run")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of the system; repeatable"
    )
    parser.add_argument(
        "--decode", action="append", default=[], metavar="KEY=VALUE", help="a setting of the decoder; repeatable"
    )
    parser.add_argument("--array", metavar="NAME|FILE.toml", help="of the scenes (default: what scenes.json says)")
    parser.add_argument("--max-overlap", type=int, metavar="N", help="short for --set max_overlap=N")
    parser.add_argument(
        "--overlaps", metavar="N,N", help="a line for each max_overlap; all else is about the first one"
    )
    parser.add_argument("--tables", action="store_true", help="also the paper's Table 1 and conditional accuracy")
    parser.add_argument("--breakdown", action="store_true", help="also by room, noise, distance, elevation and more")
    parser.add_argument("--plots", type=Path, metavar="DIR", help="write PNG figures there (implies --tables)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run_evaluate)


def run_evaluate(args: argparse.Namespace) -> int:
    """Print scores by the rules of 2022 and 2020 for each rung; return 0. Raises ValueError if scenes do not fit."""
    bundle = load_bundle(args.model)
    manifest = bundle.manifest
    classes = len(manifest.class_names)
    settings, decode = assigned("--set", args.set), assigned("--decode", args.decode)
    if args.max_overlap is not None:
        settings["max_overlap"] = args.max_overlap
    usual = build_system(bundle, overrides=settings).settings.max_overlap
    overlaps = integers("--overlaps", args.overlaps) if args.overlaps else [usual]
    asked = {overlap: {**settings, "max_overlap": overlap} for overlap in overlaps}
    for each in asked.values():  # or say what is wrong before the long part
        build_system(bundle, overrides=each)
    wavs, truth = labelled_scenes(args.scenes, manifest.class_names)
    array = scene_array(args.scenes, bundle, args.array)
    of_scene = scene_values(args.scenes) if args.breakdown else {}
    results: dict[str, Any] = {}
    lines: dict[str, SeldScores] = {}
    for rung, nets in _rungs(bundle, args.run_folder, args.float):
        answers = {overlap: predict(bundle, wavs, nets, each, decode, array, rung) for overlap, each in asked.items()}
        scored = {overlap: score_predictions(truth, each, classes) for overlap, each in answers.items()}
        lines |= {f"{rung}, max_overlap {overlap}": each["2022_macro"] for overlap, each in scored.items()}
        predictions, scores = answers[overlaps[0]], scored[overlaps[0]]
        result = results[rung] = _plain_scores(scores)
        told: list[object] = [f"{args.model}, {rung}, {len(wavs)} scenes", report(scores, manifest.class_names)]
        if len(scored) > 1:
            result["max_overlap"] = {overlap: _plain_scores(each) for overlap, each in scored.items()}
        if args.breakdown:
            rows = {name: prediction.rows for name, prediction in predictions.items()}
            parts = break_down(truth, rows, classes, of_scene)
            result["breakdown"] = asdict(parts)
            told.append(parts)
        if args.tables or args.plots is not None:
            tables = paper_tables(bundle, wavs, nets, array)
            result |= _plain_tables(tables)
            told.append(tables)
            if args.plots is not None:
                from convert.evaluation.plots import write_plots

                write_plots(args.plots, rung, truth, predictions, tables, manifest.class_names)
        if not args.json:
            print(*told, sep="\n", flush=True)
    if args.json:
        print(json.dumps(results))
    elif len(lines) > 1:
        print("2022_macro", table(lines), sep="\n")
    return 0


def assigned(option: str, words: Sequence[str]) -> dict[str, Any]:
    """`KEY=VALUE` words of an option -> a table. Values are TOML; what is none is a string, as in `mode=window`."""
    values: dict[str, Any] = {}
    for word in words:
        key, sign, value = word.partition("=")
        if not (key and sign):
            raise ValueError(f"{option}: got {word!r}, wanted KEY=VALUE")
        try:
            values[key] = tomllib.loads(f"value = {value}")["value"]
        except (tomllib.TOMLDecodeError, RecursionError):
            values[key] = value
    return values


def integers(option: str, words: str) -> list[int]:
    """Whole numbers between commas."""
    try:
        return [int(word) for word in words.split(",")]
    except ValueError:
        raise ValueError(f"{option}: got {words!r}, wanted whole numbers with commas between them") from None


def matching_run(folder: Path, bundle: Bundle) -> Run:
    """The run of which a bundle was made. Raises ValueError if its nets do not fit into this bundle."""
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
        raise ValueError(f"{folder}: got other feature statistics, wanted the run that {manifest.name!r} was made of")
    return run


def _rungs(bundle: Bundle, folder: Path | None, with_float: bool) -> Iterator[tuple[str, Mapping[str, Net] | None]]:
    """Name and nets of each rung, from the top down; the last is the bundle, with nets of its own."""
    if folder is not None:
        run = matching_run(folder, bundle)
        from convert.quantize.converter import to_tflite
        from convert.quantize.ladder import KerasNet

        models = run.keras_nets()
        yield "keras", {name: KerasNet(model) for name, model in models.items()}
        if with_float:
            deployed = run.deployed_nets(models)
            yield "float32", {name: LiteRtNet(to_tflite(model)) for name, model in deployed.items()}
    elif with_float:
        raise ValueError("--float: got no --run, wanted the run that the bundle was made of")
    yield bundle.manifest.precision, None


def _plain_scores(scores: Mapping[str, SeldScores]) -> dict[str, Any]:
    return {rules: asdict(result) for rules, result in scores.items()}


def _plain_tables(tables: PaperTables) -> dict[str, Any]:
    rows = [[None if np.isnan(cell) else round(float(cell), 3) for cell in row] for row in tables.error_deg]
    return {
        "doa_error_deg": rows,
        "conditional_accuracy": tables.conditional_accuracy,
        "confusion": tables.confusion.tolist(),
    }
