"""A Raspberry Pi 4 with Bookworm, emulated: see boards.py."""

import pytest

from tests.arm64.boards import BOOKWORM
from tests.arm64.checks import BoardTests


@pytest.mark.slow
class TestBookworm(BoardTests):
    release = BOOKWORM
