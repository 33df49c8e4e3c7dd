from contextlib import ExitStack
from pathlib import Path

import pytest

from edge.runtime.machine import machine_id, open_descriptors, rss_mb


def machine(root, machine=None, serial=None):
    for name, content in (("etc/machine-id", machine), ("proc/device-tree/serial-number", serial)):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        if content is not None:
            path.write_text(content)
    return machine_id(root)


def test_the_id_tells_machines_and_boards_apart(tmp_path):
    first = machine(tmp_path, "0123456789abcdef0123456789abcdef\n", "10000000abcdef01\0")
    assert len(first) == 8 and int(first, 16) >= 0
    assert machine(tmp_path, "0123456789abcdef0123456789abcdef\n", "10000000abcdef01\0") == first
    others = [
        machine(tmp_path, "fedcba9876543210fedcba9876543210\n", "10000000abcdef01\0"),
        machine(tmp_path, "0123456789abcdef0123456789abcdef\n", "10000000abcdef02\0"),  # a card with the same image
        machine(tmp_path, "0123456789abcdef0123456789abcdef\n"),
        machine(tmp_path, None, "10000000abcdef01\0"),
    ]
    assert len({first, *others}) == 5


def test_the_machine_id_itself_is_not_published(tmp_path):
    assert machine(tmp_path, "0123456789abcdef0123456789abcdef\n") not in "0123456789abcdef0123456789abcdef"


def test_a_machine_without_any_id(tmp_path):
    assert machine(tmp_path) is None and machine(tmp_path, "\n", "\0") is None


def test_memory_and_descriptors_that_cannot_be_read(tmp_path):
    assert rss_mb(tmp_path) is None and open_descriptors(tmp_path) is None


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="descriptors are counted in /proc")
def test_open_descriptors_are_counted():
    with ExitStack() as files:
        for _ in range(100):
            files.enter_context(Path(__file__).open())
        opened = open_descriptors()
    assert 50 < opened - open_descriptors() < 150  # other threads open and close theirs
