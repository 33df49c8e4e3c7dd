"""What the system has to know of an array's sound card: how it is found, and what has to be said at boot."""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_ID = 15  # characters of the name of a card, in the kernel

_ID = re.compile(rf"[A-Za-z][A-Za-z0-9_-]{{0,{MAX_ID - 1}}}")
_USB = re.compile(r"[0-9a-f]{4}:[0-9a-f]{4}")
_BOOT = re.compile(r"(dtparam|dtoverlay)=[\w.,:=/-]{1,80}", re.ASCII)


@dataclass(frozen=True, slots=True)
class SoundCard:
    """A card on USB, which gets the array's name by a udev rule, or one that has a name of its own, as a HAT."""

    usb: str | None = None  # VENDOR:PRODUCT, as lsusb says
    id: str | None = None  # as `arecord -l` says: card 1: ID [...]
    boot: tuple[str, ...] = ()  # lines of /boot/firmware/config.txt without which it is not there

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


CARD_ID = f"1 to {MAX_ID} letters, digits, _ or -, a letter first"


def is_card_id(text: str) -> bool:
    """ALSA can call a card so."""
    return _ID.fullmatch(text) is not None
