"""The bundle that comes with the package, on sounds of the project's own making."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from convert.synth import synthesize
from edge.array import load_array
from edge.bundle import load_bundle, shipped_bundles
from edge.geometry import angle_between_deg, foa_gains, unit_vector
from edge.runtime import build_pipeline, build_system
from edge.types import AudioBlock, Event, FrameRow

DIRECTIONS = [(azimuth, elevation) for elevation in (-40, -10, 20, 50) for azimuth in (-160, -100, -30, 30, 110)]
SOUNDS = ("telephone", "music", "dog_bark", "water_tap")  # those that need no espeak-ng


@pytest.fixture(scope="module", params=sorted(shipped_bundles()))
def bundle(request):
    return load_bundle(request.param)


def pipeline_of(bundle):
    return build_pipeline(bundle, load_array("foa"), build_system(bundle))


def heard(pipeline, samples, block=4800):
    pipeline.reset()
    items = []
    for start in range(0, len(samples), block):
        items += pipeline.push(AudioBlock(samples[start : start + block], start))
    return [*items, *pipeline.finish()]


def plane_wave(name, azimuth_deg, elevation_deg, seed):
    """A synthesized sound from one direction, without a room, over faint diffuse noise."""
    rng = np.random.default_rng(seed)
    mono = 0.2 * np.concatenate([synthesize(name, rng, "test") for _ in range(3)])[: 5 * 24000]
    samples = np.outer(mono, foa_gains(unit_vector(azimuth_deg, elevation_deg)))
    samples += rng.normal(0.0, 2e-4, samples.shape) * [1.0, *[3**-0.5] * 3]
    return samples.astype(np.float32)


def test_a_plane_wave_comes_out_where_it_came_from(bundle):
    pipeline = pipeline_of(bundle)
    errors = []
    for number, (azimuth, elevation) in enumerate(DIRECTIONS):
        wave = plane_wave(SOUNDS[number % len(SOUNDS)], azimuth, elevation, number)
        rows = [item for item in heard(pipeline, wave) if isinstance(item, FrameRow)]
        found = unit_vector([row.azimuth_deg for row in rows], [row.elevation_deg for row in rows])
        errors += list(angle_between_deg(found, unit_vector(azimuth, elevation)))
    assert len(errors) > 10 * len(DIRECTIONS)  # label frames in which something was found
    assert np.median(errors) < 6.0
    assert np.percentile(errors, 90) < 20.0


def test_events_do_not_depend_on_the_block_size(bundle):
    wave = np.concatenate([plane_wave("telephone", 30, -20, 1), plane_wave("music", -100, 20, 2)])
    pipeline = pipeline_of(bundle)
    whole = heard(pipeline, wave, len(wave))
    assert any(isinstance(item, Event) for item in whole)
    for block in (479, 480, 481, 4096):
        assert heard(pipeline, wave, block) == whole


def test_silence_gives_no_events(bundle):
    assert heard(pipeline_of(bundle), np.zeros((6 * 24000, 4), np.float32)) == []


def test_the_nets_have_no_float_tensor_and_repeat_themselves(bundle):
    rng = np.random.default_rng(0)
    for net in bundle.nets().values():
        assert not [kind for kind in net.tensor_types() if kind.startswith("float")]
        inputs = {name: rng.normal(size=detail["shape"][1:]).astype(np.float32) for name, detail in net.inputs.items()}
        first, second = net(**inputs), net(**inputs)
        for name in first:
            assert_array_equal(first[name], second[name])
