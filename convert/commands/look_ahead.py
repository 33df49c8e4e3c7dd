"""`seld-convert look-ahead`: a bundle, its run and scenes -> latency and scores for each look-ahead of streaming.

Only the recurrent nets depend on the look-ahead: they are built anew from the trained weights and calibrated in the
same way as `convert.quantize.export` does. All other nets are those of the bundle. The last line is the window mode of
the bundle, which has the context of the whole window.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convert.commands.options import SCENES, parse_integers

if TYPE_CHECKING:
    from convert.commands.options import Subparsers
    from convert.training.run_folder import Run
    from edge.nets.bundle import Bundle
    from edge.nets.net import LiteRtNet, Net
    from edge.scoring.metrics import SeldScores


def add_look_ahead_parser(subparsers: Subparsers) -> None:
    """Add the `look-ahead` command and its options to a command line."""
    parser = subparsers.add_parser("look-ahead", help="compare latency and scores of the streaming mode by look-ahead")
    parser.add_argument("--model", default="coloc-edge", metavar="NAME|DIR", help="the bundle (default: %(default)s)")
    parser.add_argument(
        "--run",
        type=Path,
        required=True,
        metavar="RUN",
        dest="run_folder",
        help="the run that the bundle was exported from",
    )
    parser.add_argument("--scenes", required=True, metavar=SCENES, help="a folder of labelled scenes, or a corpus")
    parser.add_argument(
        "--labels", default="0,2,5,10", metavar="N,N", help="look-aheads in label frames (default: %(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run_look_ahead)


def run_look_ahead(args: argparse.Namespace) -> int:
    """Print latency and scores (2022, macro) for each look-ahead and for the window mode; return 0.

    Raises:
        ValueError: an option is invalid, or scenes, bundle and run do not fit together.
    """
    from convert.evaluation.matching_run import matching_run
    from convert.evaluation.plain_scores import plain_scores
    from convert.evaluation.predictions import predict
    from convert.evaluation.scenes import heard_truth, labelled_scenes, scene_array
    from convert.evaluation.scores import table
    from edge.nets.bundle import load_bundle
    from edge.runtime.pipeline import build_system
    from edge.scoring.metrics import score
    from edge.settings import build
    from edge.systems.coloc.settings import ColocSettings

    bundle = load_bundle(args.model)
    manifest = bundle.manifest
    settings_of: dict[str, dict[str, Any]] = {
        f"look-ahead {labels}": {"mode": "streaming", "look_ahead_labels": labels}
        for labels in parse_integers("--labels", args.labels)
    }
    settings_of["window"] = {"mode": "window"}
    usual = build(ColocSettings, manifest.settings, f"{manifest.name}: settings").look_ahead_labels
    for settings in settings_of.values():  # invalid ones are reported before the long part
        build(ColocSettings, {**manifest.settings, **settings}, "--labels")
        build_system(bundle, overrides={**settings, "look_ahead_labels": usual})
    wavs, truth = labelled_scenes(args.scenes, manifest.class_names)
    array = scene_array(args.scenes, bundle)
    truth = heard_truth(truth, array)
    run = matching_run(args.run_folder, bundle)
    undescribed = replace(bundle, manifest=replace(manifest, nets={}))  # the nets' shapes are not checked then
    results: dict[str, Any] = {}
    lines: dict[str, SeldScores] = {}
    for name, settings in settings_of.items():
        nets: dict[str, Net] = {**bundle.nets()}
        look_ahead = settings.get("look_ahead_labels", usual)
        if look_ahead != usual:
            nets |= recurrences(run, bundle, look_ahead)
        latency_s = build_system(undescribed, overrides=settings, nets=nets).latency_s
        predictions = predict(undescribed, wavs, nets, settings, array=array, description=name)
        rows = {scene: prediction.rows for scene, prediction in predictions.items()}
        scores = score(truth, rows, len(manifest.class_names))
        results[name] = {**settings, "latency_s": round(latency_s, 3), **plain_scores(scores)}
        lines[f"{name}, {latency_s:.1f} s"] = scores
    print(json.dumps(results) if args.json else table(lines))
    return 0


def recurrences(run: Run, bundle: Bundle, look_ahead: int) -> dict[str, LiteRtNet]:
    """Build the recurrent nets of a run for another look-ahead, in int8.

    Args:
        run: the run.
        bundle: the bundle that was exported from it; its block nets feed the recurrent nets.
        look_ahead: the look-ahead in label frames.

    Returns:
        The nets by name.
    """
    from convert.quantize.converter import pinned, to_tflite
    from convert.quantize.keras_net import KerasNet
    from convert.systems.coloc.examples import CALIBRATION_STEPS, STAGES, step_examples
    from edge.nets.net import LiteRtNet

    device = {**run.recipe.device, "look_ahead_labels": look_ahead}
    other = replace(run, recipe=replace(run.recipe, device=device))
    models = other.keras_nets()
    trained = {name: KerasNet(model) for name, model in models.items()}
    examples = step_examples(other.recipe, other.cache, trained, CALIBRATION_STEPS, seed=1)
    nets = {}
    for stage in STAGES:
        name = f"{stage}_recurrence"
        maker = LiteRtNet(bundle.flatbuffers[f"{stage}_blocks"])
        scale = maker.outputs["shared_labels"]["quantization"]
        nets[name] = LiteRtNet(to_tflite(models[name], pinned(examples[name], "shared_labels", scale)))
    return nets
