"""A system that another package adds by entry points is trained, exported and run like one of this project."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import edge.systems
from tests.paths import ROOT

RECIPE = """
name = "tiny-one"
system = "tiny"
[sizes]
bands = 16
[features]
kind = "logmel_iv"
bands = 16
[training]
steps = 2
batch_size = 4
warmup_steps = 1
"""
TRAIN_AND_EXPORT = """
import sys
from pathlib import Path
from convert.cli import main

def run():
    recipe, scenes, run, out = sys.argv[1:]
    options = ["--data", scenes, "--dev", scenes, "--out", run, "--jobs", "1", "--threads", "1"]
    assert main(["train", "--model", recipe, *options]) == 0
    Path(recipe).unlink()  # the run has a copy
    from convert.quantize.export import convert_nets
    from convert.training.run_folder import open_run
    from edge.nets.bundle import write_bundle
    bundles, _ = convert_nets(open_run(Path(run)), ("int8",))
    write_bundle(Path(out), bundles["int8"])

if __name__ == "__main__":
    run()
"""
RUN = """
import sys
from edge.cli import main
code = main(["run", "--model", sys.argv[1], "--source", sys.argv[2], "--sink", f"dcase:{sys.argv[3]}"])
assert not {"keras", "tensorflow", "convert"} & {name.partition(".")[0] for name in sys.modules}
sys.exit(code)
"""


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    """A folder of installed packages with the tiny system, as pip leaves it."""
    folder = tmp_path / "packages"
    information = folder / "tiny_seld-1.0.dist-info"
    information.mkdir(parents=True)
    shutil.copy(Path(__file__).with_name("tiny_system.py"), folder / "tiny_seld.py")
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny-seld\nVersion: 1.0\n")
    groups = {"seld_edge.systems": "from_bundle", "seld_convert.systems": "TRAINABLE"}
    lines = [f"[{group}]\ntiny = tiny_seld:{value}\nbroken = tiny_seld:example\n" for group, value in groups.items()]
    (information / "entry_points.txt").write_text("\n".join(lines))
    return folder


def python(packages: Path, program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a program where the packages are installed."""
    path = os.pathsep.join([str(packages), str(ROOT)])
    script = packages.parent / "program.py"
    script.write_text(program)
    return subprocess.run(
        [sys.executable, script, *map(str, arguments)],
        cwd=packages.parent,
        env=os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1", "KERAS_BACKEND": "tensorflow"},
        capture_output=True,
        text=True,
        timeout=1200,
        check=False,
    )


@pytest.mark.slow
def test_it_is_trained_exported_and_run(packages: Path, scenes_folder: Path, tmp_path: Path) -> None:
    recipe, run, bundle = tmp_path / "own.toml", tmp_path / "run", tmp_path / "bundle"
    recipe.write_text(RECIPE)
    done = python(packages, TRAIN_AND_EXPORT, recipe, scenes_folder, run, bundle)
    assert done.returncode == 0, done.stderr
    assert {"tiny.csv", "tiny.weights.h5", "run.json", "recipe.toml"} <= {path.name for path in run.iterdir()}
    manifest = json.loads((bundle / "manifest.json").read_text())
    assert (manifest["name"], manifest["system"], list(manifest["nets"])) == ("tiny-one", "tiny", ["tiny"])
    if not hasattr(edge.systems, "find_builder"):
        pytest.skip("the device's half of an added system is not found by this version of edge.systems")
    wav = min(scenes_folder.glob("*.wav"))
    done = python(packages, RUN, bundle, wav, tmp_path / "found.csv")
    assert done.returncode == 0, done.stderr
    rows = [line.split(",") for line in (tmp_path / "found.csv").read_text().splitlines()]
    assert all(0 <= int(row[0]) < 20 and int(row[1]) in (0, 1) for row in rows)


FIND = """
import sys
from convert.systems import find_system
for name in sys.argv[1:]:
    try:
        print(find_system(name).stages)
    except ValueError as error:
        print(error)
"""
FOUND = {
    "tiny": "('tiny',)",
    "coloc": "('localizer', 'classifier')",
    "broken": "system: got tiny_seld:example, a function, wanted a TrainableSystem",
    "tinier": "system: got 'tinier', wanted one of coloc, etri, two_step, broken, tiny",
}


def test_it_is_found_by_name(packages: Path) -> None:
    done = python(packages, FIND, *FOUND)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == list(FOUND.values())
