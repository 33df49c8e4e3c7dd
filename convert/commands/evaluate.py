"""`seld-convert evaluate`: a bundle and labelled scenes -> scores as tables, JSON and plots.

With the run that the bundle was exported from, the same scenes are also scored with its Keras nets and, on request,
with float TFLite nets: the upper rungs of the ladder (`convert.quantize.ladder`). A run can also be scored before it is
exported, with its Keras nets alone.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convert.commands.options import SCENES, parse_assignments, parse_integers
from convert.tensorflow_import import import_tensorflow

if TYPE_CHECKING:
    from convert.commands.options import Subparsers
    from convert.evaluation.paper_tables import PaperTables
    from convert.training.run_folder import Run
    from edge.nets.bundle import Bundle
    from edge.nets.net import Net
    from edge.scoring.metrics import SeldScores

KERAS = "keras"


def add_evaluate_parser(subparsers: Subparsers) -> None:
    """Add the `evaluate` command and its options to a command line."""
    parser = subparsers.add_parser("evaluate", help="score a bundle on labelled scenes, through the device's loop")
    parser.add_argument("--model", default="coloc-edge", metavar="NAME|DIR", help="the bundle (default: %(default)s)")
    parser.add_argument(
        "--scenes",
        required=True,
        metavar=SCENES,
        help="a folder of labelled scenes, or a corpus (in both formats at once with `both`)",
    )
    parser.add_argument(
        "--run",
        type=Path,
        metavar="RUN",
        dest="run_folder",
        help="the run that the bundle was exported from: score its Keras nets too",
    )
    parser.add_argument("--float", action="store_true", help="score the float TFLite nets of --run too")
    parser.add_argument(
        "--keras-only", action="store_true", help="score the Keras nets of --run and nothing else; no bundle is needed"
    )
    parser.add_argument(
        "--ensemble",
        action="store_true",
        help="with --keras-only: average the answers of all snapshots of a training in cycles (etri)",
    )
    parser.add_argument(
        "--undecoded",
        action="store_true",
        help="score the answers of the system as they are, frame by frame, without the decoder: as the papers do",
    )
    parser.add_argument(
        "--step-1",
        action="store_true",
        help="score the DOA and the SED net of --run, each alone, and nothing else (two-step): Tables 1 and 2 of its "
        "paper",
    )
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
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument("--json", action="store_true", help="print JSON")
    shown.add_argument("--card", metavar="TITLE", help="write what is printed into the bundle's card too, as a section")
    parser.set_defaults(run=run_evaluate)


def run_evaluate(args: argparse.Namespace) -> int:
    """Print scores by the rules of 2022 and 2020, and by those of 2024 if there are distances, for each rung; return 0.

    Raises:
        ValueError: an option is invalid, or scenes, bundle and run do not fit together.
    """
    if args.run_folder is None:
        for option, given in (("--float", args.float), ("--keras-only", args.keras_only), ("--step-1", args.step_1)):
            if given:
                raise ValueError(f"{option}: got no --run, wanted the run of which nets are to be scored")
    if args.card is not None and args.run_folder is not None:
        raise ValueError("--card: got --run, wanted a bundle alone: its card has the scores of its own nets")
    if args.ensemble and not args.keras_only:
        raise ValueError("--ensemble: got no --keras-only, wanted it: a bundle states whether it is an ensemble")
    if args.step_1:
        return _evaluate_step_1(args)
    from convert.data.folders import parse_word
    from convert.evaluation.breakdown import break_down, scene_values
    from convert.evaluation.latency import begin_delays, impulse_delay
    from convert.evaluation.paper_tables import paper_tables
    from convert.evaluation.predictions import predict, undecoded
    from convert.evaluation.scenes import heard_truth, recording_labels, scene_array, scene_recordings
    from convert.evaluation.scores import report, score_predictions, table
    from convert.evaluation.separate_scores import score_separately
    from convert.evaluation.sources import read_event_sources, score_sources, source_table
    from convert.quantize.card_section import check_section, write_section
    from edge.nets.bundle import find_bundle

    if args.card is not None:
        check_section(find_bundle(args.model), args.card)
    bundle = _bundle(args)
    name, class_names = bundle.manifest.name if args.keras_only else args.model, bundle.manifest.class_names
    rungs: Iterable[tuple[str, Mapping[str, Net] | None]] = _rungs(bundle, args)
    if args.keras_only:
        rungs = list(rungs)  # settings are checked against nets
    settings_of_overlap = _settings_of_overlap(args, bundle, rungs[0][1] if isinstance(rungs, list) else None)
    decode = parse_assignments("--decode", args.decode)
    recordings = scene_recordings(args.scenes, class_names)
    wavs, truth = [recording.wav for recording in recordings], recording_labels(recordings, class_names)
    microphones = {recording.wav.stem: recording.microphones for recording in recordings if recording.microphones}
    if microphones and (args.tables or args.plots is not None):
        raise ValueError("--tables: got both formats of a corpus, wanted foa or mic")
    array = scene_array(args.scenes, bundle, args.array)
    scored_truth = heard_truth(truth, array)
    flat = ", azimuth only: the array is flat" if array.planar else ""
    word = parse_word(args.scenes)
    of_scene = scene_values(word.path) if args.breakdown == "conditions" and word.corpus is None else {}
    sources = read_event_sources(word.path) if args.breakdown == "source" else {}
    impulse = impulse_delay(bundle) if args.latency else None
    results: dict[str, Any] = {}
    lines: dict[str, SeldScores] = {}
    for rung, nets in rungs:
        predictions_of = {
            overlap: predict(bundle, wavs, nets, settings, decode, array, rung, microphones)
            for overlap, settings in settings_of_overlap.items()
        }
        if args.undecoded:
            predictions_of = {
                overlap: {scene: undecoded(each, array.planar) for scene, each in predictions.items()}
                for overlap, predictions in predictions_of.items()
            }
        scores_of = {
            overlap: score_predictions(scored_truth, each, len(class_names)) for overlap, each in predictions_of.items()
        }
        lines |= {f"{rung}, max_overlap {overlap}": each["2022_macro"] for overlap, each in scores_of.items()}
        first = next(iter(scores_of))
        predictions, scores = predictions_of[first], scores_of[first]
        result = results[rung] = _plain_scores(scores)
        output: list[object] = [f"{name}, {rung}, {len(wavs)} scenes{flat}", report(scores, class_names)]
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
        if args.card is not None:
            command = shlex.join(["seld-convert", *sys.argv[1:]])
            write_section(find_bundle(args.model), args.card, command, "\n".join(map(str, output)))
    if args.json:
        print(json.dumps(results))
    elif len(lines) > 1:
        print("2022_macro", table(lines), sep="\n")
    return 0


def _settings_of_overlap(
    args: argparse.Namespace, bundle: Bundle, nets: Mapping[str, Net] | None
) -> dict[int, dict[str, Any]]:
    """The settings of the system for each max_overlap that is asked for. All of them are checked here."""
    from edge.runtime.pipeline import build_system

    settings = parse_assignments("--set", args.set)
    if args.max_overlap is not None:
        settings["max_overlap"] = args.max_overlap
    usual = build_system(bundle, overrides=settings, nets=nets).settings.max_overlap
    overlaps = parse_integers("--overlaps", args.overlaps) if args.overlaps else [usual]
    settings_of_overlap = {overlap: {**settings, "max_overlap": overlap} for overlap in overlaps}
    for each in settings_of_overlap.values():
        build_system(bundle, overrides=each, nets=nets)
    return settings_of_overlap


def _evaluate_step_1(args: argparse.Namespace) -> int:
    """Print the scores of the nets of step 1."""
    import_tensorflow()
    from convert.evaluation.scenes import scene_recordings
    from convert.evaluation.step_scores import score_step_1

    run = _run(args)
    scores = score_step_1(run, scene_recordings(args.scenes, run.cache.class_names))
    print(json.dumps({KERAS: {"step_1": asdict(scores)}}) if args.json else scores)
    return 0


def _bundle(args: argparse.Namespace) -> Bundle:
    """The bundle to score; for Keras nets alone, one without nets."""
    from edge.nets.bundle import Bundle, load_bundle

    if not args.keras_only:
        return load_bundle(args.model)
    run = _run(args)
    return Bundle(run.manifest("float32"), {}, run.cache.mean, run.cache.deviation)


def _run(args: argparse.Namespace) -> Run:
    import_tensorflow()
    from convert.training.run_folder import open_run

    return open_run(args.run_folder, args.ensemble)


def _rungs(bundle: Bundle, args: argparse.Namespace) -> Iterator[tuple[str, Mapping[str, Net] | None]]:
    """Yield the name and the nets of each rung from the top down; the last one is the bundle with its own nets."""
    if args.run_folder is not None:
        from convert.evaluation.matching_run import matching_run

        run = _run(args) if args.keras_only else matching_run(args.run_folder, bundle)
        from convert.quantize.converter import to_tflite
        from convert.quantize.keras_net import KerasNet
        from edge.nets.net import LiteRtNet

        models = run.keras_nets()
        yield KERAS, {name: KerasNet(model) for name, model in models.items()}
        if args.float:
            deployed = run.deployed_nets(models)
            yield "float32", {name: LiteRtNet(to_tflite(model)) for name, model in deployed.items()}
    if not args.keras_only:
        yield bundle.manifest.precision, None


def _plain_scores(scores: Mapping[str, SeldScores]) -> dict[str, Any]:
    from convert.evaluation.plain_scores import plain_scores

    return {rules: plain_scores(result) for rules, result in scores.items()}


def _plain_tables(tables: PaperTables) -> dict[str, Any]:
    rows = [[None if cell != cell else round(float(cell), 3) for cell in row] for row in tables.error_deg]  # NaN: None
    return {
        "doa_error_deg": rows,
        "conditional_accuracy": tables.conditional_accuracy,
        "confusion": tables.confusion.tolist(),
    }
