"""A prefix and a `seld-edge` command -> the steps that install the systemd service or remove it, and their execution.

Only files in /etc are written. Existing settings are kept by installations, upgrades and removals.
"""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from edge.device.prefix_files import read_file, replace_file

UNIT = "seld-edge.service"
UNIT_PATH = Path("etc/systemd/system") / UNIT
BACKOFF_PATH = Path("etc/systemd/system") / f"{UNIT}.d" / "backoff.conf"
SETTINGS_PATH = Path("etc/seld-edge/config.toml")
BACKOFF_VERSION = 254  # first version of systemd with RestartSteps
HIDDEN = ("/home/", "/root/", "/run/user/", "/tmp/", "/var/tmp/")
"""Folders that the service cannot see, because of ProtectHome and PrivateTmp."""

_SHIPPED_COMMAND = "/opt/seld-edge/.venv/bin/seld-edge"


@dataclass(frozen=True, slots=True)
class Write:
    """Write a file, unless it has this content already."""

    path: Path  # relative to the prefix
    text: str  # its content


@dataclass(frozen=True, slots=True)
class Remove:
    """Remove a file, if it exists."""

    path: Path  # relative to the prefix


@dataclass(frozen=True, slots=True)
class Run:
    """Run a command on the running system."""

    words: tuple[str, ...]
    may_fail: bool = False  # because its object may not exist


Step = Write | Remove | Run


def installation(prefix: Path, command: str | None = None, systemd_version: int | None = None) -> list[Step]:
    """Return the steps that install the service, or bring it up to date.

    The service is started without waiting for it: without a microphone, systemd restarts it until there is one.

    Args:
        prefix: folder of the system's files.
        command: path of `seld-edge`; by default the one beside this Python.
        systemd_version: version of systemd that the unit is for; by default that of this system.

    Raises:
        ValueError: the service could not run the command.
    """
    command = command or str(Path(sys.prefix) / "bin" / "seld-edge")
    if command.startswith(HIDDEN) or not re.fullmatch(r"/[\w@+.,/-]+", command):
        raise ValueError(f"got seld-edge in {command}, wanted it where the service sees it: /opt/seld-edge/.venv, say")
    version = _systemd_version() if systemd_version is None else systemd_version
    steps: list[Step] = [Write(UNIT_PATH, shipped(UNIT).replace(_SHIPPED_COMMAND, command))]
    steps.append(Write(BACKOFF_PATH, shipped("backoff.conf")) if version >= BACKOFF_VERSION else Remove(BACKOFF_PATH))
    if not (prefix / SETTINGS_PATH).exists():
        steps.append(Write(SETTINGS_PATH, shipped("config.toml")))
    return [*steps, _reload(), Run(("systemctl", "enable", UNIT)), Run(("systemctl", "--no-block", "restart", UNIT))]


def removal(prefix: Path) -> list[Step]:
    """Return the steps that remove the service. Its settings and its recorded events are kept."""
    stop = Run(("systemctl", "disable", "--now", UNIT), may_fail=not (prefix / UNIT_PATH).exists())
    return [stop, Remove(BACKOFF_PATH), Remove(UNIT_PATH), _reload()]


def carry_out(steps: list[Step], prefix: Path, dry_run: bool) -> None:
    """Carry out steps, and print each.

    Args:
        steps: files to write and remove, and commands to run.
        prefix: folder of the system's files. Commands are run for `/` only: any other system is not running.
        dry_run: only print the steps.

    Raises:
        OSError: a file cannot be written or removed.
        ValueError: a command failed, or a file is a link to something that must not be replaced.
    """
    for step in steps:
        if isinstance(step, Run):
            if prefix == Path("/"):
                print(f"run {' '.join(step.words)}")
                if not dry_run:
                    _run(step)
            continue
        path, present = prefix / step.path, read_file(prefix, step.path)
        if isinstance(step, Write):
            wanted = step.text.encode()
            print(f"{'keep' if present == wanted else 'write'} {path}")
            if present != wanted and not dry_run:
                replace_file(prefix, step.path, wanted)
        elif present is not None:
            print(f"remove {path}")
            if not dry_run:
                path.unlink()
                if path.parent.name == f"{UNIT}.d" and not any(path.parent.iterdir()):
                    path.parent.rmdir()


def shipped(name: str) -> str:
    """Return the text of a file of the folder `systemd`."""
    return (resources.files("firmware_config") / "systemd" / name).read_text(encoding="utf-8")


def _reload() -> Run:
    return Run(("systemctl", "daemon-reload"))


def _run(step: Run) -> None:
    try:
        done = subprocess.run(step.words, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise ValueError(f"{step.words[0]}: got no such command, wanted a system with systemd") from None
    if done.returncode and not step.may_fail:
        said = " ".join(done.stderr.split()) or f"exit code {done.returncode}"
        raise ValueError(f"{' '.join(step.words)}: {said}")


def _systemd_version() -> int:
    """Version of systemd on this system; 0 if there is none."""
    try:
        said = subprocess.run(["systemctl", "--version"], capture_output=True, text=True, check=False).stdout
    except FileNotFoundError:
        return 0
    found = re.match(r"systemd (\d+)", said)
    return int(found[1]) if found else 0
