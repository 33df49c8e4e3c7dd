"""Predictions of the device's loop, with a bundle whose answers are known, with other nets, and for a flat array."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from convert.cli import main
from convert.evaluation.predictions import Prediction, decode_again, predict
from convert.evaluation.scenes import heard_truth, labelled_scenes, scene_array
from convert.evaluation.scores import report, score_predictions
from convert.scenes.capsules import capsule_response
from edge.arrays.profile import load_array
from edge.audio.sources import open_source
from edge.audio.wav import write_wav
from edge.geometry import angle_between_deg, unit_vector
from edge.nets.bundle import Bundle, load_bundle
from edge.nets.net import Net, Past
from edge.runtime.pipeline import build_pipeline, build_system
from edge.scoring.annotations import Label, label_of, write_annotations
from edge.scoring.metrics import score
from edge.types import Event, FloatArray, FrameRow

PLACES = {"a": (30.0, -20.0), "b": (-120.0, 40.0)}  # azimuth and elevation in each scene of `waves_folder`
FRAMES = range(5, 25)
FLAT = "respeaker_usb4"
CLASS = {"a": 0, "b": 1}  # the tiny bundle hears whether the lower or the upper half of the bands is louder


@pytest.fixture(scope="module")
def bundle(tiny_bundle: Path) -> Bundle:
    return load_bundle(str(tiny_bundle))


@pytest.fixture(scope="module")
def predictions(bundle: Bundle, waves_folder: Path) -> dict[str, Prediction]:
    return predict(bundle, [waves_folder / "a.wav", waves_folder / "b.wav"])


@pytest.mark.parametrize("name", PLACES)
def test_a_plane_wave_is_found_where_and_when_it_is(predictions: dict[str, Prediction], name: str) -> None:
    prediction = predictions[name]
    assert prediction.direction.shape == (30, 2, 3)
    assert prediction.activity.shape == (30, 2, 2)
    middle = slice(FRAMES.start + 1, FRAMES.stop - 1)
    toward = prediction.direction[middle, 0]
    assert angle_between_deg(toward, unit_vector(*PLACES[name])).max() < 8.0
    np.testing.assert_array_equal(prediction.activity[middle, 0].argmax(axis=-1), CLASS[name])
    assert not prediction.direction[:3].any()
    assert {row.class_index for row in prediction.rows} == {CLASS[name]}
    assert {row.frame for row in prediction.rows} >= set(range(middle.start, middle.stop))


def test_no_state_is_carried_from_scene_to_scene(
    bundle: Bundle, waves_folder: Path, predictions: dict[str, Prediction]
) -> None:
    for order in (["b"], ["b", "a"]):
        again = predict(bundle, [waves_folder / f"{name}.wav" for name in order])
        assert list(again) == order
        for name in order:
            assert again[name].rows == predictions[name].rows
            np.testing.assert_array_equal(again[name].direction, predictions[name].direction)
            np.testing.assert_array_equal(again[name].activity, predictions[name].activity)


def test_scores_of_the_loop(waves_folder: Path, predictions: dict[str, Prediction]) -> None:
    truth = labelled_scenes(waves_folder, ("low", "high"))[1]
    assert {name: len(labels) for name, labels in truth.items()} == {"a": 20, "b": 20}
    scores = score_predictions(truth, predictions, 2)
    assert list(scores) == ["2022_macro", "2022_micro", "2020"]
    for result in scores.values():
        assert result.f > 0.9
        assert result.le < 8.0
    perfect = {name: Prediction(labels, np.zeros(0), np.zeros(0)) for name, labels in truth.items()}
    for result in score_predictions(truth, perfect, 2).values():
        assert (result.er, result.f, result.lr) == (0.0, 1.0, 1.0)
        assert result.le == pytest.approx(0.0, abs=1e-5)


def test_a_wrong_class_scores_nothing(waves_folder: Path, predictions: dict[str, Prediction]) -> None:
    swapped = {"a": predictions["b"], "b": predictions["a"]}
    assert score_predictions(labelled_scenes(waves_folder, ("low", "high"))[1], swapped, 2)["2022_micro"].f == 0.0


class Deaf:
    """A localizer that never detects anything."""

    def __init__(self) -> None:
        self.windows: list[FloatArray] = []

    def __call__(self, **inputs: FloatArray) -> dict[str, FloatArray]:
        self.windows.append(inputs["features"])
        return {"output": np.zeros((len(inputs["embedding"]), 3), np.float32)}

    def reset(self) -> None:
        """Nothing is carried."""


def test_other_nets_run_in_the_same_loop(bundle: Bundle, waves_folder: Path) -> None:
    deaf = Deaf()
    prediction = predict(bundle, [waves_folder / "a.wav"], nets={**bundle.nets(), "localizer": deaf})["a"]
    assert prediction.rows == []
    assert not prediction.direction.any()
    assert len(deaf.windows) == 15  # 30 label frames, a hop of 2; asked once each, since nothing was found
    assert deaf.windows[0].shape == (50, 64, 7)


def test_settings_and_decoder_can_be_overridden(
    bundle: Bundle, waves_folder: Path, predictions: dict[str, Prediction]
) -> None:
    wavs = [waves_folder / "a.wav"]
    one = predict(bundle, wavs, overrides={"max_overlap": 1})["a"]
    assert one.direction.shape == (30, 1, 3)
    np.testing.assert_array_equal(one.direction[:, 0], predictions["a"].direction[:, 0])
    assert predict(bundle, wavs, decode={"min_duration_labels": 29})["a"].rows == []
    with pytest.raises(ValueError, match="unknown key 'maximum'"):
        predict(bundle, wavs, overrides={"maximum": 1})


@pytest.mark.parametrize("mode", ["window", "streaming"])
def test_both_modes_of_a_bundle_find_the_same(
    bundle: Bundle, waves_folder: Path, predictions: dict[str, Prediction], mode: str
) -> None:
    found = predict(bundle, [waves_folder / "b.wav"], overrides={"mode": mode})["b"]
    assert found.direction.shape == (30, 2, 3)
    middle = slice(FRAMES.start + 1, FRAMES.stop - 1)
    assert angle_between_deg(found.direction[middle, 0], unit_vector(*PLACES["b"])).max() < 8.0
    np.testing.assert_array_equal(found.activity[middle, 0].argmax(axis=-1), CLASS["b"])
    assert np.array_equal(found.direction, predictions["b"].direction) == (mode == "window")


def test_the_array_is_the_one_asked_for_or_that_of_the_scenes_or_that_of_the_bundle(
    bundle: Bundle, tmp_path: Path
) -> None:
    other = replace(bundle, manifest=replace(bundle.manifest, arrays=("foa_fuma",)))
    path = tmp_path / "scenes.json"
    path.write_text('{"class_names": ["low", "high"]}')
    assert scene_array(tmp_path, bundle).name == "foa"
    assert scene_array(tmp_path, other).name == "foa_fuma"
    path.write_text('{"class_names": ["low", "high"], "array": "em32_tetra"}')
    assert scene_array(tmp_path, other).name == "em32_tetra"
    assert scene_array(tmp_path, other, "foa").name == "foa"
    with pytest.raises(ValueError, match="array 'nothing': got no such profile"):
        scene_array(tmp_path, other, "nothing")


@pytest.mark.parametrize("least", [3, 29])
def test_decoding_a_prediction_anew_is_running_the_loop_anew(
    bundle: Bundle, waves_folder: Path, predictions: dict[str, Prediction], least: int
) -> None:
    settings = replace(bundle.manifest.decode, min_duration_labels=least)
    rows = decode_again(predictions["a"], bundle, settings)
    again = predict(bundle, [waves_folder / "a.wav"], decode={"min_duration_labels": least})["a"]
    assert rows == again.rows
    assert bool(rows) == (least == 3)


def test_the_report_has_a_line_for_each_of_rules_and_classes(
    waves_folder: Path, predictions: dict[str, Prediction]
) -> None:
    scores = score_predictions(labelled_scenes(waves_folder, ("low", "high"))[1], predictions, 2)
    head, *lines = report(scores, ["low", "high"]).splitlines()
    assert head.split() == ["ER20", "F20", "LE", "LR", "SELD"]
    assert [line.split()[0] for line in lines] == ["2022_macro", "2022_micro", "2020", "low", "high"]
    micro = scores["2022_micro"]
    assert lines[1].split()[1:] == [
        f"{micro.er:.3f}", f"{micro.f:.3f}", f"{micro.le:.1f}", f"{micro.lr:.3f}", f"{micro.seld:.3f}"
    ]  # fmt: skip
    low = scores["2022_macro"].per_class[0]
    assert lines[3].split()[1:3] == [f"{low.er:.3f}", f"{low.f:.3f}"]


class Tilted:
    """A localizer whose directions are tilted upwards, as nets that were not trained on flat arrays answer."""

    def __init__(self, localizer: Net) -> None:
        self._localizer = localizer

    def __call__(self, past: Past | None = None, **inputs: FloatArray) -> dict[str, FloatArray]:
        output = self._localizer(past, **inputs)["output"]
        length = np.linalg.norm(output, axis=-1, keepdims=True)
        tilted = output + np.concatenate([0 * output[:, :2], length], axis=-1)  # by 45 degrees
        return {"output": (tilted / np.sqrt(2)).astype(np.float32)}

    def fresh(self) -> Past:
        return self._localizer.fresh()


@pytest.fixture(scope="module")
def flat_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scene folder of a flat array: noise in the lower half of the bands from 30 degrees, 20 degrees up."""
    folder = tmp_path_factory.mktemp("flat")
    noise = np.fft.rfft(np.random.default_rng(0).standard_normal(72000))
    noise[np.fft.rfftfreq(72000, 1 / 24000) > 2070.0] *= 0.05
    wave = np.fft.irfft(noise)
    wave[:12000] = wave[-12000:] = 0
    response = capsule_response(load_array(FLAT))(unit_vector([30.0], [20.0]))[0]  # (channels, taps)
    samples = np.stack([np.convolve(wave, taps)[: len(wave)] for taps in response], axis=1)
    write_wav(folder / "a.wav", (0.1 * samples / wave.std()).astype(np.float32), 24000)
    write_annotations(folder / "a.csv", [Label(frame, 0, 0, 30, 20) for frame in FRAMES])
    (folder / "scenes.json").write_text(json.dumps({"class_names": ["low", "high"], "array": FLAT}))
    return folder


