import re
from dataclasses import replace

import pytest

from bench.boards import BOARDS
from edge.device.board import load_board, recognised_board, shipped_boards
from edge.runtime.budget import BudgetSettings

GOOD = {
    "name": '"a"',
    "models": '["A board"]',
    "threads": "1",
    "cpu_governor": '"ondemand"',
    "cores": "[2, 3]",
    "step_ms": "100.0",
}


def of_model(root, model):
    (root / "proc/device-tree").mkdir(parents=True, exist_ok=True)
    (root / "proc/device-tree/model").write_bytes(model)
    return root


def test_every_shipped_profile_loads_under_its_own_name():
    assert set(shipped_boards()) == {"zero2w", "3b", "4", "5"}
    for name in shipped_boards():
        assert load_board(name).name == name


def test_a_board_leaves_the_core_of_the_interrupts_alone_and_holds_the_pace_of_the_loop():
    for board in map(load_board, shipped_boards()):
        assert 0 not in board.cores and max(board.cores) < 4
        assert board.step_ms <= BudgetSettings().step_ms  # a step of 100 ms is due every 100 ms


@pytest.mark.parametrize(
    ("model", "name"),
    [
        (b"Raspberry Pi Zero 2 W Rev 1.0\0", "zero2w"),
        (b"Raspberry Pi 3 Model B Rev 1.2\0", "3b"),
        (b"Raspberry Pi 3 Model B Plus Rev 1.3\0", "3b"),
        (b"Raspberry Pi 4 Model B Rev 1.5\0", "4"),
        (b"Raspberry Pi 400 Rev 1.0\0", "4"),
        (b"Raspberry Pi Compute Module 4 Rev 1.1\0", "4"),
        (b"Raspberry Pi 5 Model B Rev 1.0\0", "5"),
    ],
)
def test_boards_are_recognised(tmp_path, model, name):
    assert recognised_board(of_model(tmp_path, model)).name == name


@pytest.mark.parametrize("model", [b"Raspberry Pi Zero W Rev 1.1\0", b"Raspberry Pi 2 Model B Rev 1.1\0", b"\xff\0"])
def test_boards_that_are_not_known(tmp_path, model):
    with pytest.raises(ValueError, match=r"^got model '.+' in .*/model, wanted --board 3b, 4, 5, zero2w$"):
        recognised_board(of_model(tmp_path, model))


@pytest.mark.parametrize("model", [None, b"\0"])
def test_machines_without_a_model(tmp_path, model):
    if model is not None:
        of_model(tmp_path, model)
    with pytest.raises(ValueError, match=r"^got no model of a board in .*/model, wanted --board 3b, 4, 5, zero2w$"):
        recognised_board(tmp_path)


def test_the_figures_of_the_bench_are_those_of_the_profiles():
    """One list of boards: the bench has published times for each, under the name that the device tree gives."""
    assert {board.profile for board in BOARDS} == set(shipped_boards())
    for board in BOARDS:
        assert board.name == load_board(board.profile).models[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("models = []", r"got models \[\], wanted at least one"),
        ('models = [""]', r"got models \[''\], wanted at least one"),
        ('models = "Raspberry Pi"', "models: got 'Raspberry Pi', wanted a list"),
        ("threads = 3", "got threads 3, wanted 1 to 2: there are so many cores"),
        ("threads = 0", "got threads 0, wanted 1 to 2"),
        ('cpu_governor = "fast; reboot"', "got cpu_governor 'fast; reboot', wanted one of performance, ondemand"),
        ("cores = []", r"got cores \[\], wanted different ones of 0 to 63"),
        ("cores = [1, 1]", r"got cores \[1, 1\], wanted different ones"),
        ("cores = [-1]", r"got cores \[-1\], wanted different ones"),
        ("step_ms = 0", r"got step_ms 0\.0, wanted more than 0"),
        ("governor = 1", "got unknown key 'governor', wanted one of name, models"),
    ],
)
def test_profiles_that_make_no_sense(tmp_path, text, message):
    key, _, value = text.partition(" = ")
    path = tmp_path / "a.toml"
    path.write_text("".join(f"{key} = {value}\n" for key, value in (GOOD | {key: value}).items()))
    with pytest.raises(ValueError, match=rf"^{re.escape(str(path))}: .*{message}"):
        load_board(str(path))


def test_profiles_that_are_not_there():
    with pytest.raises(ValueError, match=r"^board '6': got no such profile, wanted 3b, 4, 5, zero2w or a \.toml file$"):
        load_board("6")


@pytest.mark.parametrize(
    "name", ["a\nExecStart=/bin/sh", "a\rb", "50%h", 'a"b', "a'b", "$HOME", "", "ä", "a\\b", "x" * 65]
)
def test_names_that_would_change_a_unit_are_refused(name):
    with pytest.raises(ValueError, match=r"^got name .*, wanted 1 to 64 letters, digits, spaces, _, \., \+ or -$"):
        replace(load_board("4"), name=name)
