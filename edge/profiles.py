"""Name of a shipped hardware profile, or path of a TOML file -> a checked dataclass."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import TypeVar

from edge.settings import build, read_toml

Profile = TypeVar("Profile")


def shipped_profiles(what: str) -> dict[str, Path]:
    """List the profiles that come with the package.

    Args:
        what: Kind of hardware: "array" or "board".

    Returns:
        Paths of TOML files by the name of the profile.
    """
    root = Path(str(resources.files("firmware_config"))) / f"{what}s"
    return {path.stem: path for path in sorted(root.glob("*.toml"))}


def load_profile(kind: type[Profile], what: str, name: str) -> Profile:
    """Load a profile.

    Args:
        kind: Dataclass that describes such a profile.
        what: Kind of hardware: "array" or "board".
        name: Name of a shipped profile, or path of a file that ends with .toml.

    Returns:
        The profile.

    Raises:
        ValueError: There is no such profile, or the file cannot be read or does not describe one.
    """
    shipped = shipped_profiles(what)
    if name in shipped:
        path = shipped[name]
    elif name.endswith(".toml"):
        path = Path(name)
    else:
        raise ValueError(f"{what} {name!r}: got no such profile, wanted {', '.join(shipped)} or a .toml file")
    return build(kind, read_toml(path), str(path))
