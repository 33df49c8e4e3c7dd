"""`seld-convert evaluate`: a bundle and labelled scenes -> scores as tables, JSON and plots.

With the run that the bundle was exported from, the same scenes are also scored with its Keras nets and, on request,
with float TFLite nets: the upper rungs of the ladder (`convert.quantize.ladder`).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convert.commands.options import SCENES, parse_assignments, parse_integers

if TYPE_CHECKING:
    from convert.commands.options import Subparsers
    from convert.evaluation.paper_tables import PaperTables
    from edge.nets.bundle import Bundle
    from edge.nets.net import Net
    from edge.scoring.metrics import SeldScores


def add_evaluate_parser(subparsers: Subparsers) -> None:
    """Add the `evaluate` command and its options to a command line."""
    parser = subparsers.add_parser("evaluate", help="score a bundle on labelled scenes, through the device's loop")
    parser.add_argument("--model", default="coloc-edge", metavar="NAME|DIR", help="the bundle (default: %(default)s)")
    parser.add_argument("--scenes", required=True, metavar=SCENES, help="a folder of labelled scenes, or a corpus")
    parser.add_argument(
        "--run",
        type=Path,
        metavar="RUN",
        dest="run_folder",
        help="the run that the bundle was exported from: score its Keras nets too",
    )
    parser.add_argument("--float", action="store_true", help="score the float TFLite nets of --run too")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="change a setting of the system; repeatable"
    )
    parser.add_argument(
        "--decode", action="append", default=[], metavar="KEY=VALUE", help="change a setting of the decoder; repeatable"
    )
    parser.add_argument(
        "--array", metavar="NAME|FILE.toml", help="array of the scenes (default: the one named in scenes.json)"
    )
    parser.add_argument("--max-overlap", type=int, metavar="N", help="short for --set max_overlap=N")
    parser.add_argument(
        "--overlaps",
        metavar="N,N",
        help="print one line of scores for each max_overlap; tables and plots are about the first one",
    )
    parser.add_argument(
        "--tables", action="store_true", help="print Table 1 and the conditional accuracy of the CoLoC paper too"
    )
    parser.add_argument(
        "--breakdown",
        nargs="?",
        const="conditions",
        choices=("conditions", "source"),
        help="print scores by room, noise, distance, elevation and more too, or by the source of the clips",
    )
    parser.add_argument(
        "--latency",
        action="store_true",
        help="print how late an impulse is answered, and how long after their onsets events are told, too",
    )
    parser.add_argument(
        "--separate",
        action="store_true",
        help="print localization without classes (ACC, MDR, FAR, MAE) and detection without directions (F) too: the "
        "metrics of Tables 1 and 2 of the two-step paper",
    )
    parser.add_argument("--plots", type=Path, metavar="DIR", help="write PNG figures there (implies --tables)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run_evaluate)


def run_evaluate(args: argparse.Namespace) -> int:
    """Print scores by the rules of 2022 and 2020 for each rung; return 0.

    Raises:
        ValueError: an option is invalid, or scenes, bundle and run do not fit together.
    """
    from convert.data.folders import parse_word
    from convert.evaluation.breakdown import break_down, scene_values
    from convert.evaluation.latency import begin_delays, impulse_delay
    from convert.evaluation.paper_tables import paper_tables
    from convert.evaluation.predictions import predict
    from convert.evaluation.scenes import heard_truth, labelled_scenes, scene_array
    from convert.evaluation.scores import report, score_predictions, table
    from convert.evaluation.separate_scores import score_separately
    from convert.evaluation.sources import read_event_sources, score_sources, source_table
    from edge.nets.bundle import load_bundle

    bundle = load_bundle(args.model)
    class_names = bundle.manifest.class_names
    settings_of_overlap = _settings_of_overlap(args, bundle)
    decode = parse_assignments("--decode", args.decode)
    wavs, truth = labelled_scenes(args.scenes, class_names)
    array = scene_array(args.scenes, bundle, args.array)
    scored_truth = heard_truth(truth, array)
    flat = ", azimuth only: the array is flat" if array.planar else ""
    word = parse_word(args.scenes)
    of_scene = scene_values(word.path) if args.breakdown == "conditions" and word.corpus is None else {}
    sources = read_event_sources(word.path) if args.breakdown == "source" else {}
    impulse = impulse_delay(bundle) if args.latency else None
    results: dict[str, Any] = {}
    lines: dict[str, SeldScores] = {}
    for rung, nets in _rungs(bundle, args.run_folder, args.float):
        predictions_of = {
            overlap: predict(bundle, wavs, nets, settings, decode, array, rung)
            for overlap, settings in settings_of_overlap.items()
        }
        scores_of = {
            overlap: score_predictions(scored_truth, each, len(class_names)) for overlap, each in predictions_of.items()
        }
        lines |= {f"{rung}, max_overlap {overlap}": each["2022_macro"] for overlap, each in scores_of.items()}
        first = next(iter(scores_of))
        predictions, scores = predictions_of[first], scores_of[first]
        result = results[rung] = _plain_scores(scores)
        output: list[object] = [f"{args.model}, {rung}, {len(wavs)} scenes{flat}", report(scores, class_names)]
        if len(scores_of) > 1:
            result["max_overlap"] = {overlap: _plain_scores(each) for overlap, each in scores_of.items()}
        rows = {name: prediction.rows for name, prediction in predictions.items()}
        if args.breakdown == "conditions":
            parts = break_down(scored_truth, rows, len(class_names), of_scene)
            result["breakdown"] = asdict(parts)
            output.append(parts)
        if args.breakdown == "source":
            source_rows = score_sources(scored_truth, rows, sources, class_names)
            result["sources"] = [asdict(row) for row in source_rows]
            output.append(source_table(source_rows))
        if impulse is not None:
            begins = {name: prediction.begins for name, prediction in predictions.items()}
            delays = begin_delays(scored_truth, begins, class_names)
            result["latency"] = {"impulse": asdict(impulse), "begins": asdict(delays)}
            output += [impulse, delays]
        if args.separate:
            separate = score_separately(scored_truth, rows)
            result["separate"] = asdict(separate)
            output.append(separate)
        if args.tables or args.plots is not None:
            tables = paper_tables(bundle, wavs, truth, nets, array)
            result |= _plain_tables(tables)
            output.append(tables)
            if args.plots is not None:
                from convert.evaluation.plots import write_plots

                write_plots(args.plots, rung, truth, predictions, tables, class_names)
        if not args.json:
            print(*output, sep="\n", flush=True)
    if args.json:
        print(json.dumps(results))
    elif len(lines) > 1:
        print("2022_macro", table(lines), sep="\n")
    return 0


def _settings_of_overlap(args: argparse.Namespace, bundle: Bundle) -> dict[int, dict[str, Any]]:
    """The settings of the system for each max_overlap that is asked for. All of them are checked here."""
    from edge.runtime.pipeline import build_system

    settings = parse_assignments("--set", args.set)
    if args.max_overlap is not None:
        settings["max_overlap"] = args.max_overlap
    usual = build_system(bundle, overrides=settings).settings.max_overlap
    overlaps = parse_integers("--overlaps", args.overlaps) if args.overlaps else [usual]
    settings_of_overlap = {overlap: {**settings, "max_overlap": overlap} for overlap in overlaps}
    for each in settings_of_overlap.values():
        build_system(bundle, overrides=each)
    return settings_of_overlap


def _rungs(bundle: Bundle, folder: Path | None, with_float: bool) -> Iterator[tuple[str, Mapping[str, Net] | None]]:
    """Yield the name and the nets of each rung from the top down; the last one is the bundle with its own nets."""
    if folder is not None:
        from convert.evaluation.matching_run import matching_run

        run = matching_run(folder, bundle)
        from convert.quantize.converter import to_tflite
        from convert.quantize.keras_net import KerasNet
        from edge.nets.net import LiteRtNet

        models = run.keras_nets()
        yield "keras", {name: KerasNet(model) for name, model in models.items()}
        if with_float:
            deployed = run.deployed_nets(models)
            yield "float32", {name: LiteRtNet(to_tflite(model)) for name, model in deployed.items()}
    elif with_float:
        raise ValueError("--float: got no --run, wanted the run that the bundle was exported from")
    yield bundle.manifest.precision, None


def _plain_scores(scores: Mapping[str, SeldScores]) -> dict[str, Any]:
    return {rules: asdict(result) for rules, result in scores.items()}


def _plain_tables(tables: PaperTables) -> dict[str, Any]:
    rows = [[None if cell != cell else round(float(cell), 3) for cell in row] for row in tables.error_deg]  # NaN: None
    return {
        "doa_error_deg": rows,
        "conditional_accuracy": tables.conditional_accuracy,
        "confusion": tables.confusion.tolist(),
    }
