"""The machine that a benchmark runs on -> a record of it."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

import numpy as np

from edge.nets.interpreter import RUNTIME
from edge.runtime.machine import ROOT, board_model, temperature_c

_CPU = "sys/devices/system/cpu/cpu0/cpufreq"
_THROTTLED = "sys/devices/platform/soc/soc:firmware/get_throttled"  # of a Raspberry Pi
_THROTTLE_BITS = {
    0: "under-voltage",
    1: "frequency capped",
    2: "throttled",
    3: "soft temperature limit",
    16: "under-voltage has occurred",
    17: "frequency capping has occurred",
    18: "throttling has occurred",
    19: "soft temperature limit has occurred",
}


def machine_record(root: Path = ROOT) -> dict[str, Any]:
    """Describe the machine, and what may make it slow; None where the machine does not tell. Tests set `root`."""
    governor, most_khz = _read(root / _CPU / "scaling_governor"), _read(root / _CPU / "scaling_max_freq")
    return {
        "board": board_model(root) or _cpu_name(root),
        "architecture": platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_mb": _memory_mb(root),
        "governor": governor,
        "max_mhz": int(most_khz) // 1000 if most_khz else None,
        "load": round(os.getloadavg()[0], 2),
        "temperature_c": temperature_c(root),
        "throttling": throttling(root),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "runtime": RUNTIME,
    }


def throttling(root: Path = ROOT) -> list[str] | None:
    """Return what the firmware of a Raspberry Pi reports about supply and heat since the start; None elsewhere."""
    value = _read(root / _THROTTLED)
    if value is None:
        return None
    flags = int(value, 16)
    return [text for bit, text in _THROTTLE_BITS.items() if flags >> bit & 1]


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip("\0\n ") or None
    except OSError:
        return None


def _cpu_name(root: Path) -> str:
    for line in (_read(root / "proc/cpuinfo") or "").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            return value.strip()
    return "unknown"


def _memory_mb(root: Path) -> int | None:
    for line in (_read(root / "proc/meminfo") or "").splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) * 1024 // 1_000_000
    return None
