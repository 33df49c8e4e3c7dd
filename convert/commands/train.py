"""`seld-convert train`: scene folders and corpora -> a run: weights, logs, curves and a feature cache."""

from __future__ import annotations

import argparse
import importlib
import os
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from convert.tensorflow_import import hide_tensorflow_logs, import_tensorflow
from edge.stderr import silent_stderr

if TYPE_CHECKING:
    from convert.commands.options import Subparsers
    from convert.data.cache import FeatureCache
    from convert.data.recordings import DataFolder
    from convert.systems.interface import TrainableSystem
    from convert.systems.recipe import Recipe
    from convert.training.warm_start import WarmStart

CORES = os.cpu_count() or 1


def add_train_parser(subparsers: Subparsers) -> None:
    """Add the `train` command and its options to a command line; `args.run` is `run_train`."""
    parser = subparsers.add_parser("train", help="train a model on scenes and corpora, or go on training")
    parser.add_argument(
        "--model",
        default="coloc-edge",
        metavar="NAME|FILE.toml",
        help="a shipped recipe, or one of your own (default: %(default)s)",
    )
    parser.add_argument(
        "--data",
        action="append",
        required=True,
        metavar="[CORPUS[:foa|mic|both][:SPLIT]=]DIR[@WEIGHT]",
        help="scenes, or a corpus of convert/data/corpora.py, and its share of the chunks; repeatable",
    )
    parser.add_argument(
        "--dev",
        action="append",
        default=[],
        metavar="[CORPUS[:foa|mic|both][:SPLIT]=]DIR",
        help="scored now and then; repeatable",
    )
    parser.add_argument("--classes", metavar="NAME,...", help="to learn (default: those of the scenes)")
    parser.add_argument("--out", type=Path, required=True, metavar="RUN", help="weights, logs and feature cache")
    parser.add_argument("--start", metavar="NAME|RUN", help="begin with the weights of a shipped bundle or another run")
    parser.add_argument(
        "--pretrained",
        type=Path,
        metavar="CHECKPOINT",
        help="begin with a published checkpoint (two-step's sed: ATST-Frame, as .npz or for PyTorch)",
    )
    parser.add_argument(
        "--teacher", metavar="NAME|RUN", help="a CoLoC whose convolutions others begin with (two-step, coloc-causal)"
    )
    parser.add_argument("--stage", action="append", help="of the model, such as localizer (default: all); repeatable")
    for name, dest in (("steps", None), ("batch", "batch_size"), ("dev-steps", None), ("seed", None)):
        parser.add_argument(f"--{name}", type=int, dest=dest, metavar="N", help="instead of the recipe's")
    add_set_option(parser)
    parser.add_argument(
        "--precision",
        choices=("float32", "mixed_bfloat16"),
        help="of the computation (default: the recipe's, mostly mixed_bfloat16 where there is a GPU)",
    )
    parser.add_argument(
        "--jobs",
        type=int,
        default=CORES,
        help="processes for features, and for the batches of a GPU (default: %(default)s)",
    )
    add_machine_options(parser)
    parser.add_argument(
        "--plan",
        action="store_true",
        help="tell hours of data, disk, memory and time, measured in a few steps, and stop",
    )
    parser.add_argument("--threads", type=int, default=CORES, help="threads for training (default: %(default)s)")
    parser.set_defaults(run=run_train)


def add_machine_options(parser: argparse.ArgumentParser) -> None:
    """Add `--dask` and `--data-parallel`, which say what computes features and batches."""
    parser.add_argument("--dask", metavar="tcp://HOST:PORT", help="a Dask scheduler whose workers compute the features")
    parser.add_argument(
        "--data-parallel",
        action="store_true",
        help="divide each batch among all GPUs of this machine (KERAS_BACKEND=jax)",
    )


def add_set_option(parser: argparse.ArgumentParser) -> None:
    """Add the option `--set`, whose values `convert.training.recipes.parse_changes` reads."""
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="another value in the recipe, such as training.learning_rate=5e-4 or sizes.filters=[16,32,64]; repeatable",
    )


