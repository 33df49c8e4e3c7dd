"""`seld-edge apply`: how it changes the files of a system, and that every change can be undone."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.arrays.profile import load_array, shipped_arrays
from edge.cli import main
from edge.device.apply import apply, undo
from edge.device.backup import FOLDER
from edge.device.board import load_board, shipped_boards
from edge.device.install import SETTINGS_PATH, shipped
from edge.device.system_files import ASOUND_PATH, BOARD_PATH, BOOT_PATH, RULES_PATH, SHARED, system_files
from edge.run_settings import read_settings

USB, HAT = "respeaker_usb4", "seeed_4mic"
pytestmark = pytest.mark.usefixtures("quick_disk")


def tree(root):
    """Content and permissions of all files below a folder, None for folders."""
    return {
        str(path.relative_to(root)): None if path.is_dir() else (path.read_bytes(), path.stat().st_mode)
        for path in sorted(root.rglob("*"))
    }


def patch(before, diff):
    """Apply a diff to a tree with `patch`."""
    words = ["patch", "-p0", "-s", "--binary", "--fuzz=0"]
    done = subprocess.run(words, input=diff, cwd=before, capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (0, b""), done


# Showing and writing


def test_without_write_the_changes_are_only_printed(pi, apply_to, capsys, caplog):
    before = tree(pi)
    apply_to(write=False)
    assert tree(pi) == before
    said = capsys.readouterr().out
    for path in (ASOUND_PATH, SETTINGS_PATH):
        assert f"--- {pi / path}\n+++ {pi / path}\n" in said
    for path in (RULES_PATH, BOARD_PATH):
        assert f"--- /dev/null\n+++ {pi / path}\n" in said
    assert str(pi / BOOT_PATH) not in said and str(FOLDER) not in said
    assert '-array = "foa" # for now\n+array = "respeaker_usb4" # for now\n' in said
    assert "nothing is written yet: use --write to write these changes" in caplog.text


@pytest.mark.skipif(shutil.which("patch") is None, reason="no patch here")
@pytest.mark.parametrize("array", [USB, HAT])
def test_the_printed_diff_is_what_is_written(tmp_path, pi, apply_to, capsysbinary, array):
    copy = tmp_path / "copy"
    shutil.copytree(pi, copy, ignore=shutil.ignore_patterns("copy"))
    (copy / BOOT_PATH).write_bytes(b"of ASCII\n")  # what is not UTF-8 is shown with a replacement character
    (pi / BOOT_PATH).write_bytes(b"of ASCII\n")
    apply_to(array, write=False)
    patch(copy, capsysbinary.readouterr().out.replace(f"{pi}/".encode(), b""))
    apply_to(array)
    for path in (*SHARED, RULES_PATH, BOARD_PATH, SETTINGS_PATH):
        there, here = ((root / path).read_bytes() if (root / path).exists() else None for root in (copy, pi))
        assert there == here, path


def test_usb_arrays_get_a_rule_and_hats_what_they_need_at_boot(pi, apply_to, caplog):
    apply_to(USB)
    assert (pi / RULES_PATH).exists() and b"seld-edge" not in (pi / BOOT_PATH).read_bytes()
    apply_to(HAT)
    assert not (pi / RULES_PATH).exists()
    boot = (pi / BOOT_PATH).read_bytes()
    assert boot.startswith(b"# caf\xe9\r\ndtparam=audio=on\r\n[pi4]\narm_boost=1\n# >>> seld-edge")
    assert b"\n[all]\ndtparam=i2c_arm=on\ndtparam=i2s=on\ndtoverlay=seeed-4mic-voicecard\n# <<< seld-edge\n" in boot
    assert f"{pi / BOOT_PATH} takes effect at the next boot" in caplog.text
    assert b"pcm.seeed_4mic {" in (pi / ASOUND_PATH).read_bytes()
    assert b"respeaker" not in (pi / ASOUND_PATH).read_bytes()
    apply_to("foa")
    assert "array foa has no sound card in its profile" in caplog.text
    assert (pi / ASOUND_PATH).read_bytes() == b"pcm.mine { type null }\n"


def test_settings_of_the_service_are_updated_and_otherwise_kept(pi, apply_to, tmp_path):
    apply_to(USB)
    was = (pi / SETTINGS_PATH).read_text()
    assert was == 'array = "respeaker_usb4" # for now\nsinks = ["null"]\n\n[mqtt]\nhost = "broker"\n'
    assert (pi / SETTINGS_PATH).stat().st_mode & 0o777 == 0o640
    text = Path(shipped_boards()["4"]).read_text().replace("threads = 1", "threads = 2").replace("100.0", "50.0")
    (tmp_path / "mine.toml").write_text(text)
    apply_to(USB, board=str(tmp_path / "mine.toml"))
    got = read_settings(pi / SETTINGS_PATH)
    assert (got.threads, got.budget.step_ms, got.mqtt.host) == (2, 50.0, "broker")
    assert (got.array, got.sinks) == ("respeaker_usb4", ("null",))


def test_missing_files_are_created(tmp_path, capsys):
    apply(system_files(load_board("5"), load_array(HAT), HAT), tmp_path, write=True)
    assert read_settings(tmp_path / SETTINGS_PATH).array == HAT
    assert (tmp_path / SETTINGS_PATH).read_text() == shipped("config.toml").replace('"foa"', '"seeed_4mic"')
    assert undo(tmp_path, write=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("array", [USB, HAT, "foa"])
def test_a_second_run_changes_nothing(pi, apply_to, capsys, caplog, array):
    apply_to(array)
    before = tree(pi)
    capsys.readouterr()
    apply_to(array)
    assert (capsys.readouterr().out, tree(pi)) == ("", before)
    assert "nothing to change" in caplog.text


def test_invalid_settings_stop_it_before_anything_is_written(pi, apply_to):
    (pi / SETTINGS_PATH).write_text("thread = 2\n")
    before = tree(pi)
    with pytest.raises(ValueError, match=rf"^{re.escape(str(pi / SETTINGS_PATH))}: .*got unknown key 'thread'"):
        apply_to()
    assert tree(pi) == before


def test_a_link_is_followed_but_not_out_of_the_prefix(pi, apply_to):
    """The driver of the HAT makes /etc/asound.conf a link at every boot."""
    asound = pi / ASOUND_PATH
    asound.rename(pi / "etc/asound_4mic.conf")
    asound.symlink_to("asound_4mic.conf")
    before = tree(pi)
    apply_to(HAT)
    assert asound.is_symlink() and "pcm.seeed_4mic" in (pi / "etc/asound_4mic.conf").read_text()
    assert undo(pi, write=True)
    assert asound.is_symlink() and tree(pi) == before
    refused = {"/etc/passwd": "got a link to /etc/passwd, wanted it below", "asound.conf": "got links in a circle"}
    for target, said in refused.items():
        asound.unlink()
        asound.symlink_to(target)
        with pytest.raises(ValueError, match=said):
            apply_to(HAT)


def test_the_running_system_is_notified(monkeypatch, tmp_path, pi, apply_to):
    """It is notified of changes below `/` only: another prefix is another system."""
    told = []
    monkeypatch.setattr(
        "edge.device.apply.carry_out", lambda steps, prefix, dry_run: told.append((steps, prefix, dry_run))
    )
    apply_to(USB)
    ((steps, prefix, dry_run),) = told
    assert (prefix, dry_run) == (pi, False)
    assert [step.words for step in steps] == [
        ("udevadm", "control", "--reload"),
        ("udevadm", "trigger", "--action=add", "--subsystem-match=sound"),
        ("systemctl", "daemon-reload"),
        ("systemctl", "--no-block", "try-restart", "seld-edge.service"),
    ]


# Undoing


@pytest.mark.parametrize("arrays", [[USB], [HAT], [USB, HAT], [HAT, USB, "foa", HAT]])
def test_undo_restores_everything(pi, apply_to, capsys, caplog, arrays):
    before = tree(pi)
    for array, board in zip(arrays, ("zero2w", "4", "5", "3b"), strict=False):
        apply_to(array, board)
    capsys.readouterr()
    assert undo(pi, write=True)
    assert tree(pi) == before
    assert f"--- {pi / BOARD_PATH}\n+++ /dev/null\n" in capsys.readouterr().out
    assert undo(pi, write=True)
    assert tree(pi) == before and "nothing to undo" in caplog.text


@settings(max_examples=15)
@given(st.lists(st.tuples(st.sampled_from([ASOUND_PATH, BOOT_PATH]), st.binary(max_size=30)), max_size=2))
def test_undo_restores_any_bytes(tmp_path_factory, texts):
    root = tmp_path_factory.mktemp("pi")
    for path, text in texts:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(text)
    before = tree(root)
    apply(system_files(load_board("4"), load_array(HAT), HAT), root, write=True)
    for path, text in dict(texts).items():
        assert (root / path).read_bytes().startswith(text)
    assert undo(root, write=True)
    assert tree(root) == before


def test_later_changes_of_others_are_kept(pi, apply_to, caplog):
    apply_to(HAT)
    for path in (ASOUND_PATH, BOOT_PATH, SETTINGS_PATH):
        with (pi / path).open("ab") as file:
            file.write(b"# added later\n")
    assert not undo(pi, write=True)
    assert (pi / ASOUND_PATH).read_bytes() == b"pcm.mine { type null }\n# added later\n"
    assert (pi / BOOT_PATH).read_bytes() == b"# caf\xe9\r\ndtparam=audio=on\r\n[pi4]\narm_boost=1\n# added later\n"
    assert (pi / SETTINGS_PATH).read_text().endswith('host = "broker"\n# added later\n')
    saved = pi / FOLDER / SETTINGS_PATH
    assert f"{pi / SETTINGS_PATH} is kept: somebody else has changed it; the original is {saved}" in caplog.text
    assert saved.read_text().startswith('array = "foa" # for now\n')
    assert not (pi / BOARD_PATH).exists()


def test_changes_of_others_between_two_runs_are_kept(pi, apply_to):
    apply_to(USB)
    for path in (ASOUND_PATH, SETTINGS_PATH):
        with (pi / path).open("ab") as file:
            file.write(b"# added later\n")
    apply_to(HAT)
    assert not undo(pi, write=True)
    assert (pi / ASOUND_PATH).read_bytes() == b"pcm.mine { type null }\n# added later\n"
    assert (pi / SETTINGS_PATH).read_text().endswith("# added later\n")


def test_an_interrupted_write_can_be_undone(pi, apply_to, monkeypatch):
    """After a power cut, some files may be new and others old."""

    def broken(path, target, **folders):
        if target == "board.conf":
            raise OSError(28, "No space left on device")
        return replace(path, target, **folders)

    before, replace = tree(pi), os.replace
    monkeypatch.setattr("edge.device.prefix_files.os.replace", broken)
    with pytest.raises(OSError, match="No space left"):
        apply_to(HAT)
    monkeypatch.undo()
    assert b"pcm.seeed_4mic" in (pi / ASOUND_PATH).read_bytes() and not (pi / BOARD_PATH).exists()
    assert undo(pi, write=True)
    assert tree(pi) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_undo_restores_owners(pi, apply_to):
    os.chown(pi / SETTINGS_PATH, 1234, 1235)
    apply_to()
    assert ((pi / SETTINGS_PATH).stat().st_uid, (pi / SETTINGS_PATH).stat().st_gid) == (1234, 1235)
    os.chown(pi / SETTINGS_PATH, 0, 0)
    assert undo(pi, write=True)
    assert ((pi / SETTINGS_PATH).stat().st_uid, (pi / SETTINGS_PATH).stat().st_gid) == (1234, 1235)


def test_backups_are_for_root_only(pi, apply_to):
    apply_to()
    assert (pi / FOLDER).stat().st_mode & 0o777 == 0o700  # settings may hold a password


@pytest.mark.parametrize("text", ["", "[]", '{"made": [], "files": {"a": {}}}', '{"files": 3}', "[" * 100_000])
def test_an_unreadable_index(pi, text):
    (pi / FOLDER).mkdir(parents=True)
    (pi / FOLDER / "index.json").write_text(text)
    with pytest.raises(ValueError, match=r"index\.json: got something else, wanted the index of"):
        undo(pi, write=True)


# The command


def test_the_command(pi, capsys):
    at = ("--prefix", str(pi))
    before = tree(pi)
    assert main(["apply", "--array", USB, *at]) == 0
    assert "for the board 4:" in capsys.readouterr().out  # recognised
    assert tree(pi) == before
    assert main(["apply", "--array", USB, "--board", "zero2w", "--write", *at]) == 0
    assert "echo performance" in (pi / BOARD_PATH).read_text()
    with (pi / SETTINGS_PATH).open("a") as file:
        file.write("# mine\n")
    changed = tree(pi)
    assert main(["apply", "--undo", *at]) == 1  # the settings would stay
    assert "-ExecStartPre=" in capsys.readouterr().out and tree(pi) == changed
    assert main(["apply", "--undo", "--write", *at]) == 1
    assert not (pi / BOARD_PATH).exists()
    assert main(["apply", "--array", "foa", "--write", *at]) == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "got no --array, wanted the name of the microphone array"),
        (["--array", "zylia"], "array 'zylia': got no such profile, wanted"),
        (["--array", USB, "--board", "6"], "board '6': got no such profile, wanted"),
        (
            ["--array", "{tmp}/mine.toml", "--board", "4"],
            "got array in .*mine.toml, wanted it where the service sees it",
        ),
        (["--array", USB], "got no model of a board in .*, wanted --board 3b, 4, 5, zero2w"),
    ],
)
def test_refused_arguments(tmp_path, capsys, words, message):
    (tmp_path / "mine.toml").write_text(shipped_arrays()[USB].read_text())
    words = [word.format(tmp=tmp_path) for word in words]
    assert main(["apply", *words, "--prefix", str(tmp_path / "empty")]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and re.fullmatch(rf"seld-edge: [^\n]*{message}[^\n]*\n", captured.err)
