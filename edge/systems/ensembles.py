"""Names of nets -> ensembles: NET and, beside it, NET_2, NET_3 ... answer together, and their answers are averaged."""

from __future__ import annotations

import re
from collections.abc import Container

_MEMBER = re.compile(r"(?P<net>.+)_(?P<number>[1-9]\d*)")


def member_name(net: str, number: int) -> str:
    """The name of a member of an ensemble, counted from 1."""
    return net if number == 1 else f"{net}_{number}"


def net_of(member: str) -> str:
    """The name of the net whose ensemble a net belongs to."""
    match = _MEMBER.fullmatch(member)
    return member if match is None else match["net"]


def members(net: str, names: Container[str]) -> list[str]:
    """The names of a net and of the further members of its ensemble, as far as they are among `names`."""
    found = [net]
    while (name := member_name(net, len(found) + 1)) in names:
        found.append(name)
    return found
