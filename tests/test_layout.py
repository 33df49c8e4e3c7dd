"""The house: which rooms there are, and that imports run one way between them."""

import ast
import fnmatch
import subprocess
import sys

import pytest

from edge.systems import SYSTEMS
from tests.paths import ROOT
from tests.rooms import arrows_of, back_arrows, circles, modules_of, names_in

FOLDERS = {"edge", "convert", "firmware_config", "tests", "systemd", "bench", "docs"}
TRAINING = {"tensorflow", "keras", "pyroomacoustics", "matplotlib", "tqdm", "sklearn", "joblib", "distributed"}
MAY_KNOW = {
    "edge": {"edge"},
    "convert": {"edge", "convert"},
    "firmware_config": {"firmware_config"},
    "bench": {"edge", "convert", "bench"},
}
PACKAGES = tuple(MAY_KNOW)

EDGE = (
    ("types", "geometry", "framing", "settings", "profiles", "files", "stage_clock", "stderr"),
    ("audio",),
    ("arrays",),
    ("frontend",),
    ("events",),
    ("nets",),
    ("systems",),
    ("runtime",),
    ("outputs",),
    ("page",),
    ("scoring",),
    ("run_settings",),
    ("device",),
    ("", "api"),
    ("commands",),
    ("cli",),
)
"""The rooms of `edge` in the order of the data path; "" is the package itself. A room knows those before it."""

CONVERT = (
    ("", "tensorflow_import", "processes", "engine"),
    ("clips",),
    ("scenes",),
    ("data",),
    ("layers", "losses"),
    ("systems",),
    ("training",),
    ("evaluation",),
    ("quantize",),
    ("reproduction",),
    ("commands",),
    ("cli",),
)


def test_the_folders_of_the_house():
    ignored = [line.strip("/\n") for line in (ROOT / ".gitignore").read_text().splitlines() if line.endswith("/")]
    found = {
        path.name
        for path in ROOT.iterdir()
        if path.is_dir() and not path.name.startswith(".") and not any(fnmatch.fnmatch(path.name, p) for p in ignored)
    }
    assert found == FOLDERS


@pytest.mark.parametrize("package", ["edge", "convert"])
def test_a_dozen_modules_at_the_top(package):
    assert len(list((ROOT / package).glob("*.py"))) <= 12


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_know_each_other_one_way(package):
    own = {known for module, known in arrows_of(ROOT, *PACKAGES) if module.partition(".")[0] == package}
    assert {known.partition(".")[0] for known in own} <= MAY_KNOW[package]


def test_imports_run_one_way_through_the_device():
    assert list(back_arrows(ROOT, "edge", EDGE)) == []


def test_imports_run_one_way_through_the_training():
    assert list(back_arrows(ROOT, "convert", CONVERT)) == []


@pytest.mark.parametrize("package", ["edge", "convert", "bench"])
def test_no_modules_know_each_other_in_a_circle(package):
    assert circles(ROOT, package) == []


def test_the_device_needs_nothing_of_the_training():
    for path in modules_of(ROOT, "edge").values():
        names = {name.partition(".")[0] for name in names_in(ast.parse(path.read_text(encoding="utf-8")), path)}
        assert not names & TRAINING, path


def test_every_system_has_one_name_in_edge_and_convert():
    for package in ("edge", "convert"):
        assert {path.parent.name for path in (ROOT / package / "systems").glob("*/__init__.py")} == SYSTEMS.keys()


def test_every_module_says_what_it_does():
    for path in modules_of(ROOT, *PACKAGES).values():
        assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), path


# The checks themselves: a house in which one arrow runs back up.

PLANTED = {
    "an import": "from edge.outputs.sinks import open_sink",
    "an import of a package": "import edge.outputs",
    "an import inside a function": "def late():\n    from edge.outputs import sinks\n    return sinks",
    "an import for types": "if TYPE_CHECKING:\n    from edge.outputs.sinks import Sink",
    "import_module": "importlib.import_module('edge.outputs.sinks')",
    "__import__": "__import__('edge.outputs')",
    "words of a process": "COMMAND = (sys.executable, '-P', '-m', 'edge.outputs.sinks')",
    "words of a shell": "COMMAND = f'{sys.executable} -m edge.outputs.sinks {port}'",
    "an entry point": "ENTRY = 'edge.outputs.sinks:open_sink'",
}
HARMLESS = {
    "an import": "from edge.audio.wav import read_wav",
    "a docstring": '"""Where results go: see edge.outputs.sinks."""',
    "a comment": "# see edge.outputs.sinks",
    "a path": "PATH = 'edge/outputs/sinks.py'",
    "another package": "import outputs.sinks, knowledge.outputs",
}


