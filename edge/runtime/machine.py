"""The files of the kernel -> which board this is, its temperature, and the memory of this process."""

from __future__ import annotations

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


def temperature_c(root: Path = ROOT) -> float | None:
    """Return the temperature of the processor, None where the machine does not tell it. Tests set `root`."""
    try:
        return int((root / "sys/class/thermal/thermal_zone0/temp").read_text()) / 1000
    except (OSError, ValueError):
        return None


def rss_mb(root: Path = ROOT) -> float:
    """Return the resident memory of this process. Tests set `root`."""
    pages = int((root / "proc/self/statm").read_text().split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, 2)
