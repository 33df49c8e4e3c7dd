"""Whole pipelines of every system, with analytic nets in float, so that no difference is hidden by rounding."""

from functools import partial

import numpy as np
import pytest

from edge.nets.bundle import load_bundle
from edge.runtime.pipeline import build_system
from edge.stage_clock import StageClock
from edge.types import AudioBlock, Spectra
from tests.edge import coloc_analytic, etri_scene, two_step_scene
from tests.edge.scenes import check_direction, events_of, heard, run_through, with_gap

PIPELINES = {
    "etri": etri_scene.analytic_pipeline,
    "coloc-window": partial(coloc_analytic.analytic_pipeline, "window"),
    "coloc-streaming": partial(coloc_analytic.analytic_pipeline, "streaming"),
}


@pytest.fixture(params=PIPELINES)
def made(request):
    """A function that makes a pipeline around a system."""
    return PIPELINES[request.param]


def test_events_and_rows_do_not_depend_on_the_blocks(sounds, cut, block_samples, made):
    whole = run_through(made(), [AudioBlock(sounds, 0)])
    assert heard(whole) == [("low", 1.0, 2.0), ("high", 3.0, 4.0)]
    for event, direction in zip(events_of(whole), ((30, -20), (-120, 40)), strict=True):
        check_direction(event, direction)
    assert run_through(made(), cut(sounds, block_samples)) == whole  # floats and all


def test_events_and_rows_around_a_gap_do_not_depend_on_the_blocks(sounds, cut, block_samples, made):
    """The samples from 1.5 s to 2.87 s are lost."""
    early, late, resumed = sounds[:36_000], sounds[68_900:], 68_900
    pipeline = made()
    got = run_through(pipeline, with_gap(cut, early, late, resumed, block_samples))
    assert pipeline.lost_samples == resumed - 36_000
    assert got == run_through(made(), with_gap(cut, early, late, resumed, 10**9))
    assert heard(got) == [("low", 1.0, 1.5), ("high", 3.0, 4.0)]


def test_reset_equals_a_new_pipeline(sounds, made):
    fresh = run_through(made(), [AudioBlock(sounds, 0)])
    pipeline = made()
    list(pipeline.push(AudioBlock(sounds[:40_000], 0)))
    for _ in range(2):
        pipeline.reset()
        assert run_through(pipeline, [AudioBlock(sounds, 0)]) == fresh


@pytest.mark.parametrize("name", ["etri", "two_step", "coloc-window", "coloc-streaming"])
def test_a_system_is_built_with_a_clock_for_its_laps(tiny_bundle, name):
    clock = StageClock()
    if name.startswith("coloc"):
        bundle, nets, overrides = load_bundle(str(tiny_bundle)), None, {"mode": name.partition("-")[2]}
    else:
        bundle, overrides = {"etri": etri_scene, "two_step": two_step_scene}[name].bundle(), {}
        nets = {net: lambda past=None, **inputs: {} for net in bundle.manifest.nets}
    system = build_system(bundle, nets=nets, overrides=overrides, clock=clock)
    channels, bins = bundle.manifest.features.channels, bundle.manifest.stft.bins
    list(system.step(Spectra(np.zeros((5, channels, bins), np.complex64), 0)))
    assert system.clock is clock
    assert "features" in clock.stages() and ("localizer" in clock.stages()) == (name == "coloc-streaming")
