"""Scores on development data: right for answers that are known, and the same each time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import keras
import numpy as np
import pytest

from convert.data.cache import FeatureCache
from convert.data.tracks import SLOTS, stack_tracks
from convert.systems.coloc.batches import localizer_example
from convert.systems.coloc.dev_scores import classifier_scores, localizer_scores
from convert.systems.coloc.system import COLOC
from convert.systems.interface import TrainingData
from convert.systems.recipe import Recipe
from convert.training import dev_score
from convert.training.task import training_task
from edge.geometry import unit_vector

LABELS = 12


def targets(count: int, active: int) -> np.ndarray:
    """Targets (count, LABELS, slots + 1, 4) of chunks with so many events, conditions drawn."""
    rng = np.random.default_rng(0)
    tracks = np.zeros((SLOTS, LABELS, 4), np.float32)
    tracks[..., 3] = 2
    for slot in range(active):
        tracks[slot, :, :3] = unit_vector(np.full(LABELS, 20.0 + 120 * slot), 10.0)
        tracks[slot, :, 3] = slot % 2
    return np.stack([localizer_example(tracks, 0.0, rng)[2] for _ in range(count)])


def perfect(target: np.ndarray) -> np.ndarray:
    """The answer that names one of the events that may be named, or none."""
    first = np.argmax(target[:, :, :SLOTS, 3], axis=-1)
    events = np.take_along_axis(target[:, :, :SLOTS, :3], first[..., None, None], axis=2)[:, :, 0]
    return events * target[:, :, :SLOTS, 3].any(axis=-1, keepdims=True)


@pytest.mark.parametrize("active", [1, 2])
def test_the_localizer_s_scores_of_known_answers(active: int) -> None:
    target = targets(20, active)
    name, other = f"dev_doa_{active}_deg", f"dev_doa_{3 - active}_deg"
    scores = localizer_scores(target, perfect(target), 0.5)
    assert scores[name] == pytest.approx(0, abs=0.1)
    assert np.isnan(scores[other])
    assert scores["dev_alive_percent"] == 100
    asked = target[:, :, :SLOTS, 3].any(axis=-1)
    dead = localizer_scores(target, np.full((*asked.shape, 3), 0.1, np.float32), 0.5)
    assert dead["dev_alive_percent"] == pytest.approx(100 * np.mean(~asked))
    turned = perfect(target) @ np.array([[0, 1, 0], [-1, 0, 0], [0, 0, 1]])  # by 90 degrees around z
    assert 30 < localizer_scores(target, turned, 0.5)[name] < 91


def test_frames_that_ask_nothing_do_not_count() -> None:
    target = targets(4, 1)
    target[:, 6:, :SLOTS] = 0
    target[:, 6:, SLOTS] = (0, 1, 0, 0)  # none active, one known
    scores = localizer_scores(target, perfect(targets(4, 1)), 0.5)
    wanted = localizer_scores(target[:, :6], perfect(targets(4, 1))[:, :6], 0.5)
    assert scores == pytest.approx(wanted, nan_ok=True)


def test_the_classifier_s_scores_of_known_answers() -> None:
    target = np.array([[0, 1, 3, 1]], np.float32)  # 3: none; 2 does not occur
    answers = np.eye(4, dtype=np.float32)[[[0, 3, 0, 1]]]
    scores = classifier_scores(target, answers)
    assert scores == {
        "dev_right_percent": pytest.approx(100 * 2 / 3),
        "dev_recall_percent": pytest.approx(100 * (1 + 1 / 2) / 2),
    }
    assert np.isnan(list(classifier_scores(np.full((1, 4), 3.0), answers).values())).all()


@pytest.mark.parametrize("stage", ["localizer", "classifier"])
def test_chunks_are_the_same_each_time_and_as_recorded(
    stage: str, tiny_recipe: Recipe, make_cache: Callable[..., FeatureCache], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dev_score, "CHUNKS", 8)
    tracks = np.zeros((SLOTS, 40, 4), np.float32)
    tracks[0, ::2, :3] = unit_vector(30.0, 0.0)
    tracks[..., 3] = 2 - (tracks[..., 0] != 0)
    cache = make_cache(stack_tracks(tracks, SLOTS, 2), (0, 20, 40))
    recipe = replace(
        tiny_recipe,
        sizes=replace(tiny_recipe.sizes, bands=8, frequency_pools=(2, 2, 2)),
        features=replace(tiny_recipe.features, bands=8),
    )
    keras.utils.set_random_seed(0)
    data = TrainingData(recipe, cache, 0, lambda stage: ())
    task = training_task(COLOC, stage, COLOC.build(stage, recipe, 2), data, cache)
    model, score = task.model, task.score
    assert score is not None
    asked: list[dict[str, np.ndarray]] = []
    predict = model.predict_on_batch
    monkeypatch.setattr(model, "predict_on_batch", lambda inputs: asked.append(inputs) or predict(inputs))
    assert score(model) == score(model)
    assert len(asked) == 4  # 8 chunks in batches of 4, twice
    for first, second in zip(asked[:2], asked[2:], strict=True):
        for name in first:
            np.testing.assert_array_equal(first[name], second[name])
    frames = asked[0]["features"] * 4.0 + 2.0  # the cache's statistics; its maps count frames
    np.testing.assert_allclose(np.diff(frames, axis=1), 1.0, atol=1e-3)
    assert np.all(np.isfinite(list(score(model).values())[:2]))
    assert set(score(model)) == {"dev_loss"} | (
        {"dev_doa_1_deg", "dev_doa_2_deg", "dev_alive_percent"}
        if stage == "localizer"
        else {"dev_right_percent", "dev_recall_percent"}
    )
