"""Entries of an outbox -> the lines of its files, each with a checksum, and back."""

from __future__ import annotations

import zlib
from typing import NamedTuple


class Entry(NamedTuple):
    """A line and its number. Numbers begin with 1 and rise by one, over all runs."""

    number: int
    text: str


def line_of(entry: Entry) -> bytes:
    """Return the line of an entry, with its end."""
    body = f"{entry.number} {entry.text}".encode()
    return b"%08x %s\n" % (zlib.crc32(body), body)


def entry_of(raw: bytes) -> Entry | None:
    """Return the entry of a line, None if it is torn."""
    checksum, _, body = raw.removesuffix(b"\n").partition(b" ")
    if not raw.endswith(b"\n") or checksum != b"%08x" % zlib.crc32(body):
        return None
    number, _, text = body.partition(b" ")
    return Entry(int(number), text.decode()) if number.isdigit() else None


def acknowledged_record(number: int) -> bytes:
    """Return the content of the file `acknowledged`."""
    return b"%020d %08x\n" % (number, zlib.crc32(b"%d" % number))


def read_acknowledged(content: bytes) -> int:
    """Return the number in the file `acknowledged`, 0 if it is not readable."""
    digits = content[:20]
    number = int(digits) if digits.isdigit() else 0
    return number if content == acknowledged_record(number) else 0
