"""The device's code on the processor and with the wheels of a Raspberry Pi gives what it gives here: see boards.py."""

import collections
import json

import numpy as np
import pytest
from numpy.testing import assert_allclose

from edge.geometry import angle_between_deg, unit_vector
from edge.nets.bundle import shipped_bundles
from tests.arm64.boards import BOOKWORM, ROOT, TRIXIE

BUNDLES = tuple(sorted(shipped_bundles()))
DEFAULT = ("coloc-edge",)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.parametrize(
        "board",
        [
            pytest.param((BOOKWORM, DEFAULT), id="raspberry-pi-4-coloc"),
            pytest.param((BOOKWORM, BUNDLES), id="raspberry-pi-4", marks=pytest.mark.long),
            pytest.param((TRIXIE, BUNDLES), id="raspberry-pi-5", marks=pytest.mark.long),
        ],
        indirect=True,
        scope="module",
    ),
]

TESTS = (
    "test_geometry.py",
    *(f"frontend/test_{name}.py" for name in ("stft", "mel", "maps", "maps_etri", "maps_two_step")),
    *("arrays/test_profile.py", "arrays/test_encoder.py", "audio/test_resample.py"),
    *("nets/test_net.py", "runtime/test_pipeline.py"),
)
WITHOUT = "not stderr and not signal"  # a Python that a test starts would be this machine's; signals are qemu's
QUICKLY = ("-q", "-p", "no:cacheprovider", "--assert=plain", "--hypothesis-profile=few")
OFF_SHARE = 1e-3  # of all elements that a SOFTMAX gives, which may be off by one step


def both(here, there, name, read):
    """The content of a file of both machines: this one's and the board's."""
    return [read((folder / name).read_text()) for folder in (here, there)]


@pytest.mark.long
@pytest.mark.parametrize("which", ["not block", "block"])
def test_the_tests_of_the_device_pass(board, which):
    """All of TESTS, in two parts: those over many sizes of blocks repeat the same work, which is slow here."""
    files = [ROOT / "tests" / "edge" / name for name in TESTS]
    done = board.python("-m", "pytest", *QUICKLY, "-k", f"{WITHOUT} and {which}", *files)
    assert done.returncode == 0 and "[100%]" in done.stdout, done.stdout[-3000:] + done.stderr[-1000:]


def test_outputs_of_the_nets_are_the_same_bytes(board, here, there):
    """One thread and four give the same, and so do both machines if the net has no SOFTMAX.

    A SOFTMAX may be off by one step, which changes all tensors after it. The next test is about nets with one.
    """
    for name in board.bundles:
        wanted, got = both(here, there, f"{name}-nets.json", json.loads)
        assert wanted.keys() == got.keys()
        for net, outputs in got.items():
            assert outputs["1"] == outputs["4"], (name, net)
            if not (here / f"{name}-{net}.npz").exists():
                assert outputs["1"] == wanted[net]["1"], (name, net)


def test_every_operation_gives_the_same_bytes_but_softmax(board, here, there):
    """Operations with the same inputs on both machines are compared.

    SOFTMAX is TFLite's own, and looks exponentials up in a table on ARM: see OFF_SHARE.
    Products of two tensors are the same because the nets have none between two steps: see convert/quantize/ties.py.
    """
    compared = collections.Counter()
    apart = []  # of SOFTMAX
    for path in here.glob("*.npz"):
        wanted, got = np.load(path), np.load(there / path.name)
        if "steps" not in wanted:
            continue
        assert str(wanted["steps"]) == str(got["steps"])
        for operation, inputs, outputs in json.loads(str(wanted["steps"])):
            if operation == "DELEGATE" or any(
                not np.array_equal(wanted[str(i)], got[str(i)]) for i in inputs if i >= 0
            ):
                continue
            compared[operation] += 1
            for output in outputs:
                if operation == "SOFTMAX":
                    apart.append(abs(wanted[str(output)].astype(int) - got[str(output)]).ravel())
                else:
                    assert np.array_equal(wanted[str(output)], got[str(output)]), (path.stem, operation, output)
    off = np.concatenate(apart)
    assert off.max() <= 1 and compared["SOFTMAX"] >= 2 and compared.total() >= 100, compared
    if board.bundles == BUNDLES:  # enough elements for a share
        assert off.mean() < OFF_SHARE and compared["MUL"] >= 100 and compared.total() >= 500, (off.mean(), compared)


def test_features_are_the_same_numbers(board, here, there):
    """To 1e-5 where there is sound in every band; near silence there is rounding noise beside what is loud."""
    for name in board.bundles:
        wanted, got = (np.load(folder / f"{name}-features.npz") for folder in (here, there))
        assert_allclose(got["noise"], wanted["noise"], rtol=0, atol=1e-5)
        assert_allclose(got["scene"], wanted["scene"], rtol=0, atol=1e-3)
        assert len(got["scene"]) >= 500 and np.median(abs(got["scene"] - wanted["scene"])) < 1e-6


def test_the_pipeline_gives_the_same_events(board, here, there):
    for name in board.bundles:
        same_events(here, there, name)


def same_events(here, there, name):
    wanted, got = both(
        here, there, f"{name}-events.jsonl", lambda text: [json.loads(line) for line in text.split("\n")[:-1]]
    )
    assert len(wanted) >= 3
    assert [event["name"] for event in got] == [event["name"] for event in wanted]
    for key in ("onset_s", "offset_s"):  # to a label frame: features are not the same to the bit
        assert_allclose([event[key] for event in got], [event[key] for event in wanted], atol=0.11)
    directions = [
        [unit_vector(event["azimuth_deg"], event["elevation_deg"]) for event in each] for each in (got, wanted)
    ]
    assert max(angle_between_deg(*map(np.array, directions))) < 3.0
    assert_allclose([event["score"] for event in got], [event["score"] for event in wanted], atol=0.05)
