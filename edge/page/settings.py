"""The table [page] of the settings -> checked `PageSettings`; and which addresses and names are this machine's own."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

MOST_PAGES = 100

_ORIGIN = re.compile(r"https?://[A-Za-z0-9.\-\[\]:*]+")
_HOST = re.compile(r"[A-Za-z0-9._-]+")


@dataclass(frozen=True, slots=True)
class PageSettings:
    """The page that shows in a browser what is heard.

    Off loopback it needs a password or a token, and should have a certificate. `seld-edge page-password FILE` makes the
    file of a password.

    Raises:
        ValueError: A value is out of range or does not go with another one.
    """

    enabled: bool = False  # whether the page is served; `run --page` does so, too
    address: str = "127.0.0.1"  # address to listen at; 0.0.0.0 or :: is every network
    port: int = 8420  # port of http://ADDRESS:PORT/; 0 takes a free one
    password_file: str | None = None  # file that `seld-edge page-password FILE` wrote: the hash of a password
    token_file: str | None = None  # file whose first line, of 16 characters or more, opens the page, too
    hosts: tuple[str, ...] = ()  # names that browsers may use, besides addresses, localhost and this machine's own name
    cert_file: str | None = None  # certificate in PEM format; with it the page is https
    key_file: str | None = None  # its private key
    # origins whose pages may show this one inside, such as http://homeassistant.local:8123; by default none may
    frame_ancestors: tuple[str, ...] = ()
    max_pages: int = 20  # pages that may be open at a time, 1 to 100

    def __post_init__(self) -> None:
        if not 0 <= self.port <= 65535:
            raise ValueError(f"got port {self.port}, wanted 0 to 65535")
        if not 1 <= self.max_pages <= MOST_PAGES:
            raise ValueError(f"got max_pages {self.max_pages}, wanted 1 to {MOST_PAGES}")
        for host in self.hosts:
            if not _HOST.fullmatch(host):
                raise ValueError(f"got host {host!r}, wanted a name without port, such as seld.local")
        for origin in self.frame_ancestors:
            if not _ORIGIN.fullmatch(origin):
                raise ValueError(f"got frame_ancestors {origin!r}, wanted an origin such as http://ha.local:8123")
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("got one of cert_file and key_file, wanted both or none")
        if not self.loopback and self.password_file is None and self.token_file is None:
            raise ValueError(
                f"got address {self.address!r} without password_file and token_file, wanted one of them: "
                "`seld-edge page-password FILE` makes the first"
            )

    @property
    def loopback(self) -> bool:
        """Whether only programs of this machine can reach the page."""
        return self.address == "localhost" or is_loopback(self.address)

    def url(self, port: int) -> str:
        """Return where the page is, for a browser on this machine.

        Args:
            port: the one that is listened at.
        """
        host = "localhost" if self.address in ("0.0.0.0", "::") else self.address
        return f"http{'s' if self.cert_file else ''}://{f'[{host}]' if ':' in host else host}:{port}/"


def is_loopback(host: str) -> bool:
    """Say whether a text is a loopback address; a name is none."""
    return is_address(host) and ipaddress.ip_address(host.partition("%")[0]).is_loopback


def is_address(host: str) -> bool:
    """Say whether a text is an IP address, without brackets."""
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True
