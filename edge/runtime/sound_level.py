"""A-weighted power of label frames -> the sound level in dB, as its mean over some seconds."""

from __future__ import annotations

from dataclasses import dataclass

from edge.frontend.loudness import level_db


@dataclass(frozen=True, slots=True)
class SoundLevelSettings:
    """The A-weighted sound level (LAeq), for MQTT, metrics, statistics and the page."""

    every_s: float = 5.0  # time in s over which it is averaged, and after which it is told, 0.1 to 3600; 0: never
    # added to it, -50 to 200 dB: 0 gives dB of full scale. With a microphone of -26 dBFS at 94 dB SPL it is 120 dB
    offset_db: float = 0.0

    def __post_init__(self) -> None:
        if self.every_s != 0.0 and not 0.1 <= self.every_s <= 3600.0:
            raise ValueError(f"got every_s {self.every_s}, wanted 0 or 0.1 to 3600")
        if not -50.0 <= self.offset_db <= 200.0:
            raise ValueError(f"got offset_db {self.offset_db}, wanted -50 to 200")


class SoundLevel:
    """Averages power. Any thread may ask for the level.

    Attributes:
        level_db: level over the last whole interval; None before the first one, and where there was no sound at all, as
            while the run is paused.
    """

    def __init__(self, settings: SoundLevelSettings, label_s: float) -> None:
        """Begin an interval with label frame 0.

        Args:
            settings: its length, which is not 0, and the offset.
            label_s: length of a label frame.
        """
        self._every_labels = max(1, round(settings.every_s / label_s))
        self._offset_db = settings.offset_db
        self.level_db: float | None = None
        self._interval, self._sum, self._labels = 0, 0.0, 0

    def add(self, label: int, power: float) -> None:
        """Add the power of the next label frame. After a gap, an interval may have fewer of them."""
        if label // self._every_labels != self._interval:
            self._interval, self._sum, self._labels = label // self._every_labels, 0.0, 0
        self._sum += power
        self._labels += 1
        if (label + 1) % self._every_labels == 0:
            self.level_db = level_db(self._sum / self._labels) + self._offset_db if self._sum else None

    def reset(self) -> None:
        """Forget the past."""
        self.level_db = None
        self._interval, self._sum, self._labels = 0, 0.0, 0
