"""The table [history]: where events are stored, and for how long."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HistorySettings:
    """The database of the sink `history:`, which `seld-edge events` and the page read."""

    database: str = "history.db"  # file of the database
    sync_s: float = 5.0  # seconds between commits to the disk, 0 to 3600: what a power cut may lose; 0 after each event
    days: float = 365.0  # age in days at which events are deleted, 0.01 to 100000; 0 keeps them
    max_mb: float = 100.0  # size in MB (10^6 bytes) at which the oldest events are deleted, 0.2 to 1000000

    def __post_init__(self) -> None:
        if not self.database:
            raise ValueError("got database '', wanted a file")
        if not 0.0 <= self.sync_s <= 3600.0:
            raise ValueError(f"got sync_s {self.sync_s:g}, wanted 0 to 3600")
        if self.days != 0.0 and not 0.01 <= self.days <= 1e5:
            raise ValueError(f"got days {self.days:g}, wanted 0 or 0.01 to 100000")
        if not 0.2 <= self.max_mb <= 1e6:
            raise ValueError(f"got max_mb {self.max_mb:g}, wanted 0.2 to 1000000")
