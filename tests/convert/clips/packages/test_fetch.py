"""Package files: found by name and hash, or got by the client of the registry. No test reaches a registry."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from convert.clips.packages.fetch import package_file, split_file_name
from convert.clips.packages.pins import pins_of_folder, pins_text
from tests.convert.clips.tiny_packages import write_deb, write_tgz, write_wheel


def test_files_of_all_kinds_are_found_offline(tmp_path):
    packages = [
        write_deb(tmp_path, "tiny-data", {"usr/a": b"a"}, version="1:2.0-1"),
        write_tgz(tmp_path, "@some/tiny", {}),
        write_wheel(tmp_path, "tiny-wheel", {}),
    ]
    (tmp_path / "notes.txt").write_text("of the user")
    assert [package_file(package, tmp_path, download=False).name for package in packages] == [
        "tiny-data_1%3a2.0-1_all.deb",
        "some-tiny-1.0.0.tgz",
        "tiny_wheel-1.0.0-py3-none-any.whl",
    ]


def test_another_hash_is_an_error_that_names_both(tmp_path):
    package = replace(write_deb(tmp_path, "tiny", {"usr/a": b"a"}), sha256="0" * 64)
    with pytest.raises(ValueError, match=r"tiny_1.0-1_all.deb: got SHA-256 \w{64}, wanted 0{64} of tiny 1.0-1"):
        package_file(package, tmp_path, download=False)


def test_another_version_is_not_taken(tmp_path):
    package = replace(write_deb(tmp_path, "tiny", {"usr/a": b"a"}), version="2.0-1")
    with pytest.raises(FileNotFoundError, match=r"tiny 2\.0-1 is not in"):
        package_file(package, tmp_path, download=False)


def client(folder: Path, name: str, script: str) -> None:
    """Put a program of this name first on the path."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


def test_the_client_is_asked_for_the_pinned_version(tmp_path, monkeypatch):
    served = tmp_path / "served"
    served.mkdir()
    package = write_deb(served, "tiny", {"usr/a": b"a"})
    client(tmp_path / "bin", "apt-get", f'echo "$@" > {tmp_path}/asked; cp {served}/*.deb .')
    monkeypatch.setenv("PATH", f"{tmp_path}/bin{os.pathsep}{os.environ['PATH']}")
    path = package_file(package, tmp_path / "packages", download=True)
    assert (tmp_path / "asked").read_text() == "download tiny=1.0-1\n"
    assert path.parent == tmp_path / "packages" and list(path.parent.iterdir()) == [path]


def test_a_client_that_fails_gives_its_last_words(tmp_path, monkeypatch):
    package = write_tgz(tmp_path, "tiny", {})
    client(tmp_path / "bin", "npm", "echo 404 Not Found >&2; exit 1")
    monkeypatch.setenv("PATH", f"{tmp_path}/bin{os.pathsep}{os.environ['PATH']}")
    with pytest.raises(FileNotFoundError, match=r"npm pack --silent tiny@1.0.0 failed: 404 Not Found"):
        package_file(package, tmp_path / "packages", download=True)
    assert list((tmp_path / "packages").iterdir()) == []


def test_a_missing_client_is_named(tmp_path, monkeypatch):
    package = write_deb(tmp_path, "tiny", {"usr/a": b"a"})
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="needs apt-get, which is not installed"):
        package_file(package, tmp_path / "packages", download=True)


@pytest.mark.parametrize("name", ["tiny.deb", "tiny.whl", "a_b.deb", "tiny.tgz", "tiny.txt"])
def test_other_names_are_refused(name):
    with pytest.raises(ValueError, match="got another name than"):
        split_file_name(Path(name))


def test_pins_of_a_folder_are_those_of_its_files(tmp_path):
    package = write_deb(tmp_path, "tiny", {"usr/a": b"a"}, version="1:2.0-1")
    pins = pins_of_folder(tmp_path)
    assert pins == {("debian", "tiny"): package}
    assert f'version = "1:2.0-1"\nsha256 = "{package.sha256}"' in pins_text(pins.values())
