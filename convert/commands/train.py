"""`seld-convert train`: scene folders and corpora -> a run: weights, logs, curves and a feature cache."""

from __future__ import annotations

import argparse
import importlib
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from convert.data.build_cache import build_cache
from convert.data.cache import FeatureCache
from convert.data.folders import DEV_SPLITS, TRAIN_SPLITS, choose_classes, find_data, read_arrays, read_sources
from convert.data.recordings import DataFolder
from convert.tensorflow_import import import_tensorflow
from convert.training.start import adopt_statistics, find_start, start_classes
from edge.stderr import silent_stderr

if TYPE_CHECKING:
    Subparsers = argparse._SubParsersAction[argparse.ArgumentParser]

CORES = os.cpu_count() or 1


def add_train_parser(subparsers: Subparsers) -> None:
    """Add the `train` command and its options to a command line; `args.run` is `run_train`."""
    parser = subparsers.add_parser("train", help="train a model on scenes and corpora, or go on training")
    parser.add_argument("--model", default="coloc-edge", metavar="NAME", help="recipe (default: %(default)s)")
    parser.add_argument(
        "--data",
        action="append",
        required=True,
        metavar="[CORPUS[:mic]=]DIR[@WEIGHT]",
        help="scenes, or a corpus of convert/data/corpora.py, and its share of the chunks; repeatable",
    )
    parser.add_argument(
        "--dev", action="append", default=[], metavar="[CORPUS[:mic]=]DIR", help="scored now and then; repeatable"
    )
    parser.add_argument("--classes", metavar="NAME,...", help="to learn (default: those of the scenes)")
    parser.add_argument("--out", type=Path, required=True, metavar="RUN", help="weights, logs and feature cache")
    parser.add_argument("--start", metavar="NAME|RUN", help="begin with the weights of a shipped bundle or another run")
    parser.add_argument(
        "--teacher", metavar="NAME|RUN", help="a CoLoC whose convolutions nets on the same maps begin with (two-step)"
    )
    parser.add_argument("--stage", action="append", help="of the model, such as localizer (default: all); repeatable")
    for name, dest in (("steps", None), ("batch", "batch_size"), ("dev-steps", None), ("seed", None)):
        parser.add_argument(f"--{name}", type=int, dest=dest, metavar="N", help="instead of the recipe's")
    add_set_option(parser)
    parser.add_argument(
        "--precision",
        choices=("float32", "mixed_bfloat16"),
        help="of the computation (default: mixed_bfloat16 where there is a GPU)",
    )
    parser.add_argument(
        "--jobs",
        type=int,
        default=CORES,
        help="processes for features, and for the batches of a GPU (default: %(default)s)",
    )
    parser.add_argument("--threads", type=int, default=CORES, help="threads for training (default: %(default)s)")
    parser.set_defaults(run=run_train)


def add_set_option(parser: argparse.ArgumentParser) -> None:
    """Add `--set`, for `recipes.parse_changes`."""
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="another value in the recipe, such as training.learning_rate=5e-4 or sizes.filters=[16,32,64]; repeatable",
    )


def run_train(args: argparse.Namespace) -> int:
    """Train the stages, going on where they stopped; return 0. Raises ValueError for options or data that do not fit.

    Works with any backend of Keras (`KERAS_BACKEND`).
    """
    for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"):  # read when TensorFlow is imported
        os.environ[name] = str(args.threads)
    _import_keras()
    import keras

    from convert.data.augment import sampled_labels
    from convert.systems import SYSTEMS
    from convert.training.recipes import changed, find_recipe, parse_changes
    from convert.training.run_file import RunFile, write_run
    from convert.training.stages import train_stages

    changes = parse_changes(args.set)
    recipe = changed(find_recipe(args.model), changes)
    given = {name: getattr(args, name) for name in ("steps", "batch_size", "dev_steps", "seed")}
    training = replace(recipe.training, **{name: value for name, value in given.items() if value is not None})
    recipe = replace(recipe, training=training)
    known_stages = SYSTEMS[recipe.system].STAGES
    stages = args.stage or known_stages
    for stage in stages:
        if stage not in known_stages:
            raise ValueError(f"stage: got {stage!r}, wanted one of {', '.join(known_stages)}")
    start = None if args.start is None else find_start(args.start)
    teacher = None if args.teacher is None else find_start(args.teacher)
    known = None if start is None else start_classes(start)
    data, dev_data = find_data(args.data, TRAIN_SPLITS), find_data(args.dev, DEV_SPLITS)
    classes = choose_classes(data, known, args.classes.split(",") if args.classes else None)
    if known not in (None, classes) and "classifier" in stages:
        raise ValueError(f"start: got classes {known}, wanted {classes}, or --stage localizer")

    def cached(name: str, folders: list[DataFolder], least_labels: int) -> FeatureCache:
        cache = args.out / name
        return build_cache(folders, classes, cache, recipe.stft, recipe.features, args.jobs, least_labels)

    labels = recipe.sizes.labels
    cache = cached("cache", data, sampled_labels(labels, recipe.augmentation))
    dev = cached("dev_cache", dev_data, labels) if dev_data else None
    changes.pop("training", None)  # each stage keeps its own
    schedules = dict.fromkeys(stages, training)
    write_run(args.out, RunFile(recipe.name, read_sources(data), schedules, changes, read_arrays(data)))
    if start is not None:
        cache = replace(adopt_statistics(args.out / "cache", start), recordings=cache.recordings)
    if dev is not None:
        dev = replace(dev, mean=cache.mean, deviation=cache.deviation)
    accelerated = any(not device.startswith("cpu") for device in keras.distribution.list_devices())
    keras.mixed_precision.set_global_policy(args.precision or ("mixed_bfloat16" if accelerated else "float32"))
    train_stages(stages, recipe, cache, args.out, start, dev, args.jobs if accelerated else 1, args.jobs, teacher)
    return 0


def _import_keras() -> None:
    """Import it and its backend now, in silence, so that what is not installed is one clear line."""
    try:
        with silent_stderr():
            backend = importlib.import_module("keras").backend.backend()
    except ModuleNotFoundError as error:
        package = "'seld-edge[convert]'" if error.name in ("keras", "tensorflow") else error.name
        raise ValueError(f"got no {error.name}, wanted it: pip install {package}") from None
    if backend == "tensorflow":
        import_tensorflow()
