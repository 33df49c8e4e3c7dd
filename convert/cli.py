"""The `seld-convert` command: synth, scenes, train, export, evaluate, score."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from convert.evaluate_command import add_evaluate_parser
from convert.score_command import add_score_parser
from convert.tensorflow_import import import_tensorflow
from convert.tune_command import add_tune_parser

CORES = os.cpu_count() or 1


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0, or 2 with one line on stderr for bad input."""
    args = _parser().parse_args(argv)
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO if args.verbose else logging.WARNING, format="%(levelname)s: %(message)s"
    )
    try:
        return int(args.run(args))
    except (ValueError, OSError) as error:
        print(f"seld-convert: {' '.join(str(error).split())}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="seld-convert", description="Scenes, training, evaluation and bundles for seld-edge."
    )
    parser.add_argument("-v", "--verbose", action="store_true", help="say more on stderr")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    synth = commands.add_parser("synth", help="a clip library of synthesized sounds of all classes")
    synth.add_argument("--out", type=Path, required=True, metavar="DIR")
    synth.add_argument("--per-class", type=int, default=60, metavar="N", help="training clips (default: %(default)s)")
    synth.add_argument("--seed", type=int, default=0)
    synth.set_defaults(run=_synth)

    scenes = commands.add_parser("scenes", help="labelled FOA scenes from libraries of mono clips")
    scenes.add_argument("--clips", type=Path, action="append", required=True, metavar="DIR", help="repeatable")
    scenes.add_argument("--split", help="only clips of this split of clips.csv: train or test")
    scenes.add_argument("--out", type=Path, required=True, metavar="DIR")
    scenes.add_argument("--count", type=int, default=100, metavar="N", help="scenes (default: %(default)s)")
    scenes.add_argument("--seed", type=int, default=0)
    scenes.add_argument("--jobs", type=int, default=CORES, help="processes (default: %(default)s)")
    scenes.add_argument("--settings", type=Path, metavar="FILE.toml", help="see convert.scene_events.SceneSettings")
    scenes.set_defaults(run=_scenes)

    train = commands.add_parser("train", help="train a model on scene folders, or go on training")
    train.add_argument("--model", default="coloc-edge", metavar="NAME", help="recipe (default: %(default)s)")
    train.add_argument("--data", type=Path, action="append", required=True, metavar="DIR", help="scenes; repeatable")
    train.add_argument("--out", type=Path, required=True, metavar="RUN", help="weights, logs and feature cache")
    train.add_argument("--start", metavar="NAME|RUN", help="begin with the weights of a shipped bundle or another run")
    train.add_argument("--stage", action="append", help="localizer or classifier (default: both); repeatable")
    train.add_argument("--steps", type=int, help="instead of the recipe's")
    train.add_argument("--batch", type=int, help="instead of the recipe's")
    train.add_argument("--seed", type=int, help="instead of the recipe's")
    train.add_argument("--jobs", type=int, default=CORES, help="processes for features (default: %(default)s)")
    train.add_argument("--threads", type=int, default=CORES, help="threads for training (default: %(default)s)")
    train.set_defaults(run=_train)

    export = commands.add_parser("export", help="an int8 bundle from a run, if the ladder passes")
    export.add_argument("--run", type=Path, required=True, metavar="RUN", dest="run_folder")
    export.add_argument(
        "--scenes", type=Path, required=True, metavar="DIR", help="scenes for the ladder and the scores"
    )
    export.add_argument("--out", type=Path, required=True, metavar="DIR", help="the bundle")
    export.set_defaults(run=_export)

    add_evaluate_parser(commands)
    add_tune_parser(commands)
    add_score_parser(commands)
    return parser


def _synth(args: argparse.Namespace) -> int:
    from convert.synth import write_clip_library

    write_clip_library(args.out, args.per_class, args.seed)
    return 0


def _scenes(args: argparse.Namespace) -> int:
    from convert.clips import load_clip_library, merge_libraries
    from convert.scene_events import SceneSettings
    from convert.scenes import make_scenes
    from edge.config import build, read_toml

    settings = build(SceneSettings, read_toml(args.settings), str(args.settings)) if args.settings else SceneSettings()
    library = merge_libraries([load_clip_library(folder, args.split) for folder in args.clips])
    make_scenes(library, settings, args.seed, args.count, args.out, args.jobs)
    return 0


def _train(args: argparse.Namespace) -> int:
    for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"):  # read when TensorFlow is imported
        os.environ[name] = str(args.threads)
    import_tensorflow()
    from convert.datasets import adopt_statistics, build_cache, read_sources, shipped_weights
    from convert.export import RUN_FILE
    from convert.recipes import find_recipe
    from convert.systems.coloc_training import STAGES, train_stages

    recipe = find_recipe(args.model)
    given = {"steps": args.steps, "batch_size": args.batch, "seed": args.seed}
    training = replace(recipe.training, **{name: value for name, value in given.items() if value is not None})
    recipe = replace(recipe, training=training)
    stages = args.stage or STAGES
    for stage in stages:
        if stage not in STAGES:
            raise ValueError(f"stage: got {stage!r}, wanted one of {', '.join(STAGES)}")
    start = None if args.start is None else shipped_weights().get(args.start, Path(args.start))
    if start is not None and not start.is_dir():
        raise ValueError(f"start: got {args.start!r}, wanted {', '.join(shipped_weights())} or a training run")
    cache = build_cache(args.data, args.out / "cache", recipe.stft, recipe.features, args.jobs)
    table = {"model": recipe.name, "training": asdict(training), "sources": read_sources(args.data)}
    (args.out / RUN_FILE).write_text(json.dumps(table, indent=1) + "\n")
    if start is not None:
        cache = adopt_statistics(args.out / "cache", start)
    train_stages(stages, recipe, cache, args.out, start)
    return 0


def _export(args: argparse.Namespace) -> int:
    import_tensorflow()
    from convert.export import export, open_run

    export(open_run(args.run_folder), args.scenes, args.out)
    return 0
