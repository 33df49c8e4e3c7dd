"""A finished training run -> a bundle for the device, written only if the ladder passes."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from convert.card import write_card
from convert.datasets import FeatureCache, load_cache
from convert.evaluate import Prediction, labelled_scenes, predict, score_predictions
from convert.ladder import KerasNet, NetCheck, RungCheck, check_net, check_rung
from convert.quantize import fold_norms, to_tflite
from convert.recipes import Recipe, find_recipe
from convert.systems.coloc_batches import batch_maker
from convert.systems.coloc_training import STAGES, build_stage, load_stage
from convert.train import TrainSettings
from edge.annotations import Label
from edge.bundle import FORMAT, Bundle, Manifest, write_bundle
from edge.config import build
from edge.metrics import SeldScores
from edge.nets import LiteRtNet, Net
from edge.types import FloatArray

log = logging.getLogger(__name__)
CALIBRATION_WINDOWS = 150
CHECKED_WINDOWS = 40
RUN_FILE = "run.json"


@dataclass(frozen=True, slots=True)
class Run:
    """A folder in which `seld-convert train` has worked: weights, logs, feature cache, `run.json`."""

    folder: Path
    recipe: Recipe
    cache: FeatureCache
    sources: list[dict[str, Any]]  # what the scenes were made of: source, licence

    def keras_nets(self) -> dict[str, keras.Model]:
        """The trained nets by name."""
        models = [model for stage in STAGES for model in load_stage(stage, self.recipe, self._classes, self.folder)]
        return {model.name: model for model in models}

    def deployed_nets(self) -> dict[str, keras.Model]:
        """The same in the form for the converter."""
        deployed = {}
        for name, trained in self.keras_nets().items():
            if name in STAGES:
                _, deployed[name] = build_stage(name, self.recipe, self._classes, deployed=True)
                fold_norms(trained, deployed[name])
            else:
                deployed[name] = trained
        return deployed

    @property
    def _classes(self) -> int:
        return len(self.cache.class_names)


def open_run(folder: Path) -> Run:
    """Open a run. Raises ValueError if it is none."""
    path = folder / RUN_FILE
    if not path.is_file():
        raise ValueError(f"{folder}: got no {RUN_FILE}, wanted a folder that `seld-convert train` wrote")
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
        model, training, sources = table["model"], dict(table["training"]), list(table["sources"])
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{path}: got something else, wanted JSON with model, training and sources") from None
    recipe = replace(find_recipe(model), training=build(TrainSettings, training, f"{path}: training"))
    return Run(folder, recipe, load_cache(folder / "cache"), sources)


def net_examples(run: Run, nets: Mapping[str, Net], count: int, seed: int) -> dict[str, list[dict[str, FloatArray]]]:
    """Inputs of every net as the device will feed them, from training scenes: by net, `count` of them each.

    The conditions come from the data: none, one or two known directions, embedded by the trained encoders.
    """
    quiet = replace(run.recipe.augmentation, silence_share=0.0, masked_frames=0, masked_bands=0)
    examples: dict[str, list[dict[str, FloatArray]]] = {}
    for stage in STAGES:
        batch = batch_maker(stage, run.cache, quiet, run.recipe.sizes.labels, count, seed)
        inputs, _ = batch(0)
        encode = nets[f"{stage}_encoder"]
        directions, embedded = [], []
        for window, weights in zip(inputs["directions"], inputs["weights"], strict=True):
            slots = [np.ascontiguousarray(window[:, slot]) for slot in range(window.shape[1])]
            embedding = np.zeros_like(encode(direction=slots[0])["embedding"])
            for index, slot in enumerate(slots):
                embedding += encode(direction=slot)["embedding"] * weights[:, [index]]
            directions.append({"direction": slots[0]})
            embedded.append(embedding)
        examples[f"{stage}_encoder"] = directions
        examples[stage] = [
            {"features": maps, "embedding": embedding}
            for maps, embedding in zip(inputs["features"], embedded, strict=True)
        ]
    return examples


def convert_nets(run: Run) -> tuple[dict[str, Bundle], list[NetCheck]]:
    """Float and int8 bundles of a run (in memory), and each net's check against Keras."""
    trained: dict[str, Net] = {name: KerasNet(model) for name, model in run.keras_nets().items()}
    calibration = net_examples(run, trained, CALIBRATION_WINDOWS, seed=1)
    held_out = net_examples(run, trained, CHECKED_WINDOWS, seed=2)
    deployed = run.deployed_nets()
    bundles, checks = {}, []
    for precision in ("float32", "int8"):
        flatbuffers = {}
        for name, model in deployed.items():
            log.info("converting %s to %s", name, precision)
            flatbuffers[name] = to_tflite(model, calibration[name] if precision == "int8" else None)
            checks.append(check_net(name, precision, trained[name], LiteRtNet(flatbuffers[name]), held_out[name]))
            print(checks[-1], flush=True)
        manifest = Manifest(
            format=FORMAT,
            name=run.recipe.name,
            system=run.recipe.system,
            precision=precision,
            class_names=run.cache.class_names,
            statistics_sha256="",
            nets={},
            stft=run.recipe.stft,
            features=run.recipe.features,
            settings=dict(run.recipe.device),
            decode=run.recipe.decode,
        )
        bundles[precision] = Bundle(manifest, flatbuffers, run.cache.mean, run.cache.deviation)
    return bundles, checks


