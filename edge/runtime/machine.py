"""The files of the system -> which board this is, its temperature, and what this process takes."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

ROOT = Path("/")


def board_model(root: Path = ROOT) -> str | None:
    """Return the name of the board in the device tree, None where there is no device tree. Tests set `root`."""
    try:
        model = (root / "proc/device-tree/model").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return model.strip("\0\n ") or None


def machine_id(root: Path = ROOT) -> str | None:
    """Return 8 hexadecimal digits that tell this machine from others, None where it has no id. Tests set `root`.

    They are a hash of the machine id, which is not to be published (machine-id(5)), and of the serial number of the
    board, so that cards with the same image differ, too.
    """
    parts = []
    for name in ("etc/machine-id", "proc/device-tree/serial-number"):
        try:
            parts.append((root / name).read_bytes().strip(b"\0\n "))
        except OSError:
            parts.append(b"")
    return hashlib.sha256(b"seld-edge " + b" ".join(parts)).hexdigest()[:8] if any(parts) else None


def temperature_c(root: Path = ROOT) -> float | None:
    """Return the temperature of the processor, None where the machine does not tell it. Tests set `root`."""
    try:
        return int((root / "sys/class/thermal/thermal_zone0/temp").read_text()) / 1000
    except (OSError, ValueError):
        return None


def rss_mb(root: Path = ROOT) -> float | None:
    """Return the resident memory of this process, None where it cannot be read. Tests set `root`."""
    try:
        pages = int((root / "proc/self/statm").read_text().split()[1])
    except OSError:  # such as too many open files
        return None
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, 2)


def open_descriptors(root: Path = ROOT) -> int | None:
    """Return the number of open descriptors of this process, None where it cannot be read. Tests set `root`."""
    try:
        return len(list((root / "proc/self/fd").iterdir())) - 1  # one is open only to list the others
    except OSError:
        return None
