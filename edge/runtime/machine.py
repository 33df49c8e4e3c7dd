"""The machine that this runs on -> which board it is, its temperature, and the memory of this process."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path("/")


def board_model(root: Path = ROOT) -> str | None:
    """What the device tree calls this board; None where there is none. root: for tests."""
    try:
        model = (root / "proc/device-tree/model").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return model.strip("\0\n ") or None


def temperature_c(root: Path = ROOT) -> float | None:
    """Of the processor, now; None where the machine does not say. root: for tests."""
    try:
        return int((root / "sys/class/thermal/thermal_zone0/temp").read_text()) / 1000
    except (OSError, ValueError):
        return None


def rss_mb(root: Path = ROOT) -> float:
    """Resident memory of this process."""
    pages = int((root / "proc/self/statm").read_text().split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, 2)
