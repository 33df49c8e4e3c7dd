"""The service in systemd: what is to be written and run to install it or take it away; and doing so.

Only /etc is touched. Settings that are there are kept, whatever version comes or goes.
"""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

UNIT = "seld-edge.service"
UNIT_PATH = Path("etc/systemd/system") / UNIT
BACKOFF_PATH = Path("etc/systemd/system") / f"{UNIT}.d" / "backoff.conf"
SETTINGS_PATH = Path("etc/seld-edge/config.toml")
BACKOFF_VERSION = 254  # the first systemd that knows RestartSteps
HIDDEN = ("/home/", "/root/", "/run/user/", "/tmp/", "/var/tmp/")  # from the service: ProtectHome, PrivateTmp

_SHIPPED_COMMAND = "/opt/seld-edge/.venv/bin/seld-edge"


@dataclass(frozen=True, slots=True)
class Write:
    """Write a file, if it does not say the same already."""

    path: Path  # below the prefix
    text: str


@dataclass(frozen=True, slots=True)
class Remove:
    """Remove a file, if there is one."""

    path: Path  # below the prefix


@dataclass(frozen=True, slots=True)
class Run:
    """Run a command, on the system that is running."""

    words: tuple[str, ...]
    may_fail: bool = False  # when what it is about is not there


Step = Write | Remove | Run


def installation(prefix: Path, command: str | None = None, systemd_version: int | None = None) -> list[Step]:
    """Steps that install the service of this `seld-edge` below a prefix, or bring it up to date.

    command: path of `seld-edge`, beside this Python by default. systemd_version: that of this system by default.

    It is not waited for: without a microphone the service starts anew until there is one.

    Raises ValueError if the service could not run that command.
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
    """Steps that take the service away, but not its settings nor what it recorded."""
    stop = Run(("systemctl", "disable", "--now", UNIT), may_fail=not (prefix / UNIT_PATH).exists())
    return [stop, Remove(BACKOFF_PATH), Remove(UNIT_PATH), _reload()]


def carry_out(steps: list[Step], prefix: Path, dry_run: bool) -> None:
    """Do the steps, saying each on stdout. dry_run: only say them.

    Commands are run for the prefix `/` only: another one is not the system that is running. Raises OSError, and
    ValueError where a command fails.
    """
    for step in steps:
        if isinstance(step, Run):
            if prefix == Path("/"):
                print(f"run {' '.join(step.words)}")
                if not dry_run:
                    _run(step)
            continue
        path = prefix / step.path
        present = path.read_text(encoding="utf-8") if path.exists() else None
        if isinstance(step, Write):
            print(f"{'keep' if present == step.text else 'write'} {path}")
            if present != step.text and not dry_run:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(step.text, encoding="utf-8")
        elif present is not None:
            print(f"remove {path}")
            if not dry_run:
                path.unlink()
                if path.parent.name == f"{UNIT}.d" and not any(path.parent.iterdir()):
                    path.parent.rmdir()


def shipped(name: str) -> str:
    """The text of a file of `systemd/`."""
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
    """Of this system; 0 where there is none."""
    try:
        said = subprocess.run(["systemctl", "--version"], capture_output=True, text=True, check=False).stdout
    except FileNotFoundError:
        return 0
    found = re.match(r"systemd (\d+)", said)
    return int(found[1]) if found else 0
