"""Causal CoLoC: step nets against the net they were cut from, both loops, and what an answer waits for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import keras
import numpy as np
import pytest

from convert.quantize.export import convert_nets
from convert.quantize.keras_net import KerasNet
from convert.systems.coloc import examples as coloc_examples
from convert.systems.coloc.examples import STAGES
from convert.systems.coloc.nets import ENCODER_CHANNELS
from convert.systems.coloc.system import COLOC
from convert.systems.recipe import Recipe
from convert.training.run_folder import random_run
from edge.arrays.profile import load_array
from edge.frontend.stft import StftSettings
from edge.nets.bundle import Bundle, load_bundle, write_bundle
from edge.nets.net import Net
from edge.runtime.pipeline import build_pipeline, build_system
from edge.stage_clock import StageClock
from edge.systems.coloc import causal
from edge.systems.coloc.causal import ColocCausal
from edge.systems.coloc.settings import ColocSettings
from edge.systems.coloc.window import ColocWindow
from edge.systems.label_stepper import LabelStepper
from edge.types import AudioBlock, Spectra, TrackFrames
from tests.convert.systems.coloc.clip_maps import Clip
from tests.convert.systems.coloc.tiny_recipe import BANDS, LABELS, tiny_recipe

Unsettle = Callable[[keras.Model, int], None]
CLASSES, LABEL_SAMPLES = 3, 2400


def tiny(look_ahead: int) -> Recipe:
    recipe = tiny_recipe("coloc-causal", causal=True, look_ahead_labels=look_ahead)
    return replace(recipe, sizes=replace(recipe.sizes, condition_units=7))


@cache
def keras_nets(look_ahead: int, unsettle: Unsettle) -> dict[str, Net]:
    """Every net of a bundle and those for windows, with weights as after a training."""
    recipe = tiny(look_ahead)
    trained = [net for stage in STAGES for net in COLOC.build(stage, recipe, CLASSES)]
    for seed, net in enumerate(trained):
        unsettle(net, seed)
    windows = {net.name: net for net in trained}
    models = windows | COLOC.device_nets(recipe, windows)
    return {name: KerasNet(model) for name, model in models.items()}


def loop_over(kind: type, unsettle: Unsettle, maps: np.ndarray, look_ahead: int, **changes: object) -> object:
    nets = keras_nets(look_ahead, unsettle)
    settings = ColocSettings(**{**tiny(look_ahead).device, "max_overlap": 3, **changes})
    stepper = LabelStepper(Clip(maps), StftSettings(), StageClock())  # type: ignore[arg-type]
    return kind(nets, stepper, CLASSES, settings)


def heard(system: object, first: int, last: int) -> list[TrackFrames]:
    """What is answered to the label frames from `first` to before `last`."""
    spectra = (Spectra(np.ones((5, 4, 513), np.complex64), 5 * label) for label in range(first, last))
    return [answer for each in spectra for answer in system.step(each)]  # type: ignore[attr-defined]


def clip(labels: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(labels, 5, BANDS, 7)).astype(np.float32)


@pytest.mark.parametrize("look_ahead", [0, 2])
@pytest.mark.parametrize("stage", STAGES)
def test_step_nets_answer_as_the_trained_net(unsettle: Unsettle, stage: str, look_ahead: int) -> None:
    """In every label frame: the window's end is zeros to both."""
    nets, maps = keras_nets(look_ahead, unsettle), clip(LABELS)
    told = np.random.default_rng(1).uniform(-1, 1, (LABELS, ENCODER_CHANNELS)).astype(np.float32)
    wanted = nets[stage](features=maps.reshape(-1, BANDS, 7), embedding=told)["output"]
    trunk, asked = nets[f"{stage}_trunk"], nets[f"{stage}_pass"]
    trunk_past, past, answers = trunk.fresh(), asked.fresh(), []
    for label, heard_maps in enumerate([*maps, *np.zeros_like(maps[:look_ahead])]):
        row = trunk(trunk_past, features=heard_maps)["shared_labels"]
        if label >= look_ahead:
            answers.append(asked(past, shared_labels=row, embedding=told[[label - look_ahead]])["output"][0])
    np.testing.assert_allclose(answers, wanted, atol=1e-5)
    assert np.abs(np.diff(wanted, axis=0)).max(axis=1).min() > 1e-4  # no label frame is answered as its neighbour


@pytest.mark.parametrize("look_ahead", [0, 2])
def test_the_loop_answers_as_the_loop_over_windows(unsettle: Unsettle, look_ahead: int) -> None:
    """Through all passes, conditions among them; the window spans the clip."""
    kinds = ((ColocWindow, {"mode": "window", "hop_labels": LABELS}), (ColocCausal, {}))
    results = []
    for kind, changes in kinds:
        system = loop_over(kind, unsettle, clip(LABELS), look_ahead, **changes)
        answers = [*heard(system, 0, LABELS), *system.finish()]  # type: ignore[attr-defined]
        results.append([np.concatenate([getattr(a, n) for a in answers]) for n in ("activity", "direction")])
    for wanted, got in zip(*results, strict=True):
        np.testing.assert_allclose(got, wanted, atol=1e-4)
    directions = results[0][1]
    assert np.any(directions != 0, axis=-1).sum(axis=1).max() >= 2  # a pass was told of something


