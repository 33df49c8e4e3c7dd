"""`1h`, `7d` or `2026-11-30T09:41` -> Unix time."""

from __future__ import annotations

import re
from datetime import datetime

_UNITS_S = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}


def moment_s(option: str, text: str, now_s: float) -> float:
    """Parse a moment.

    Args:
        option: what the error message begins with.
        text: a time ago, as a number and s, m, h, d or w; or a date, or a date and a time, in ISO 8601. Without a zone,
            they are local.
        now_s: Unix time of now.

    Returns:
        Unix time.

    Raises:
        ValueError: the text is none of these.
    """
    if ago := re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)([smhdw])", text):
        return now_s - float(ago[1]) * _UNITS_S[ago[2]]
    try:
        return datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError, OSError):
        raise ValueError(f"got {option} {text!r}, wanted 90s, 30m, 1h, 7d or a time such as 2026-11-30T09:41") from None
