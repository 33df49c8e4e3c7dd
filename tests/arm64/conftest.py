"""The machines that are compared: this one and an emulated board."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.arm64.boards import LONGEST_S, ROOT, Board, kept_tree

ANSWERS = Path(__file__).with_name("answers.py")


@pytest.fixture(scope="module")
def board(request):
    """An emulated machine with the release that the parameter names, and the bundles that it is to run."""
    release, bundles = request.param
    return Board(release, kept_tree(release), bundles)


@pytest.fixture(scope="module")
def here(board, tmp_path_factory):
    """Folder of this machine's answers."""
    folder = tmp_path_factory.mktemp("here")
    command = [sys.executable, ANSWERS, folder, *board.bundles]
    subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True, timeout=LONGEST_S)
    return folder


@pytest.fixture(scope="module")
def there(board, tmp_path_factory):
    """Folder of the board's answers."""
    folder = tmp_path_factory.mktemp("there")
    done = board.python(ANSWERS, folder, *board.bundles)
    assert done.returncode == 0, done.stderr
    return folder