def climb(
    run: Run, bundles: Mapping[str, Bundle], wavs: Sequence[Path], truth: Mapping[str, Sequence[Label]]
) -> tuple[dict[str, dict[str, SeldScores]], list[RungCheck]]:
    """Scores of every rung on labelled scenes through the device's loop, and each rung's check against Keras."""
    rungs: dict[str, dict[str, Net]] = {
        "keras": {name: KerasNet(model) for name, model in run.keras_nets().items()},
        **{
            precision: {name: LiteRtNet(flatbuffer) for name, flatbuffer in bundle.flatbuffers.items()}
            for precision, bundle in bundles.items()
        },
    }
    predictions: dict[str, dict[str, Prediction]] = {}
    scores: dict[str, dict[str, SeldScores]] = {}
    for rung, nets in rungs.items():
        predictions[rung] = predict(bundles["int8"], wavs, nets, description=rung)
        scores[rung] = score_predictions(truth, predictions[rung], len(run.cache.class_names))
    checks = []
    for precision in bundles:
        micro = scores["keras"]["2022_micro"], scores[precision]["2022_micro"]
        checks.append(check_rung(precision, predictions["keras"], predictions[precision], *micro))
        print(checks[-1], flush=True)
    return scores, checks


def export(run: Run, scenes: Path, out: Path) -> None:
    """Convert, check and write the int8 bundle with its scores and card. Raises ValueError if a check fails."""
    wavs, truth = labelled_scenes(scenes, run.cache.class_names)
    bundles, net_checks = convert_nets(run)
    scores, rung_checks = climb(run, bundles, wavs, truth)
    checks: Sequence[NetCheck | RungCheck] = [*net_checks, *rung_checks]
    failed = [str(check) for check in checks if not check.passed]
    if failed:
        raise ValueError(f"{run.recipe.name}: nothing written, the ladder failed: {'; '.join(failed)}")
    table = {rung: {rules: _plain(result) for rules, result in each.items()} for rung, each in scores.items()}
    bundle = bundles["int8"]
    manifest = replace(bundle.manifest, scores={"scenes": len(wavs), **table})
    write_bundle(out, replace(bundle, manifest=manifest))
    write_card(out, manifest, run.recipe, run.sources, [str(check) for check in checks], _logs(run.folder))


def _plain(result: SeldScores) -> dict[str, float]:
    return {name: round(value, 4) for name, value in asdict(result).items() if name != "per_class"}


def _logs(folder: Path) -> Iterator[Path]:
    for stage in STAGES:
        yield folder / f"{stage}.csv"
