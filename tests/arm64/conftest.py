import os
import subprocess
import sys

import pytest

pytest.register_assert_rewrite("tests.arm64.checks")

from tests.arm64.boards import ROOT, Board, kept_tree  # noqa: E402
from tests.arm64.checks import ANSWERS  # noqa: E402


@pytest.fixture(scope="session")
def here(tmp_path_factory):
    """Folder of this machine's answers."""
    folder = tmp_path_factory.mktemp("here")
    command = [sys.executable, ANSWERS, folder]
    subprocess.run(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True, timeout=1800)
    return folder


@pytest.fixture(scope="class")
def board(request):
    """The machine that a class of tests is about."""
    return Board(request.cls.release, kept_tree(request.cls.release))


@pytest.fixture(scope="class")
def there(board, tmp_path_factory):
    """Folder of the board's answers."""
    folder = tmp_path_factory.mktemp("there")
    done = board.python(ANSWERS, folder)
    assert done.returncode == 0, done.stderr
    return folder
