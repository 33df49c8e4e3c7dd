"""Profiles of hardware in TOML, by name -> checked dataclasses: those that come with the package, and others."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import TypeVar

from edge.settings import build, read_toml

Profile = TypeVar("Profile")


def shipped_profiles(what: str) -> dict[str, Path]:
    """Profiles of an "array" or a "board" that come with the package, by name."""
    root = Path(str(resources.files("firmware_config"))) / f"{what}s"
    return {path.stem: path for path in sorted(root.glob("*.toml"))}


def load_profile(kind: type[Profile], what: str, name: str) -> Profile:
    """A profile by the name of a shipped one or by the path of a TOML file. Raises ValueError or OSError."""
    shipped = shipped_profiles(what)
    if name in shipped:
        path = shipped[name]
    elif name.endswith(".toml"):
        path = Path(name)
    else:
        raise ValueError(f"{what} {name!r}: got no such profile, wanted {', '.join(shipped)} or a .toml file")
    return build(kind, read_toml(path), str(path))
