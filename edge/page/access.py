"""A request -> whether it may be answered: names of this machine, sessions, tokens, and how often somebody may try."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
import socket
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

from edge.page.password import PasswordHash
from edge.page.settings import is_address

SESSION_S = 30 * 86400.0  # a session ends this long after its login
MOST_SESSIONS = 64
TRIES = 5  # wrong passwords of one address within TRIES_S
ALL_TRIES = 20  # and of all together
TRIES_S = 60.0
MOST_ADDRESSES = 256


class Hosts:
    """The names by which this machine may be asked: a page of somebody else cannot read it by DNS rebinding.

    An attacker's name can be made to point to this machine, but then the Host header says that name. An address is
    nobody's name.
    """

    def __init__(self, more: Sequence[str] = ()) -> None:
        """Allow this machine's own names and those given."""
        own = socket.gethostname().lower()
        short = own.partition(".")[0]
        self._names = {"localhost", own, short, f"{short}.local", *(name.lower() for name in more)}

    def allow(self, host: str | None) -> bool:
        """Say whether a Host header names this machine. One that is missing does not."""
        if not host:
            return False
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        return name in self._names or is_address(name)


class Tries:
    """Counts wrong passwords, and says when somebody has to wait. Memory is bounded, however many addresses try."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin with none.

        Args:
            clock: time in seconds.
        """
        self._clock = clock
        self._wrong_s: OrderedDict[str, deque[float]] = OrderedDict()
        self._all_s: deque[float] = deque(maxlen=ALL_TRIES)

    def wait_s(self, address: str) -> float:
        """Return how long an address has to wait until its next try; 0 if not at all."""
        since_s = self._clock() - TRIES_S
        kept = (self._wrong_s.get(address), self._all_s)
        full = [times for times in kept if times is not None and len(times) == times.maxlen]
        return max([0.0, *(times[0] - since_s for times in full)])

    def wrong(self, address: str) -> None:
        """Count a wrong password."""
        times = self._wrong_s.pop(address, None) or deque(maxlen=TRIES)
        times.append(self._clock())
        self._all_s.append(self._clock())
        self._wrong_s[address] = times
        while len(self._wrong_s) > MOST_ADDRESSES:
            self._wrong_s.popitem(last=False)


class Doorman:
    """Knows who may see the page: everybody where neither password nor token is set, as on loopback by default."""

    def __init__(
        self, password: PasswordHash | None, token: str | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Begin without sessions.

        Args:
            password: its hash; None where there is no password.
            token: None where there is none.
            clock: time in seconds.
        """
        self._password, self._clock = password, clock
        self._token = None if token is None else _digest(token)
        self._sessions_s: OrderedDict[bytes, float] = OrderedDict()  # hash of the secret -> end
        self._hashing = asyncio.Lock()  # one hash at a time takes 16 MB, twenty take 320
        self.tries = Tries(clock)

    @property
    def asks(self) -> bool:
        """Whether anything is needed."""
        return self._password is not None or self._token is not None

    @property
    def takes_password(self) -> bool:
        """Whether a password opens the page."""
        return self._password is not None

    def knows(self, session: str | None, authorization: str | None) -> bool:
        """Say whether a cookie or an Authorization header opens the page."""
        if not self.asks:
            return True
        scheme, _, token = (authorization or "").partition(" ")
        if self._token is not None and scheme.lower() == "bearer":
            return hmac.compare_digest(_digest(token.strip()), self._token)
        return session is not None and self._sessions_s.get(_digest(session), 0.0) > self._clock()

    async def login(self, password: str, address: str) -> str | None:
        """Compare a password.

        Args:
            password: what somebody typed.
            address: of the client. The caller has asked `tries.wait_s` for it.

        Returns:
            The secret of a new session; None for a wrong password.
        """
        async with self._hashing:
            if self._password is None or self.tries.wait_s(address):  # others came first meanwhile
                return None
            right = await asyncio.to_thread(self._password.fits, password)
        if not right:
            self.tries.wrong(address)
            return None
        secret = secrets.token_urlsafe(32)
        self._sessions_s[_digest(secret)] = self._clock() + SESSION_S
        while len(self._sessions_s) > MOST_SESSIONS:
            self._sessions_s.popitem(last=False)
        return secret

    def logout(self, session: str | None) -> None:
        """End a session."""
        if session is not None:
            self._sessions_s.pop(_digest(session), None)


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()
