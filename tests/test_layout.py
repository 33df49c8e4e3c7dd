"""The house of README and DESIGN: which rooms there are, and that data flows one way."""

import ast
import fnmatch
import subprocess
import sys
from pathlib import Path

import pytest

from edge.systems import SYSTEMS

ROOT = Path(__file__).parents[1]
ROOMS = {"edge", "convert", "firmware_config", "tests", "systemd", "bench", "docs"}
TRAINING = {"tensorflow", "keras", "pyroomacoustics", "matplotlib", "tqdm"}
OWN = {"edge", "convert", "bench", "firmware_config", "tests"}
MAY_IMPORT = {
    "edge": {"edge", "firmware_config"},
    "convert": {"edge", "convert", "firmware_config"},
    "firmware_config": {"firmware_config"},
    "bench": {"edge", "convert", "bench", "firmware_config"},
}


def imports_of(path):
    """Top-level names of everything a module imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            yield (node.module or "").split(".")[0]


def modules(room):
    return sorted((ROOT / room).rglob("*.py"))


def test_the_rooms_of_the_house():
    ignored = [line.strip("/\n") for line in (ROOT / ".gitignore").read_text().splitlines() if line.endswith("/")]
    found = {
        path.name
        for path in ROOT.iterdir()
        if path.is_dir() and not path.name.startswith(".") and not any(fnmatch.fnmatch(path.name, p) for p in ignored)
    }
    assert found == ROOMS


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_imports_go_one_way(room):
    assert modules(room)
    for path in modules(room):
        assert set(imports_of(path)) & OWN <= MAY_IMPORT[room], path


def test_the_device_needs_nothing_of_the_training():
    for path in modules("edge"):
        assert not set(imports_of(path)) & TRAINING, path


def test_every_system_has_one_name_in_edge_and_convert():
    for room in ("edge", "convert"):
        assert {path.parent.name for path in (ROOT / room / "systems").glob("*/__init__.py")} == SYSTEMS.keys()


def test_every_module_says_what_it_does():
    for room in MAY_IMPORT:
        for path in modules(room):
            assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), path


BLOCKED = """
import sys
blocked = {"tensorflow", "keras", "convert", "bench", "tqdm", "matplotlib", "pyroomacoustics"}
blocked |= {"pyaudio", "paho", "soundfile"}  # extras of the device

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in blocked:
            raise ModuleNotFoundError(f"{name} is blocked", name=name)

sys.meta_path.insert(0, Blocker())
for name in ("tensorflow", "convert"):
    try:
        __import__(name)
    except ModuleNotFoundError:
        continue
    sys.exit(f"{name} is not blocked")

import importlib, pkgutil, edge
names = [module.name for module in pkgutil.walk_packages(edge.__path__, "edge.")]
for name in names:
    importlib.import_module(name)
assert {"edge.cli", "edge.runtime.pipeline", "edge.systems.coloc.build", "edge.audio.microphone"} <= set(names), names
assert not blocked & {name.split(".")[0] for name in sys.modules}
from edge.cli import main
sys.exit(main(["models"]))
"""


def test_edge_runs_where_nothing_of_the_training_is_installed():
    done = subprocess.run([sys.executable, "-c", BLOCKED], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
