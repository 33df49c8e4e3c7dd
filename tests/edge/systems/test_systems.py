"""What whole pipelines have in common, whatever the system: their nets have ears, so nothing is hidden by rounding."""

from functools import partial

import pytest

from edge.types import AudioBlock
from tests.edge import coloc_ears, etri_scene
from tests.edge.scenes import check_direction, events_of, heard, run_through, with_gap

PIPELINES = {
    "etri": etri_scene.pipeline_with_ears,
    "coloc-window": partial(coloc_ears.pipeline_with_ears, "window"),
    "coloc-streaming": partial(coloc_ears.pipeline_with_ears, "streaming"),
}


@pytest.fixture(params=PIPELINES)
def made(request):
    """A function that makes a pipeline of a system."""
    return PIPELINES[request.param]


def test_events_and_rows_do_not_depend_on_the_blocks(sounds, cut, block_samples, made):
    whole = run_through(made(), [AudioBlock(sounds, 0)])
    assert heard(whole) == [("low", 1.0, 2.0), ("high", 3.0, 4.0)]
    for event, direction in zip(events_of(whole), ((30, -20), (-120, 40)), strict=True):
        check_direction(event, direction)
    assert run_through(made(), cut(sounds, block_samples)) == whole  # floats and all


def test_with_a_gap_they_do_not_depend_on_the_blocks_either(sounds, cut, block_samples, made):
    """From 1.5 s to 2.87 s nothing was heard."""
    early, late, resumed = sounds[:36_000], sounds[68_900:], 68_900
    pipeline = made()
    got = run_through(pipeline, with_gap(cut, early, late, resumed, block_samples))
    assert pipeline.lost_samples == resumed - 36_000
    assert got == run_through(made(), with_gap(cut, early, late, resumed, 10**9))
    assert heard(got) == [("low", 1.0, 1.5), ("high", 3.0, 4.0)]


def test_reset_makes_the_pipeline_new(sounds, made):
    fresh = run_through(made(), [AudioBlock(sounds, 0)])
    pipeline = made()
    list(pipeline.push(AudioBlock(sounds[:40_000], 0)))
    for _ in range(2):
        pipeline.reset()
        assert run_through(pipeline, [AudioBlock(sounds, 0)]) == fresh
