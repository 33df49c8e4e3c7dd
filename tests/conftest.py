"""What tests of all rooms share: sounds, and bundles with known answers."""

import os
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # before numpy is imported: each worker has one processor

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

from edge.geometry import foa_gains, unit_vector
from edge.nets.net import LiteRtNet
from edge.types import AudioBlock

# Modules of tests/edge that several tests import: a failing assertion in them shows its values, as in a test.
SHARED = ("coloc_scene", "command_line", "etri_scene", "mqtt_broker", "scenes", "two_step_scene")
pytest.register_assert_rewrite(*(f"tests.edge.{name}" for name in SHARED))
TRAINED_RUN = {  # files whose tests need the run, or the bundle, that tests/convert/conftest.py trains
    *(f"tests/convert/commands/test_{name}_command.py" for name in ("evaluate", "look_ahead", "snapshots", "train")),
    *("tests/convert/commands/test_cli.py", "tests/convert/quantize/test_export.py"),
    *("tests/convert/training/test_prefetch.py", "tests/convert/training/test_warm_start.py"),
}
settings.register_profile(
    "seld", deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
settings.register_profile("few", settings.get_profile("seld"), max_examples=5)  # for emulated processors: see arm64
settings.load_profile("seld")


@pytest.fixture(scope="session")
def golden():
    """Folder of files with known answers."""
    return Path(__file__).parent / "golden"


@pytest.fixture(scope="session")
def tiny_bundle(golden):
    """A bundle with answers that are known: see make_tiny_bundle.py."""
    return golden / "tiny-bundle"


@pytest.fixture(params=[1, 7, 479, 480, 481, 4096, 10**9])
def block_samples(request):
    """Sizes of blocks that must not matter: around the hop of 480, not around it, and all at once."""
    return request.param


@pytest.fixture(scope="session")
def cut():
    """A function that cuts samples (n, channels) into blocks of one size."""

    def blocks(samples, size, start=0):
        samples = np.asarray(samples, np.float32)
        return [AudioBlock(samples[at : at + size], start + at) for at in range(0, len(samples), size)]

    return blocks


@pytest.fixture(scope="session")
def plane_wave():
    """A function from a mono sound and its direction in degrees to FOA samples (n, 4)."""

    def foa(mono, azimuth_deg, elevation_deg):
        return (mono[:, None] * foa_gains(unit_vector(azimuth_deg, elevation_deg))).astype(np.float32)

    return foa


@pytest.fixture(scope="session")
def sounds(plane_wave):
    """FOA samples of 5 s at 24 kHz: "low" from (30, -20) in 1.0-2.0 s and "high" from (-120, 40) in 3.0-4.0 s."""
    t = np.arange(24000) / 24000
    rng = np.random.default_rng(0)
    low = sum(np.sin(2 * np.pi * hz * t + rng.uniform(0, 6)) for hz in range(100, 1500, 23)) * 0.02
    low = low + rng.normal(0, 0.002, len(t))  # something in every band
    high = sum(np.sin(2 * np.pi * hz * t + rng.uniform(0, 6)) for hz in range(4000, 11000, 97)) * 0.02
    high = high + rng.normal(0, 0.002, len(t))
    scene = rng.normal(0, 1e-4, (5 * 24000, 4)).astype(np.float32)
    scene[24000:48000] += plane_wave(low, 30, -20)
    scene[72000:96000] += plane_wave(high, -120, 40)
    return scene


@pytest.fixture(scope="session")
def resized():
    """A function that makes a step net (front or blocks) which takes several label frames at a time."""

    def resize(flatbuffer, labels, frames_per_label=5):
        net = LiteRtNet(flatbuffer)
        for name, (frames, *sizes) in net.input_shapes.items():
            if not name.startswith("state_"):
                net.input_shapes[name] = (frames + (labels - 1) * frames_per_label, *sizes)
                net._interpreter.resize_tensor_input(net.inputs[name]["index"], (1, *net.input_shapes[name]))
        net._interpreter.allocate_tensors()
        return net

    return resize


@pytest.fixture(scope="session")
def convolved(resized):
    """A function that runs the convolutions of a stage over a clip, some label frames at a time.

    Flatbuffers of front and blocks, maps (labels, 5, bands, maps), conditions (labels, n) -> raw rows about all label
    frames but the last three. As on the device, the third convolution forgets what it was told about the label frame
    before the first: that one is given alone.
    """

    def run(front, blocks, maps, conditions, size):
        def cut(first, count):
            return [(at, min(at + size, count)) for at in range(first, count, size)]

        nets = {}

        def net(flatbuffer, labels):
            if (flatbuffer, labels) not in nets:
                nets[flatbuffer, labels] = resized(flatbuffer, labels)
            return nets[flatbuffer, labels]

        past, shared = net(front, 1).fresh(), []
        for begin, end in cut(0, len(maps)):
            frames = maps[begin:end].reshape(-1, *maps.shape[2:])
            shared.append(net(front, end - begin)(past, features=frames)["shared_maps"])
        shared = np.concatenate(shared)[5:]  # what comes first is about the label frame before the first
        told = np.repeat(np.concatenate([np.zeros_like(conditions[:1]), conditions]), 5, axis=0)[:, None]
        past, rows = net(blocks, 1).fresh(), []
        for begin, end in [(0, 1), *cut(1, len(maps) - 1)]:
            inputs = {"shared_maps": shared[5 * begin : 5 * end], "condition": told[5 * begin + 4 : 5 * end + 6]}
            rows.append(net(blocks, end - begin)(past, **inputs)["shared_labels"])
            if begin == 0:
                past["state_third"] = net(blocks, 1).fresh()["state_third"]
        return np.concatenate(rows)[2:]

    return run


def pytest_collection_modifyitems(items):
    """Tests of the shipped bundles take long, and come first, so that no process is left alone with them."""
    items.sort(key=lambda item: item.path.name != "test_shipped_bundle.py")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    """Files that need the same trained run go to the same process, which trains it once."""
    from xdist.scheduler import LoadFileScheduling

    scheduler = LoadFileScheduling(config, log)
    of_file = scheduler._split_scope
    scheduler._split_scope = lambda test: "trained run" if of_file(test) in TRAINED_RUN else of_file(test)
    return scheduler if config.getvalue("dist") == "loadfile" else None
