"""The device's code on the processors and with the wheels of a Raspberry Pi, against this machine: see conftest.py."""

import collections
import functools
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

import edge.litert
from edge.bundle import load_bundle, shipped_bundles
from edge.geometry import angle_between_deg, unit_vector

pytestmark = pytest.mark.long

ROOT = Path(__file__).parents[2]
ANSWERS = Path(__file__).with_name("answers.py")
MODULES = ("framing", "geometry", "stft", "mel", "features", "nets", "decode", "etri_masks", "coloc_streaming")
WITHOUT = "not stderr"  # those that start a Python, which is none of this machine
BUNDLES = sorted(shipped_bundles())


@pytest.fixture(scope="module")
def here(tmp_path_factory):
    """Folder of this machine's answers."""
    folder = tmp_path_factory.mktemp("here")
    subprocess.run(
        [sys.executable, ANSWERS, folder],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        check=True,
        timeout=1800,
    )
    return folder


@pytest.fixture(scope="module")
def there(board, tmp_path_factory):
    """Folder of the board's answers."""
    folder = tmp_path_factory.mktemp("there")
    done = board.python(ANSWERS, folder)
    assert done.returncode == 0, done.stderr
    return folder


def both(here, there, name, read):
    return [read((folder / name).read_text()) for folder in (here, there)]


def test_the_tests_of_the_device_pass(board):
    files = [ROOT / "tests" / "edge" / f"test_{name}.py" for name in MODULES]
    done = board.python("-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", WITHOUT, *files)
    assert done.returncode == 0 and " passed" in done.stdout, done.stdout[-3000:] + done.stderr[-1000:]


@pytest.mark.parametrize("name", BUNDLES)
def test_outputs_of_the_nets_are_the_same_bytes(here, there, name):
    """Those of all nets but the ones that multiply tensors, as recurrent ones do: see the next test."""
    wanted, got = both(here, there, f"{name}-nets.json", json.loads)
    multiplying = {path.stem for path in here.glob("*.npz")}
    same = {key for key in wanted if f"{name}-{key.partition(' ')[0]}" not in multiplying}
    assert len(same) >= 4 and wanted.keys() == got.keys()
    assert {key: got[key] for key in same} == {key: wanted[key] for key in same}


@pytest.mark.parametrize("name", BUNDLES)
def test_every_operation_gives_the_same_bytes_but_products_that_are_a_tie(here, there, name):
    """Given the same. A product of two int8 tensors that lies between two steps XNNPACK rounds otherwise on ARM."""
    compared = collections.Counter()
    for path in here.glob(f"{name}-*.npz"):
        wanted, got = np.load(path), np.load(there / path.name)
        if "steps" not in wanted:
            continue
        assert str(wanted["steps"]) == str(got["steps"])
        for operation, inputs, outputs in json.loads(str(wanted["steps"])):
            if operation == "DELEGATE" or any(
                not np.array_equal(wanted[str(i)], got[str(i)]) for i in inputs if i >= 0
            ):
                continue
            apart = max(abs(wanted[str(i)].astype(int) - got[str(i)]).max() for i in outputs)
            assert apart <= (operation == "MUL"), (path.stem, operation, outputs)
            compared[operation] += 1
    assert compared["MUL"] >= 3 and compared.total() >= 50, compared


@pytest.mark.parametrize("name", BUNDLES)
def test_features_are_the_same_numbers(here, there, name):
    """To 1e-5 where there is sound in every band; what is near silence there is rounding noise beside what is loud."""
    wanted, got = (np.load(folder / f"{name}-features.npz") for folder in (here, there))
    assert_allclose(got["noise"], wanted["noise"], rtol=0, atol=1e-5)
    assert_allclose(got["scene"], wanted["scene"], rtol=0, atol=1e-3)
    assert len(got["scene"]) >= 500 and np.median(abs(got["scene"] - wanted["scene"])) < 1e-6


@pytest.mark.parametrize("name", BUNDLES)
def test_the_loop_hears_the_same_events(here, there, name):
    wanted, got = both(
        here, there, f"{name}-events.jsonl", lambda text: [json.loads(line) for line in text.split("\n")[:-1]]
    )
    assert len(wanted) >= 5
    for key in ("name", "onset_s", "offset_s"):
        assert [event[key] for event in got] == [event[key] for event in wanted]
    directions = [
        [unit_vector(event["azimuth_deg"], event["elevation_deg"]) for event in each] for each in (got, wanted)
    ]
    assert max(angle_between_deg(*map(np.array, directions))) < 3.0
    assert_allclose([event["score"] for event in got], [event["score"] for event in wanted], atol=0.05)


def test_a_net_without_xnnpack_would_be_noticed(monkeypatch):
    spec = importlib.util.spec_from_file_location("answers", ANSWERS)
    answers = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(answers)
    kinds = importlib.import_module(edge.litert.Interpreter.__module__).OpResolverType
    plain = functools.partial(
        edge.litert.Interpreter, experimental_op_resolver_type=kinds.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    )
    monkeypatch.setattr(answers, "Interpreter", plain)
    flatbuffer = load_bundle("etri-edge").flatbuffers["sad"]
    with pytest.raises(RuntimeError, match="XNNPACK is off"):
        answers.digests(flatbuffer, 1)
