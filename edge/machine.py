"""The machine that this runs on -> its temperature, and the memory of this process."""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path("/")


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
