"""`seld-convert look-ahead`: other recurrent nets in the same loop, with a run of two training steps."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convert.cli import main
from convert.commands.look_ahead import recurrences
from convert.evaluation.matching_run import matching_run
from convert.evaluation.predictions import predict
from convert.evaluation.scenes import labelled_scenes
from convert.quantize.keras_net import KerasNet, computed
from convert.quantize.ladder import snr_db
from convert.systems.coloc.examples import step_examples
from convert.systems.recipe import Recipe
from edge.nets.bundle import load_bundle
from edge.nets.net import LiteRtNet
from edge.scoring.metrics import score

KEYS = ("er", "f", "le", "lr", "seld")


@pytest.mark.slow
def test_a_line_for_each_look_ahead_and_one_for_windows(
    exported: Any,
    trained_run: Path,
    scenes_folder: Path,
    tiny_recipe: Recipe,
    short_streams: None,
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = ["--model", str(exported.folder), "--run", str(trained_run), "--scenes", str(scenes_folder)]
    assert main(["look-ahead", *options, "--labels", "0,1", "--json"]) == 0
    results = json.loads(capsys.readouterr().out)
    assert list(results) == ["look-ahead 0", "look-ahead 1", "window"]
    # three passes, each 3 labels for its convolutions and the look-ahead behind; and windows of 6 labels every 2
    assert [each["latency_s"] for each in results.values()] == pytest.approx([1.0, 1.3, 0.4])
    bundle = load_bundle(str(exported.folder))
    wavs, truth = labelled_scenes(scenes_folder, ("hiss", "tone"))
    for name, mode in (("look-ahead 1", "streaming"), ("window", "window")):  # with the bundle's own nets
        found = predict(bundle, wavs, overrides={"mode": mode})
        scores = score(truth, {scene: each.rows for scene, each in found.items()}, 2)
        assert {key: results[name][key] for key in KEYS} == {key: getattr(scores, key) for key in KEYS}

    assert main(["look-ahead", *options, "--labels", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(",")[0] for line in lines[1:]] == ["look-ahead 1", "window"]
    assert lines[1].split()[3:] == ["s", *(f"{results['look-ahead 1'][key]:.{3 - 2 * (key == 'le')}f}" for key in KEYS)]


@pytest.mark.long  # converts more nets; the test above runs the whole command
@pytest.mark.parametrize(("look_ahead", "hops"), [(2, 2), (0, 1)])
def test_recurrences_are_those_of_the_run_and_go_with_the_blocks_of_the_bundle(
    look_ahead: int, hops: int, exported: Any, trained_run: Path, tiny_recipe: Recipe, short_streams: None
) -> None:
    bundle = load_bundle(str(exported.folder))
    run = matching_run(trained_run, bundle)
    nets = recurrences(run, bundle, look_ahead)
    device = {**run.recipe.device, "look_ahead_labels": look_ahead}
    other = replace(run, recipe=replace(run.recipe, device=device))
    trained = {name: KerasNet(model) for name, model in other.keras_nets().items()}
    examples = step_examples(other.recipe, other.cache, trained, 10, seed=2)
    for stage, answers in (("localizer", 3), ("classifier", 3)):
        name = f"{stage}_recurrence"
        blocks = LiteRtNet(bundle.flatbuffers[f"{stage}_blocks"])
        asked, given = nets[name].inputs["shared_labels"], blocks.outputs["shared_labels"]
        assert asked["quantization"] == pytest.approx(given["quantization"], rel=1e-6)
        assert nets[name].input_shapes["shared_labels"][0] == look_ahead + 1
        assert nets[name].output_shapes["output"] == (hops, answers)
        wanted = [computed(trained[name], example)["state_forward1"] for example in examples[name]]
        got = [nets[name].computed(example)["state_forward1"] for example in examples[name]]
        assert snr_db(np.stack(wanted), np.stack(got)) > 15.0


BAD_INPUT = {
    "--labels 2;5": "--labels: got '2;5', wanted whole numbers",
    "--labels 2,200": "--labels: got look_ahead_labels 200, wanted 0 to 100",
    "--run nowhere": "nowhere: got no run.json",
}


@pytest.mark.parametrize("options", BAD_INPUT)
def test_bad_input_is_one_line_and_exit_code_2(
    options: str, tiny_bundle: Path, waves_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--model", str(tiny_bundle), "--run", "nowhere", "--scenes", str(waves_folder), *options.split()]
    assert main(["look-ahead", *given]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert BAD_INPUT[options] in err
