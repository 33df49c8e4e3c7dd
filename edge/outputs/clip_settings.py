"""The table [clips]: which sounds are kept as files, how much of them, and for how long."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from edge.events.unknown import UNKNOWN

SPEECH = ("speech", "voice", "talk", "conversation", "whisper", "shout", "sing")
"""Parts of the names of classes of people who may be understood."""


def is_speech(name: str) -> bool:
    """Say whether the sounds of a class are people who may be understood."""
    return any(part in name.lower() for part in SPEECH)


@dataclass(frozen=True, slots=True)
class ClipSettings:
    """Sound files of events, each a beam toward its direction. None are kept by default."""

    folder: str | None = None  # folder of the files; without it, no clips are kept
    pre_s: float = 1.0  # sound in s before the event, 0 to 30
    post_s: float = 1.0  # sound in s after it, 0 to 30
    longest_s: float = 15.0  # length in s, 0.1 to 120: of a longer event, the end is kept
    keep: int = 50  # clips of each class that are kept, 0 to 100000; the oldest is deleted for the next one
    # the same for single classes, such as { bell = 500, music = 0 }. Classes of speech, such as female_speech, and
    # unknown, which may be speech, are kept only if they are named here
    classes: Mapping[str, int] = field(default_factory=dict)
    with_speech: bool = False  # whether clips of other classes are kept although speech was heard meanwhile
    channels: bool = False  # whether the channels of the array are kept too, as another file beside each clip
    days: float = 30.0  # age in days at which clips are deleted, 0.01 to 100000; 0 keeps them
    max_mb: float = 200.0  # size in MB (10^6 bytes) of all files, 1 to 1000000; the oldest are deleted
    reserve_mb: float = 500.0  # free space in MB below which no clip is written, 0 to 1000000

    def __post_init__(self) -> None:
        if self.folder == "":
            raise ValueError("got folder '', wanted a folder, or none")
        for name, least, most in (
            ("pre_s", 0.0, 30.0),
            ("post_s", 0.0, 30.0),
            ("longest_s", 0.1, 120.0),
            ("keep", 0, 100_000),
            ("max_mb", 1.0, 1e6),
            ("reserve_mb", 0.0, 1e6),
        ):
            if not least <= getattr(self, name) <= most:
                raise ValueError(f"got {name} {getattr(self, name):g}, wanted {least:g} to {most:g}")
        if self.days != 0.0 and not 0.01 <= self.days <= 1e5:
            raise ValueError(f"got days {self.days:g}, wanted 0 or 0.01 to 100000")
        for name, count in self.classes.items():
            if isinstance(count, bool) or not isinstance(count, int) or not 0 <= count <= 100_000:
                raise ValueError(f"got {count!r} clips of class {name!r}, wanted 0 to 100000")

    def kept(self, name: str) -> int:
        """Return how many clips of a class are kept."""
        return self.classes.get(name, 0 if is_speech(name) or name == UNKNOWN else self.keep)

    def private(self, name: str) -> bool:
        """Say whether a class is speech that was not asked for by name."""
        return is_speech(name) and not self.classes.get(name)
