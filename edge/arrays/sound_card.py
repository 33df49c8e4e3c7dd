"""Table `card` of an array profile -> how the system identifies its sound card and which boot lines it needs."""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_ID = 15
"""Most characters that the kernel keeps of the name of a card."""

CARD_ID = f"1 to {MAX_ID} letters, digits, _ or -, a letter first"
"""Description of a valid name, for messages."""

_ID = re.compile(rf"[A-Za-z][A-Za-z0-9_-]{{0,{MAX_ID - 1}}}")
_USB = re.compile(r"[0-9a-f]{4}:[0-9a-f]{4}")
_BOOT = re.compile(r"(dtparam|dtoverlay)=[\w.,:=/-]{1,80}", re.ASCII)


@dataclass(frozen=True, slots=True)
class SoundCard:
    """A USB card, which a udev rule gives the name of the array, or one with a fixed name, as that of a HAT.

    Raises:
        ValueError: Both or neither of `usb` and `id` are given, or a value is malformed.
    """

    usb: str | None = None  # VENDOR:PRODUCT, as `lsusb` prints it
    id: str | None = None  # as `arecord -l` prints it: card 1: ID [...]
    boot: tuple[str, ...] = ()  # lines of /boot/firmware/config.txt that the card needs

    def __post_init__(self) -> None:
        if (self.usb is None) == (self.id is None):
            raise ValueError(f"got usb {self.usb!r} and id {self.id!r}, wanted one of them")
        if self.usb is not None and not _USB.fullmatch(self.usb):
            raise ValueError(f"got usb {self.usb!r}, wanted VENDOR:PRODUCT in small hexadecimal digits, as 2886:0018")
        if self.id is not None and not is_card_id(self.id):
            raise ValueError(f"got id {self.id!r}, wanted {CARD_ID}")
        for line in self.boot:
            if not _BOOT.fullmatch(line):
                raise ValueError(f"got boot line {line!r}, wanted dtparam=... or dtoverlay=...")


def is_card_id(text: str) -> bool:
    """Say whether ALSA accepts a text as the name of a card."""
    return _ID.fullmatch(text) is not None
