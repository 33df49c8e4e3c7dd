"""`seld-convert look-ahead`: what each look-ahead of the streaming mode costs and is worth -> a line of scores each.

Only the recurrences depend on it: they are cut anew from the trained nets and calibrated as `convert.quantize.export`
does it. All other nets are those of the bundle, and so is the last line: its window mode, which sees the whole window.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convert.commands.evaluate import integers, matching_run
from convert.evaluation.evaluate import labelled_scenes, predict, scene_array, table
from edge.nets.bundle import Bundle, load_bundle
from edge.nets.net import LiteRtNet, Net
from edge.runtime.pipeline import build_system
from edge.scoring.metrics import SeldScores, score
from edge.settings import build
from edge.systems.coloc.settings import ColocSettings

if TYPE_CHECKING:
    from convert.training.run_folder import Run

    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]


def add_look_ahead_parser(subparsers: Subparsers) -> None:
    """Add the `look-ahead` command and its options to a command line; `args.run` is `run_look_ahead`."""
    parser = subparsers.add_parser("look-ahead", help="scores and latency of the streaming mode by its look-ahead")
    parser.add_argument("--model", default="coloc-edge", metavar="NAME|DIR", help="bundle (default: %(default)s)")
    parser.add_argument(
        "--run", type=Path, required=True, metavar="RUN", dest="run_folder", help="of which the bundle was made"
    )
    parser.add_argument("--scenes", type=Path, required=True, metavar="DIR", help="scenes with labels")
    parser.add_argument("--labels", default="0,2,5,10", metavar="N,N", help="look-aheads (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(run=run_look_ahead)


def run_look_ahead(args: argparse.Namespace) -> int:
    """Print latency and scores (2022, macro) for each look-ahead and for the window mode; return 0."""
    bundle = load_bundle(args.model)
    manifest = bundle.manifest
    asked: dict[str, dict[str, Any]] = {
        f"look-ahead {labels}": {"mode": "streaming", "look_ahead_labels": labels}
        for labels in integers("--labels", args.labels)
    }
    asked["window"] = {"mode": "window"}
    usual = build(ColocSettings, manifest.settings, f"{manifest.name}: settings").look_ahead_labels
    for settings in asked.values():  # or say what is wrong before the long part
        build(ColocSettings, {**manifest.settings, **settings}, "--labels")
        build_system(bundle, overrides={**settings, "look_ahead_labels": usual})
    wavs, truth = labelled_scenes(args.scenes, manifest.class_names)
    array = scene_array(args.scenes, bundle)
    run = matching_run(args.run_folder, bundle)
    undescribed = replace(bundle, manifest=replace(manifest, nets={}))  # it is not checked against its own look-ahead
    results: dict[str, Any] = {}
    lines: dict[str, SeldScores] = {}
    for name, settings in asked.items():
        nets: dict[str, Net] = {**bundle.nets()}
        look_ahead = settings.get("look_ahead_labels", usual)
        if look_ahead != usual:
            nets |= recurrences(run, bundle, look_ahead)
        latency_s = build_system(undescribed, overrides=settings, nets=nets).latency_s
        predictions = predict(undescribed, wavs, nets, settings, array=array, description=name)
        rows = {scene: prediction.rows for scene, prediction in predictions.items()}
        scores = score(truth, rows, len(manifest.class_names))
        results[name] = {**settings, "latency_s": round(latency_s, 3), **asdict(scores)}
        lines[f"{name}, {latency_s:.1f} s"] = scores
    print(json.dumps(results) if args.json else table(lines))
    return 0


def recurrences(run: Run, bundle: Bundle, look_ahead: int) -> dict[str, LiteRtNet]:
    """The recurrences of a run with another look-ahead, in int8, by name. They go with the blocks of its bundle."""
    from convert.quantize.converter import pinned, to_tflite
    from convert.quantize.ladder import KerasNet
    from convert.systems.coloc.examples import CALIBRATION_STEPS, STAGES, step_examples

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
