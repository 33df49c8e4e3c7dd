"""FOA of one file beside the microphones of another, however the stream is cut."""

from __future__ import annotations

import numpy as np
import pytest

from convert.evaluation.both_formats import both_encoder, joined
from convert.evaluation.predictions import Prediction, undecoded
from convert.evaluation.step_scores import activity_rows, direction_rows, side_by_side
from edge.arrays.encoder import foa_encoder
from edge.arrays.profile import load_array
from edge.scoring.annotations import Label
from edge.types import AudioBlock

ARRAY = load_array("em32_tetra")


def encoded(samples: np.ndarray, encoder: object, block: int) -> np.ndarray:
    assert callable(encoder)
    blocks = [encoder(AudioBlock(samples[at : at + block], at)) for at in range(0, len(samples), block)]
    blocks += encoder.finish()  # type: ignore[attr-defined]
    assert [each.start for each in blocks] == list(np.cumsum([0, *(len(each.samples) for each in blocks[:-1])]))
    return np.concatenate([each.samples for each in blocks])


@pytest.mark.parametrize("block", [479, 2400, 6000])
def test_both_formats_side_by_side(block: int) -> None:
    samples = np.random.default_rng(0).normal(size=(6000, 8)).astype(np.float32)
    both = both_encoder(ARRAY, 24000, microphones=True)
    for _ in range(2):
        heard = encoded(samples, both, block)
        np.testing.assert_array_equal(heard[:, :4], samples[:, :4])
        alone = foa_encoder(ARRAY, 24000, microphones=True)
        np.testing.assert_array_equal(heard[:, 4:], encoded(samples[:, 4:].copy(), alone, block)[:, 4:])
        both.reset()
    foa = encoded(samples, both_encoder(ARRAY, 24000, microphones=False), block)
    np.testing.assert_array_equal(foa, samples[:, :4])


def test_blocks_of_two_files_are_joined() -> None:
    one, other = (AudioBlock(np.full((3, 4), value, np.float32), 0) for value in (1, 2))
    (block,) = joined([one], [other])
    assert block.samples[0].tolist() == [1] * 4 + [2] * 4
    with pytest.raises(ValueError, match="got 2 samples of the capsules, wanted 3 as of FOA"):
        list(joined([one], [AudioBlock(other.samples[:2], 0)]))


def test_answers_without_a_decoder() -> None:
    activity = np.array([[[0.4, 0.3], [0.0, 0.0]], [[0.2, 0.3], [0.1, 0.8]]], np.float32)
    direction = np.array([[[0, 1, 0], [0, 0, 0]], [[1, 0, 0], [1, 0, 1]]], np.float32)
    rows = undecoded(Prediction([], direction, activity)).rows
    assert rows == [Label(0, 0, 0, 90.0, 0.0), Label(1, 1, 1, 0.0, pytest.approx(45.0))]  # "none" has 0.3, 0.5 and 0.1
    assert undecoded(Prediction([], direction, activity), planar=True).rows[1].elevation_deg == 0.0


def test_windows_side_by_side() -> None:
    maps = np.arange(10, dtype=np.float32)[:, None, None]
    windows, fresh = side_by_side(maps, 4)
    assert windows[..., 0, 0].tolist() == [[0, 1, 2, 3], [4, 5, 6, 7], [6, 7, 8, 9]] and fresh == 2
    windows, fresh = side_by_side(maps[:8], 4)
    assert len(windows) == 2 and fresh == 4
    with pytest.raises(ValueError, match="got a recording of 3 frames, wanted at least 4"):
        side_by_side(maps[:3], 4)


def test_rows_of_the_nets_of_step_1() -> None:
    vectors = np.array([[[0.6, 0, 0], [0.3, 0.3, 0]]], np.float32)
    assert direction_rows(vectors) == [Label(0, 0, 0, 0.0, 0.0)]
    assert activity_rows(np.array([[[0.6, 0.1], [0.7, 0.4]]], np.float32)) == [Label(0, 0, 0, 0.0, 0.0)]
