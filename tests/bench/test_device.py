"""The benchmarks run on the device: nothing of the training, and matplotlib only where a plot is asked for."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = sorted(set((ROOT / "bench").rglob("*.py")) - {ROOT / "bench" / "make_assets.py"})
RUN = """
import sys
sys.modules |= dict.fromkeys(["tensorflow", "keras", "convert", "matplotlib"])
import bench.command
assert "numpy" not in sys.modules, "the words of the command wait for numpy"
import bench.fresh, bench.pace, bench.peers, bench.plot, bench.report, bench.soak
"""


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_modules_import_nothing_of_the_training(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert not {name.split(".")[0] for name in names} & {"convert", "tensorflow", "keras"}


def test_benchmarks_load_where_nothing_of_the_training_is_installed():
    done = subprocess.run([sys.executable, "-c", RUN], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
