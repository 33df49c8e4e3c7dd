"""The machines that are compared: this one and an emulated board."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.arm64.boards import LONGEST_S, ROOT, Board, kept_tree

ANSWERS = Path(__file__).with_name("answers.py")


@pytest.fixture(scope="session")
def here(tmp_path_factory):
    """Folder of this machine's answers."""
    folder = tmp_path_factory.mktemp("here")
    command = [sys.executable, ANSWERS, folder]
    subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True, timeout=LONGEST_S)
    return folder


@pytest.fixture(scope="module")
def board(request):
    """An emulated machine with the release that the parameter names."""
    return Board(request.param, kept_tree(request.param))


@pytest.fixture(scope="module")
def there(board, tmp_path_factory):
    """Folder of the board's answers."""
    folder = tmp_path_factory.mktemp("there")
    done = board.python(ANSWERS, folder)
    assert done.returncode == 0, done.stderr
    return folder
