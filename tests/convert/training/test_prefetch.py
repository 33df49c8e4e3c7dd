"""Batches that are made ahead are the batches of their steps, whoever makes them."""

from __future__ import annotations

import multiprocessing
import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from convert.data.cache import FeatureCache, load_cache
from convert.data.tracks import label_tracks
from convert.systems.batches import Sampling
from convert.systems.coloc.batches import batch_maker
from convert.training.prefetch import prefetched
from convert.training.recipes import find_recipe
from edge.scoring.annotations import Label
from tests.convert.work import killed_batch, small_batch


def assert_same(got: tuple, wanted: tuple) -> None:
    assert list(got[0]) == list(wanted[0])
    for left, right in zip([*got[0].values(), got[1]], [*wanted[0].values(), wanted[1]], strict=True):
        assert left.dtype == right.dtype
        np.testing.assert_array_equal(left, right)


@pytest.mark.parametrize(("first", "last"), [(0, 12), (5, 7), (3, 4), (4, 4)])
@pytest.mark.parametrize("workers", [1, 2])
def test_batches_come_in_order(workers: int, first: int, last: int) -> None:
    step = first
    for batch in prefetched(small_batch, first, last, workers):
        assert_same(batch, small_batch(step))
        step += 1
    assert step == last


@pytest.mark.parametrize("workers", [1, 2])
def test_an_error_comes_out_at_its_step(workers: int) -> None:
    batches = prefetched(small_batch, 10, 20, workers)
    for step in (10, 11, 12):
        assert_same(next(batches), small_batch(step))
    with pytest.raises(ValueError, match="got no such batch"):
        next(batches)


def test_a_killed_process_is_an_error_of_one_line_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("convert.training.prefetch._MEMORY_FOLDER", tmp_path)
    batches = prefetched(killed_batch, 0, 40, 2)
    assert_same(next(batches), small_batch(0))
    with pytest.raises(ChildProcessError, match="a worker process crashed or was killed"):
        for _ in range(39):
            next(batches)
    assert not multiprocessing.active_children()
    assert list(tmp_path.iterdir()) == []


def test_a_training_that_stops_early_leaves_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("convert.training.prefetch._MEMORY_FOLDER", tmp_path)
    batches = prefetched(small_batch, 0, 12, 2)
    next(batches)
    assert len(multiprocessing.active_children()) == 2
    batches.close()  # type: ignore[attr-defined]
    assert not multiprocessing.active_children()
    assert list(tmp_path.iterdir()) == []


def test_processes_make_batches_of_a_cache(make_cache: Callable[..., FeatureCache]) -> None:
    labels = [Label(frame, frame // 9 % 2, 0, 3 * frame, 10) for frame in range(60)]
    cache = make_cache(label_tracks(labels, 60, 2), (0, 20, 60))
    batch = batch_maker("classifier", cache, Sampling(find_recipe("coloc-edge").augmentation, 8, 3, 1))
    for step, got in enumerate(prefetched(batch, 0, 5, 2)):
        assert_same(got, batch(step))


def test_a_cache_on_disk_is_pickled_as_its_folder(trained_run: Path) -> None:
    cache = load_cache(trained_run / "cache")
    cache = replace(cache, mean=cache.mean + 1.0)
    pickled = pickle.dumps(cache)
    assert len(pickled) < 10_000 < cache.maps.nbytes
    again = pickle.loads(pickled)
    np.testing.assert_array_equal(again.maps, cache.maps)
    np.testing.assert_array_equal(again.mean, cache.mean)
    assert again.first_labels == cache.first_labels and again.folder == cache.folder