def run_train(args: argparse.Namespace) -> int:
    """Train the stages, going on where they stopped. Works with any backend of Keras (`KERAS_BACKEND`).

    Returns:
        0, the exit code.

    Raises:
        ValueError: Options or data do not fit.
    """
    for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"):  # read when TensorFlow is imported
        os.environ[name] = str(args.threads)
    import_keras()
    import numpy as np

    from convert.data.folders import DEV_SPLITS, TRAIN_SPLITS, choose_classes, find_data, read_arrays, read_sources
    from convert.evaluation.plots import CURVES, plot_curves
    from convert.systems import find_system
    from convert.training.devices import share_batches
    from convert.training.recipes import changed, find_recipe, parse_changes
    from convert.training.run_json import RunFile, keep_recipe, write_run
    from convert.training.schedule import in_steps
    from convert.training.train_stages import train_stages
    from convert.training.warm_start import adopt_statistics, start_classes

    changes = parse_changes(args.set)
    recipe = _with_options(changed(find_recipe(args.model), changes), args)
    system = find_system(recipe.system)
    stages = args.stage or system.stages
    warm_start = _warm_start(args, system, stages)
    data, dev_data = find_data(args.data, TRAIN_SPLITS), find_data(args.dev, DEV_SPLITS)
    known = None if warm_start.start is None else start_classes(warm_start.start)
    classes = choose_classes(data, known, args.classes.split(",") if args.classes else None)
    if known not in (None, classes) and "classifier" in stages:
        raise ValueError(f"start: got classes {known}, wanted {classes}, or --stage localizer")
    if args.plan:
        _tell_plan(recipe, stages, data, dev_data, classes, args.precision)
        return 0
    cache, dev = _feature_caches(args, recipe, data, dev_data, classes)
    for name in ("training", "stages"):
        changes.pop(name, None)  # each stage keeps its own
    lengths = np.diff(cache.first_labels).tolist()
    schedules = {stage: in_steps(recipe.training_of(stage), lengths, recipe.sizes.labels) for stage in stages}
    write_run(args.out, RunFile(recipe.name, read_sources(data), schedules, changes, read_arrays(data)))
    keep_recipe(args.out, args.model)
    statistics = _start_of_statistics(warm_start, recipe)
    if statistics is not None:
        cache = replace(adopt_statistics(args.out / "cache", statistics), recordings=cache.recordings)
    if dev is not None:
        dev = replace(dev, mean=cache.mean, deviation=cache.deviation)
    accelerated = _set_precision(args.precision or recipe.training.precision)
    if args.data_parallel:
        share_batches(schedule.batch_size for schedule in schedules.values())
    train_stages(
        stages,
        recipe,
        cache,
        args.out,
        dev=dev,
        warm_start=warm_start,
        on_scores=partial(plot_curves, args.out / CURVES, {name: args.out / f"{name}.csv" for name in system.stages}),
        workers=args.jobs if accelerated else 1,
        jobs=args.jobs,
    )
    return 0


def _tell_plan(
    recipe: Recipe,
    stages: Sequence[str],
    data: Sequence[DataFolder],
    dev_data: Sequence[DataFolder],
    classes: Sequence[str],
    precision: str | None,
) -> None:
    """Print what the features and each stage will take. Nothing is written."""
    from convert.data.build_cache import feature_bytes
    from convert.data.recordings import count_labels
    from convert.training.forecast import forecast
    from convert.training.schedule import in_steps

    lengths, dev_lengths = (
        [count_labels(each, classes, recipe.stft) for folder in folders for each in folder.recordings]
        for folders in (data, dev_data)
    )
    labels = sum(lengths) + sum(dev_lengths)
    hours, size = labels * recipe.stft.label_s / 3600, feature_bytes(labels, recipe.stft, recipe.features)
    print(f"features: {hours:.2f} h of recordings, {size / 1e9:.2f} GB on the disk", flush=True)
    accelerated = _set_precision(precision or recipe.training.precision)
    for stage in stages:
        training = in_steps(recipe.training_of(stage), lengths, recipe.sizes.labels)
        print(forecast(stage, replace(recipe, training=training), len(classes), accelerated), flush=True)