def house(root, planted):
    """A house of three rooms, with a line planted in the middle one."""
    for name, text in (
        ("audio/wav.py", "import wave"),
        ("runtime/__init__.py", ""),
        ("runtime/loop.py", f"from edge.audio import wav\n{planted}"),
        ("outputs/sinks.py", "from edge.runtime.loop import run"),
        ("outputs/__init__.py", ""),
    ):
        path = root / "edge" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize("planted", PLANTED.values(), ids=PLANTED)
def test_a_planted_arrow_is_found(tmp_path, planted):
    root = house(tmp_path, planted)
    (found,) = set(back_arrows(root, "edge", EDGE))
    assert found.startswith("edge.runtime.loop -> edge.outputs")
    if found.endswith("sinks"):
        assert circles(root, "edge") == [("edge.outputs.sinks", "edge.runtime.loop")]


@pytest.mark.parametrize("planted", HARMLESS.values(), ids=HARMLESS)
def test_what_is_no_arrow_is_left_alone(tmp_path, planted):
    root = house(tmp_path, planted)
    assert list(back_arrows(root, "edge", EDGE)) == circles(root, "edge") == []


@pytest.mark.parametrize(
    "planted", ["import bench.command", "importlib.import_module('bench')", "ENTRY = 'convert.cli:main'"]
)
def test_a_planted_arrow_out_of_the_package_is_found(tmp_path, planted):
    root = house(tmp_path, planted)
    for name in ("bench/__init__.py", "bench/command.py", "convert/cli.py"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text("")
    known = {known.partition(".")[0] for _, known in arrows_of(root, "edge", "bench", "convert")}
    assert known & {"bench", "convert"}


def test_a_module_in_no_room_is_found(tmp_path):
    root = house(tmp_path, "")
    (root / "edge" / "helpers.py").write_text("from edge.audio import wav")
    with pytest.raises(AssertionError, match="in no room"):
        list(back_arrows(root, "edge", EDGE))


# What is loaded.


def loaded_by(line):
    """Names of all modules that are there after a line of Python."""
    code = f"import sys\n{line}\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert (done.returncode, done.stderr) == (0, "")
    return set(done.stdout.split())


@pytest.mark.parametrize("modules", ["edge.nets.bundle, edge.nets.net", "edge.arrays.profile"])
def test_nets_and_arrays_load_neither_microphone_nor_outputs(modules):
    loaded = loaded_by(f"import {modules}")
    assert set(modules.split(", ")) <= loaded
    rooms = {".".join(name.split(".")[:2]) for name in loaded if name.startswith("edge.")}
    assert not rooms & {"edge.outputs", "edge.runtime", "edge.run_settings", "edge.device", "edge.commands"}
    assert not loaded & {"edge.audio.microphone", "edge.audio.recorder", "pyaudio", "paho", "paho.mqtt"}


def test_processes_that_make_batches_or_scenes_load_no_keras():
    """It takes seconds, in each of them."""
    systems = ", ".join(f"convert.systems.{name}.batches" for name in sorted(SYSTEMS))
    loaded = loaded_by(f"import {systems}, convert.training.prefetch, convert.scenes.render, convert.data.build_cache")
    assert {"convert.systems.batches", *systems.split(", ")} <= loaded
    assert not loaded & {"keras", "tensorflow", "jax", "matplotlib"}


BLOCKED = """
import sys
blocked = {"tensorflow", "keras", "convert", "bench", "tqdm", "matplotlib", "pyroomacoustics"}
# of the device:
extras = {"pyaudio", "paho", "soundfile", "prometheus_client", "tomlkit", "starlette", "uvicorn", "apprise"}
blocked |= extras

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
needing = set()
for name in names:
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name.split(".")[0] not in extras:
            raise
        needing.add(name)
loaded = {"edge.cli", "edge.commands.live", "edge.outputs.sinks", "edge.systems.coloc.build", "edge.audio.microphone"}
assert loaded <= set(names) - needing, names
assert {name.rpartition(".")[0] for name in needing} <= {"edge.outputs", "edge.page", "edge.device"}, needing
assert not blocked & {name.split(".")[0] for name in sys.modules}
from edge.cli import main
sys.exit(main(["models"]))
"""


def test_edge_runs_where_nothing_of_the_training_is_installed():
    done = subprocess.run([sys.executable, "-c", BLOCKED], cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_command_line_waits_with_numpy_until_it_knows_the_threads():
    assert "numpy" not in loaded_by("from edge.cli import main")
