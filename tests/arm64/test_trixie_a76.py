"""A Raspberry Pi 5 with Trixie, emulated: see boards.py."""

import pytest

from tests.arm64.boards import TRIXIE
from tests.arm64.checks import BoardTests


@pytest.mark.slow
class TestTrixie(BoardTests):
    release = TRIXIE