def _with_options(recipe: Recipe, args: argparse.Namespace) -> Recipe:
    """The recipe with the schedule that options ask for."""
    given = {name: getattr(args, name) for name in ("steps", "batch_size", "dev_steps", "seed")}
    known = {name: value for name, value in given.items() if value is not None}
    if args.steps is not None:
        known |= {"epochs": 0, "warmup_epochs": 0}
    stages = {stage: {**own, **known} for stage, own in recipe.stages.items()}
    return replace(recipe, training=replace(recipe.training, **known), stages=stages)


def _warm_start(args: argparse.Namespace, system: TrainableSystem, stages: Sequence[str]) -> WarmStart:
    """What nets begin with. Raises ValueError for unknown stages and folders, and for stages without an importer."""
    from convert.training.warm_start import WarmStart, find_start

    for stage in stages:
        if stage not in system.stages:
            raise ValueError(f"stage: got {stage!r}, wanted one of {', '.join(system.stages)}")
    if args.pretrained is not None and not set(stages) & system.importers.keys():
        wanted = ", ".join(system.importers) or "none of this model's"
        raise ValueError(f"pretrained: got stages {', '.join(stages)}, wanted one that takes a checkpoint: {wanted}")
    return WarmStart(
        start=None if args.start is None else find_start(args.start),
        pretrained=args.pretrained,
        teacher=None if args.teacher is None else find_start(args.teacher),
    )


def _start_of_statistics(warm_start: WarmStart, recipe: Recipe) -> Path | None:
    """The weights whose statistics of features are kept; those of a teacher only if it has the same features."""
    from convert.training.weights import start_recipe

    start, teacher = warm_start.start, warm_start.teacher
    if start is None and teacher is not None and start_recipe(teacher).features == recipe.features:
        return teacher
    return start


def _feature_caches(
    args: argparse.Namespace,
    recipe: Recipe,
    data: Sequence[DataFolder],
    dev_data: Sequence[DataFolder],
    classes: Sequence[str],
) -> tuple[FeatureCache, FeatureCache | None]:
    """Feature caches of the training data and, if there are any, of the development data."""
    from convert.data.augment import sampled_labels
    from convert.data.build_cache import build_cache
    from convert.systems import find_system

    system = find_system(recipe.system)

    def cached(name: str, folders: Sequence[DataFolder], least_labels: int) -> FeatureCache:
        return build_cache(
            folders,
            classes,
            args.out / name,
            recipe.stft,
            recipe.features,
            args.jobs,
            least_labels,
            args.dask,
            system.slots(recipe),
            system.distances(recipe),
        )

    labels = recipe.sizes.labels
    cache = cached("cache", data, sampled_labels(labels, recipe.augmentation))
    return cache, cached("dev_cache", dev_data, labels) if dev_data else None


def _set_precision(asked: str) -> bool:
    """Set the precision of the computation; returns whether there is an accelerator."""
    import keras

    accelerated = any(not device.startswith("cpu") for device in keras.distribution.list_devices())
    fastest = "mixed_bfloat16" if accelerated else "float32"
    keras.mixed_precision.set_global_policy(fastest if asked == "fastest" else asked)
    return accelerated


def import_keras() -> None:
    """Import Keras and its backend without their messages. Raises ValueError with one line if one is not installed."""
    hide_tensorflow_logs()  # Keras imports it
    try:
        with silent_stderr():
            backend = importlib.import_module("keras").backend.backend()
    except ModuleNotFoundError as error:
        package = "'seld-edge[convert]'" if error.name in ("keras", "tensorflow") else error.name
        raise ValueError(f"got no {error.name}, wanted it: pip install {package}") from None
    if backend == "tensorflow":
        import_tensorflow()