@pytest.mark.parametrize("look_ahead", [0, 1, 2])
def test_an_answer_comes_after_the_latency_and_hears_no_further(unsettle: Unsettle, look_ahead: int) -> None:
    """An impulse in the last frame of label frame 8 changes the answers from 8 - look_ahead on, none before."""
    labels, struck, maps = 14, 8, clip(14)
    with_impulse = maps.copy()
    with_impulse[struck, -1] += 3.0
    usual, changed = (loop_over(ColocCausal, unsettle, each, look_ahead) for each in (maps, with_impulse))
    assert usual.latency_s == pytest.approx(0.1 * (look_ahead + 1)) and usual.latency_s <= 0.6  # type: ignore[attr-defined]
    differs = []
    for label in range(labels):
        pair = heard(usual, label, label + 1), heard(changed, label, label + 1)
        assert [each.start for each in pair[0]] == ([label - look_ahead] if label >= look_ahead else [])
        differs += [
            not (np.array_equal(a.direction, b.direction) and np.array_equal(a.activity, b.activity))
            for a, b in zip(*pair, strict=True)
        ]
    assert differs.index(True) == struck - look_ahead


def test_a_level_with_fewer_tracks_asks_fewer_passes(unsettle: Unsettle) -> None:
    """Back at full quality the passes that rested begin anew."""
    system = loop_over(ColocCausal, unsettle, clip(12), 1)
    full = heard(system, 0, 4)
    system.set_level(2)  # type: ignore[attr-defined]
    reduced = heard(system, 4, 8)
    system.set_level(0)  # type: ignore[attr-defined]
    again = heard(system, 8, 12)
    found = [max(np.any(each.direction[0] != 0, axis=-1).sum() for each in part) for part in (full, reduced, again)]
    assert found[0] >= 2 and found[1] == 1 and found[2] >= 2


# int8


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """An int8 bundle of tiny causal nets that find something everywhere."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"STREAMED_SCENES": 2, "STREAMED_LABELS": 20}.items():
            patch.setattr(coloc_examples, name, value)
        folder: Path = tmp_path_factory.mktemp("causal")
        run = random_run(tiny(2), folder)
        bundles, checks = convert_nets(run, ("int8",), share=0.1)
    for check in checks:
        assert check.passed, str(check)
    assert bundles["int8"].flatbuffers.keys() == set(causal.NETS)
    write_bundle(folder / "bundle", bundles["int8"])
    return load_bundle(str(folder / "bundle"))


def answers_to(bundle: Bundle, samples: np.ndarray, size: int) -> list[tuple[int, TrackFrames]]:
    """What the system of a bundle answers to samples in blocks of one size, with the samples heard by then."""
    system = build_system(bundle)
    assert isinstance(system, ColocCausal)
    answers: list[tuple[int, TrackFrames]] = []
    heard_samples = 0

    class Observer:
        def stepped(self, spectra: Spectra, spent_ms: float) -> None:
            """Not needed."""

        def answered(self, tracks: TrackFrames) -> None:
            answers.append((heard_samples, tracks))

    pipeline = build_pipeline(bundle, load_array("foa"), system)
    pipeline.observer = Observer()  # type: ignore[assignment]
    for start in range(0, len(samples), size):
        heard_samples = min(start + size, len(samples))
        list(pipeline.push(AudioBlock(samples[start:heard_samples], start)))
    list(pipeline.finish())
    return answers


def noise(labels: float) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.1, (round(labels * LABEL_SAMPLES), 4)).astype(np.float32)


def same(one: TrackFrames, other: TrackFrames) -> bool:
    """Whether two answers are equal, bit by bit."""
    return np.array_equal(one.direction, other.direction) and np.array_equal(one.activity, other.activity)


def test_int8_answers_do_not_depend_on_the_block_size(bundle: Bundle) -> None:
    samples = noise(2.6)
    samples[:LABEL_SAMPLES] *= 0.01
    whole = answers_to(bundle, samples, len(samples))
    assert [each.start for _, each in whole] == [0, 1, 2]
    for size in (1, 7, 479, 480, 481, 4096):
        got = answers_to(bundle, samples, size)
        assert [each.start for _, each in got] == [each.start for _, each in whole]
        assert all(same(one, other) for (_, one), (_, other) in zip(got, whole, strict=True))


@pytest.mark.parametrize("struck", [9 * LABEL_SAMPLES, 10 * LABEL_SAMPLES - 1])
def test_an_impulse_is_answered_within_the_latency(bundle: Bundle, struck: int) -> None:
    """At the begin and at the end of a label frame: from the sample itself to the answer about its label frame."""
    samples, label = noise(16), 9
    with_impulse = samples.copy()
    with_impulse[struck] = 1.0
    usual, changed = (answers_to(bundle, each, 480) for each in (samples, with_impulse))
    (heard_samples,) = [at for at, answer in changed if answer.start == label]
    waited_s = (heard_samples - struck) / (10 * LABEL_SAMPLES)
    assert 0.2 < waited_s <= build_system(bundle).latency_s <= 0.6
    differs = [answer.start for (_, answer), (_, other) in zip(changed, usual, strict=True) if not same(answer, other)]
    assert label in differs and min(differs) >= label - 3  # windows and the look-ahead reach back


def test_a_bundle_keeps_the_look_ahead_that_it_was_trained_with(bundle: Bundle) -> None:
    with pytest.raises(ValueError, match=r"^coloc-causal: got look_ahead_labels 1, wanted 2, as its nets were trained"):
        build_system(bundle, overrides={"look_ahead_labels": 1})
    with pytest.raises(ValueError, match=r"wanted for mode 'streaming' also localizer_front"):
        build_system(bundle, overrides={"causal": False})
