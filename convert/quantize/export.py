"""A finished training run -> an int8 bundle for the device with its scores and model card.

The Keras nets are converted to float and int8 TFLite and compared with each other (`convert.quantize.ladder`); the
bundle is written only if all checks pass, or as an unchecked one if that was asked for.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from convert.evaluation.plain_scores import plain_scores
from convert.evaluation.predictions import Prediction, predict
from convert.evaluation.scenes import heard_truth, labelled_scenes, scene_array
from convert.evaluation.scores import score_predictions
from convert.quantize.card import write_card
from convert.quantize.converter import pinned, saved, saved_to_tflite
from convert.quantize.keras_net import KerasNet
from convert.quantize.ladder import NetCheck, RungCheck, check_net, check_rung
from convert.systems.recipe import Recipe
from convert.training.run_folder import Run, random_run
from edge.arrays.profile import ArrayProfile
from edge.nets.bundle import Bundle, write_bundle
from edge.nets.net import SHARED_PREFIX, LiteRtNet, Net
from edge.scoring.annotations import Label
from edge.scoring.metrics import SeldScores

log = logging.getLogger(__name__)
CHECKED_SHARE = 0.4  # number of examples for the checks, as a share of those for calibration
RANDOM_SHARE = 0.05  # share of the usual calibration examples for random weights, where only speed matters


def convert_nets(
    run: Run, precisions: Sequence[str] = ("float32", "int8"), share: float = 1.0
) -> tuple[dict[str, Bundle], list[NetCheck]]:
    """Convert all nets of a run and check each of them against Keras. Every check is printed.

    Args:
        run: the run.
        precisions: the precisions to convert to.
        share: number of calibration examples, as a share of the usual number.

    Returns:
        A bundle in memory for each precision, and the checks.
    """
    models = run.keras_nets()
    trained: dict[str, KerasNet] = {name: KerasNet(model) for name, model in models.items()}
    calibration, held_out = (
        run.examples(trained, part, seed) for part, seed in ((share, 1), (CHECKED_SHARE * share, 2))
    )
    deployed = run.deployed_nets(models)
    flatbuffers: dict[str, dict[str, bytes]] = {precision: {} for precision in precisions}
    shared: dict[str, tuple[float, int]] = {}  # quantization of outputs that other nets take, by stage and tensor
    checks, allowed = [], run.recipe.conversion.float_ops
    for name, model in deployed.items():
        stage, examples = name.partition("_")[0], calibration[name]
        for tensor in (tensor.name for tensor in model.inputs if tensor.name.startswith(SHARED_PREFIX)):
            examples = pinned(examples, tensor, shared[stage + tensor]) if "int8" in precisions else examples
        with saved(model) as folder:
            for precision in precisions:
                log.info("converting %s to %s", name, precision)
                flatbuffer = saved_to_tflite(folder, examples if precision == "int8" else None)
                flatbuffers[precision][name] = flatbuffer
                net = LiteRtNet(flatbuffer)
                checks.append(check_net(name, precision, trained[name], net, held_out[name], allowed))
                print(checks[-1], flush=True)
                if precision == "int8":
                    shared |= {stage + tensor: detail["quantization"] for tensor, detail in net.outputs.items()}
    float_ops = tuple(sorted({name for check in checks for name in check.float_ops}))
    manifests = {precision: run.manifest(precision) for precision in precisions}
    manifests = {key: replace(each, float_ops=float_ops if key == "int8" else ()) for key, each in manifests.items()}
    bundles = {
        precision: Bundle(manifests[precision], nets, run.cache.mean, run.cache.deviation)
        for precision, nets in flatbuffers.items()
    }
    return bundles, checks


def compare_rungs(
    run: Run,
    bundles: Mapping[str, Bundle],
    wavs: Sequence[Path],
    truth: Mapping[str, Sequence[Label]],
    array: ArrayProfile | None = None,
) -> tuple[dict[str, dict[str, dict[str, SeldScores]]], list[RungCheck]]:
    """Run all rungs through the device's loop and compare each with Keras. Every check is printed.

    Args:
        run: the run, for its Keras nets.
        bundles: the converted bundles by precision.
        wavs: the wav files of labelled scenes.
        truth: the labels of each scene, by name.
        array: the array that recorded the scenes; by default the first one of the bundle.

    Returns:
        Scores by mode, rung and rules, and the checks.
    """
    rungs: dict[str, dict[str, Net]] = {
        "keras": {name: KerasNet(model) for name, model in run.keras_nets().items()},
        **{
            precision: {name: LiteRtNet(flatbuffer) for name, flatbuffer in bundle.flatbuffers.items()}
            for precision, bundle in bundles.items()
        },
    }
    scores: dict[str, dict[str, dict[str, SeldScores]]] = {}
    checks = []
    for mode, settings in run.system.modes(run.recipe.device).items():
        predictions: dict[str, dict[str, Prediction]] = {}
        scores[mode] = {}
        for rung, nets in rungs.items():
            predictions[rung] = predict(
                bundles["int8"], wavs, nets, settings, array=array, description=f"{mode}, {rung}"
            )
            scores[mode][rung] = score_predictions(truth, predictions[rung], len(run.cache.class_names))
        for precision in bundles:
            micro = scores[mode]["keras"]["2022_micro"], scores[mode][precision]["2022_micro"]
            checks.append(check_rung(f"{mode}, {precision}", predictions["keras"], predictions[precision], *micro))
            print(checks[-1], flush=True)
    return scores, checks


def export(run: Run, scenes: str | Path | None, out: Path, unchecked: bool = False) -> None:
    """Convert and check the nets of a run, and write the int8 bundle with its scores and card.

    Args:
        run: the run.
        scenes: labelled scenes or a corpus, as `labelled_scenes` takes them. None leaves out the checks of the whole
            system and the scores, which needs `unchecked`.
        out: the folder to write.
        unchecked: write the bundle even if a check fails or is left out. Its manifest and card then say that it is
            unchecked; if all checks are made and pass, it is a bundle like any other.

    Raises:
        ValueError: the scenes do not fit, or a check fails and `unchecked` is false; nothing is written then.
    """
    wavs, truth = labelled_scenes(scenes, run.cache.class_names) if scenes is not None else ([], {})
    bundles, net_checks = convert_nets(run)
    bundle = bundles["int8"]
    checks: list[NetCheck | RungCheck] = [*net_checks]
    scores: dict[str, Any] = {}
    if scenes is not None:
        array = scene_array(scenes, bundle)
        scores_of_rungs, rung_checks = compare_rungs(run, bundles, wavs, heard_truth(truth, array), array)
        scores = {"scenes": len(wavs), **_plain_table(scores_of_rungs)}
        checks += rung_checks
    failed = [str(check) for check in checks if not check.passed]
    if failed and not unchecked:
        raise ValueError(
            f"{run.recipe.name}: nothing written, the ladder failed: {'; '.join(failed)}; "
            "wanted longer training or other scenes, or --unchecked to write the bundle all the same"
        )
    manifest = replace(bundle.manifest, scores=scores, unchecked=bool(failed) or scenes is None)
    write_bundle(out, replace(bundle, manifest=manifest))
    write_card(out, manifest, run.recipe, run.file, run.folder, [str(check) for check in checks])


def export_random(recipe: Recipe, out: Path) -> None:
    """Write an int8 bundle with random weights, for benchmarks.

    Its nets detect sources all the time, so it takes as long as a trained bundle in the busiest scenes. Its manifest
    says that it is unchecked: it is not compared on scenes.

    Args:
        recipe: the recipe of the nets.
        out: the folder to write.
    """
    with tempfile.TemporaryDirectory() as folder:
        bundles, _ = convert_nets(random_run(recipe, Path(folder)), ("int8",), RANDOM_SHARE)
    bundle = bundles["int8"]
    manifest = replace(bundle.manifest, name=f"{recipe.name}-random", unchecked=True)
    write_bundle(out, replace(bundle, manifest=manifest))


def _plain_table(scores: Mapping[str, Mapping[str, Mapping[str, SeldScores]]]) -> dict[str, Any]:
    """Scores by mode, rung and rules as plain numbers, for the manifest."""
    return {
        mode: {rung: {rules: _plain(result) for rules, result in each.items()} for rung, each in rungs.items()}
        for mode, rungs in scores.items()
    }


def _plain(result: SeldScores) -> dict[str, float | None]:
    plain = plain_scores(result)
    return {name: value if value is None else round(value, 4) for name, value in plain.items() if name != "per_class"}