def test_a_flat_array_is_decoded_as_on_the_device(bundle: Bundle, flat_folder: Path) -> None:
    """Rows, and so scores, have elevation 0 where the device's events have none."""
    array = scene_array(flat_folder, bundle)
    assert array.planar
    nets = {**bundle.nets(), "localizer": Tilted(bundle.nets()["localizer"])}
    pipeline = build_pipeline(bundle, array, build_system(bundle, nets=nets))
    with open_source(str(flat_folder / "a.wav"), array.channels, 24000) as source:
        items = [item for block in source for item in pipeline.push(block)]
    items += list(pipeline.finish())
    device_rows = [label_of(item) for item in items if isinstance(item, FrameRow)]
    assert len(device_rows) > 10
    assert [event.elevation_deg for event in items if isinstance(event, Event)] == [None]
    assert {row.elevation_deg for row in device_rows} == {0}

    wavs, truth = labelled_scenes(flat_folder, ("low", "high"))
    predictions = predict(bundle, wavs, nets=nets, array=array)
    assert predictions["a"].rows == device_rows
    assert decode_again(predictions["a"], bundle, bundle.manifest.decode, array) == device_rows
    assert predictions["a"].direction[..., 2].max() > 0.6  # the system's own answers are kept as they are
    tilted = decode_again(predictions["a"], bundle, bundle.manifest.decode, load_array("foa"))
    assert {row.elevation_deg for row in tilted} != {0}  # what any other array would be given
    scores = score_predictions(truth, predictions, 2)["2022_micro"]
    assert scores.le == pytest.approx(score(truth, {"a": device_rows}, 2, "2022", "micro").le, abs=0)
    assert scores.le < score(truth, {"a": tilted}, 2, "2022", "micro").le


def test_a_flat_array_is_scored_by_azimuth_only(
    bundle: Bundle, flat_folder: Path, tiny_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The source is 20 degrees up, which a flat array cannot hear; at 3-D angles it would be 20 degrees off at best."""
    array = scene_array(flat_folder, bundle)
    wavs, heard = labelled_scenes(flat_folder, ("low", "high"))
    assert {(label.azimuth_deg, label.elevation_deg) for label in heard["a"]} == {(30.0, 0.0)}
    truth = {"a": [replace(label, elevation_deg=20.0) for label in heard["a"]]}
    assert heard_truth(truth, array) == heard
    assert heard_truth(truth, load_array("foa")) == truth
    in_space, in_azimuth = (
        score_predictions(each, predict(bundle, wavs, array=array), 2)["2022_micro"] for each in (truth, heard)
    )
    assert in_azimuth.le < in_space.le - 5.0
    assert main(["evaluate", "--model", str(tiny_bundle), "--scenes", str(flat_folder)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("int8, 1 scenes, azimuth only: the array is flat")
    assert [line.split()[3] for line in lines if line.startswith("2022_micro")] == [f"{in_azimuth.le:.1f}"]
