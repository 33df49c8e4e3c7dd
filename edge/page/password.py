"""A password -> its scrypt hash in a file, and a password that somebody types -> whether it is that one."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from edge.files import read_bounded_text, write_atomically

LEAST_CHARACTERS = 8
MOST_CHARACTERS = 1000
LEAST_TOKEN_CHARACTERS = 16

_COST, _BLOCK, _LANES = 2**14, 8, 1  # 16 MB and 50 ms on a PC, a second on a Pi Zero (RFC 7914, section 2)
_MOST_COST = 2**17
_BYTES = 32
_MOST_FILE_BYTES = 4096


@dataclass(frozen=True, slots=True)
class PasswordHash:
    """The scrypt hash of a password, and what it takes to compute it again."""

    cost: int
    block: int
    lanes: int
    salt: bytes
    digest: bytes

    @classmethod
    def of(cls, password: str) -> PasswordHash:
        """Hash a password with a fresh salt."""
        salt = os.urandom(16)
        return cls(_COST, _BLOCK, _LANES, salt, _scrypt(password, salt, _COST, _BLOCK, _LANES))

    @classmethod
    def parse(cls, text: str) -> PasswordHash:
        """Read the line that `str` gives.

        Raises:
            ValueError: It is not such a line, or would need too much memory.
        """
        try:
            kind, cost, block, lanes, salt, digest = text.strip().split("$")
            made = cls(int(cost), int(block), int(lanes), base64.b64decode(salt), base64.b64decode(digest))
        except ValueError:
            raise ValueError("got no hash of a password, wanted a file of `seld-edge page-password`") from None
        sizes = (made.block, made.lanes, len(made.digest)) == (_BLOCK, _LANES, _BYTES)
        if kind != "scrypt" or not sizes or made.cost & (made.cost - 1) or not 2**10 <= made.cost <= _MOST_COST:
            raise ValueError(f"got {kind} of cost {made.cost}, wanted scrypt as `seld-edge page-password` makes it")
        return made

    def __str__(self) -> str:
        salt, digest = base64.b64encode(self.salt).decode(), base64.b64encode(self.digest).decode()
        return f"scrypt${self.cost}${self.block}${self.lanes}${salt}${digest}"

    def fits(self, password: str) -> bool:
        """Say whether this is the hash of a password. It takes as long for a wrong one."""
        found = _scrypt(password[:MOST_CHARACTERS], self.salt, self.cost, self.block, self.lanes)
        return hmac.compare_digest(found, self.digest)


def write_password(path: Path, password: str) -> None:
    """Write the hash of a password to a file that only its owner can read.

    Raises:
        ValueError: The password is too short or too long.
        OSError: The file cannot be written.
    """
    if not LEAST_CHARACTERS <= len(password) <= MOST_CHARACTERS:
        raise ValueError(f"got a password of {len(password)} characters, wanted {LEAST_CHARACTERS} or more")
    write_atomically(path, f"{PasswordHash.of(password)}\n", mode=0o600, sync=True)


def read_password(path: str) -> PasswordHash:
    """Read the hash of a password.

    Raises:
        ValueError: The file cannot be read, or holds no such hash; one line that begins with the path.
    """
    try:
        return PasswordHash.parse(read_bounded_text(path, _MOST_FILE_BYTES))
    except ValueError as error:
        raise ValueError(str(error) if str(error).startswith(path) else f"{path}: {error}") from None


def read_token(path: str) -> str:
    """Read a token: the first line of a file.

    Raises:
        ValueError: The file cannot be read, every user can read it, or the line is too short; one line that begins with
            the path.
    """
    token = read_bounded_text(path, _MOST_FILE_BYTES).partition("\n")[0].strip()
    if len(token) < LEAST_TOKEN_CHARACTERS or not token.isascii() or not token.isprintable():
        raise ValueError(
            f"{path}: got a token of {len(token)} characters, wanted {LEAST_TOKEN_CHARACTERS} or more of ASCII"
        )
    if (mode := stat.S_IMODE(Path(path).stat().st_mode)) & 0o007:
        raise ValueError(f"{path}: every user can read or write the token: got mode {mode:04o}, wanted 0600")
    return token


def _scrypt(password: str, salt: bytes, cost: int, block: int, lanes: int) -> bytes:
    most_bytes = 2 * 128 * block * cost
    return hashlib.scrypt(password.encode(), salt=salt, n=cost, r=block, p=lanes, maxmem=most_bytes, dklen=_BYTES)
