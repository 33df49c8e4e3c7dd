"""Package files of a few hundred bytes, as the registries' own tools would write them, and sounds to put into them."""

import io
import json
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import soundfile

from convert.clips.packages.fetch import sha256_of
from convert.clips.sources.records import Package

DEP5 = """Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/

Files: *
Copyright: 2001 Ann Author
License: GPL-2+

Files: data/closed/*
Copyright: 2002 Bob Buyer
License: CC-BY-NC-4.0

License: GPL-2+
 On Debian systems, see /usr/share/common-licenses/GPL-2.
"""


def sound(pitch_hz: float = 440.0, seconds: float = 0.5, rate_hz: int = 24000, form: str = "WAV") -> bytes:
    """A tone as the content of a sound file."""
    times_s = np.arange(round(seconds * rate_hz)) / rate_hz
    content = io.BytesIO()
    soundfile.write(content, 0.5 * np.sin(2 * np.pi * pitch_hz * times_s), rate_hz, format=form)
    return content.getvalue()


def tar_of(members: dict[str, bytes]) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return content.getvalue()


def write_deb(folder: Path, name: str, members: dict[str, bytes], version: str = "1.0-1") -> Package:
    """A Debian package: an ar archive of a version, a control archive and a data archive (deb(5))."""
    control = f"Package: {name}\nVersion: {version}\nArchitecture: all\nMaintainer: A <a@b.c>\nDescription: tiny\n"
    parts = {
        "debian-binary": b"2.0\n",
        "control.tar.gz": tar_of({"./control": control.encode()}),
        "data.tar.gz": tar_of({f"./{path}": data for path, data in members.items()}),
    }
    content = b"!<arch>\n"
    for part, data in parts.items():
        content += (
            f"{part:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(data):<10}`\n".encode() + data + b"\n" * (len(data) % 2)
        )
    path = folder / f"{name}_{version.replace(':', '%3a')}_all.deb"
    path.write_bytes(content)
    return Package("debian", name, version, sha256_of(path))


def write_tgz(folder: Path, name: str, members: dict[str, bytes], version: str = "1.0.0") -> Package:
    path = folder / f"{name.removeprefix('@').replace('/', '-')}-{version}.tgz"
    manifest = {"package/package.json": json.dumps({"name": name, "license": "MIT"}).encode()}
    path.write_bytes(tar_of(manifest | members))
    return Package("npm", name, version, sha256_of(path))


def write_wheel(folder: Path, name: str, members: dict[str, bytes], version: str = "1.0.0") -> Package:
    path = folder / f"{name.replace('-', '_')}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for member, data in members.items():
            archive.writestr(zipfile.ZipInfo(member), data)
    return Package("pypi", name, version, sha256_of(path))
