"""The install script for Raspberry Pi OS: its dry run, and an installation without a network."""

import os
import shutil
import subprocess
import sys
import zipfile
from types import SimpleNamespace

import pytest

from tests.paths import ROOT

SCRIPT = ROOT / "firmware_config" / "install.sh"
SHELLCHECK = shutil.which("shellcheck")
WHEEL = "seld_edge-0.1.0-py3-none-any.whl"
INFO = "seld_edge-0.1.0.dist-info"

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")


@pytest.fixture
def commands(tmp_path):
    """A folder of commands that replace those of the system; `log` records the calls of apt-get."""
    folder = tmp_path / "commands"
    folder.mkdir()

    def command(name, script):
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)

    command("id", 'test "$1" = -u && echo 0 || echo root')
    command("dpkg", "echo arm64")
    command("dpkg-query", 'case "$*" in *python3-venv|*alsa-utils) echo installed;; *) exit 1;; esac')
    command("apt-get", f'echo "$*" >> {tmp_path}/log')
    return SimpleNamespace(replace=command, folder=folder, log=tmp_path / "log")


@pytest.fixture
def install(tmp_path, commands):
    def run(*words):
        path = f"{commands.folder}:{os.environ['PATH']}"
        environment = {"PATH": path, "PYTHON": sys.executable, "HOME": str(tmp_path), "PIP_NO_CACHE_DIR": "1"}
        done = ["bash", str(SCRIPT), "--root", str(tmp_path / "opt"), *map(str, words)]
        return subprocess.run(done, env=environment, capture_output=True, text=True, timeout=600, check=False)

    return run


@pytest.fixture
def wheels(tmp_path):
    """A folder with a wheel of our name that has one module, and needs another wheel for its extra `mqtt`."""
    folder = tmp_path / "wheels"
    folder.mkdir()

    def make(name, version, files, metadata=""):
        info = f"{name}-{version}.dist-info"
        files |= {
            f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{metadata}",
            f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        }
        with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
            for path, text in files.items():
                wheel.writestr(path, text)
            record = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
            wheel.writestr(f"{info}/RECORD", record)

    def ours(said):
        files = {
            "seld_edge_stub.py": f"import broker_stub\n\ndef main():\n    print({said!r})\n",
            f"{INFO}/entry_points.txt": "[console_scripts]\nseld-edge = seld_edge_stub:main\n",
        }
        needs = 'Provides-Extra: mqtt\nProvides-Extra: metrics\nRequires-Dist: broker-stub; extra == "mqtt"\n'
        make("seld_edge", "0.1.0", files, needs)

    make("broker_stub", "1.0", {"broker_stub.py": ""})
    ours("first")
    return SimpleNamespace(folder=folder, ours=ours)


def tree(root):
    return {str(path): path.lstat().st_mtime_ns for path in root.rglob("*")}


def refused(done, message):
    assert (done.returncode, done.stdout) == (2, ""), done
    assert done.stderr.startswith("install.sh: got ") and message in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.skipif(SHELLCHECK is None, reason="no shellcheck here")
def test_shellcheck_has_no_complaints():
    done = subprocess.run([SHELLCHECK, SCRIPT], capture_output=True, text=True, timeout=600, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_a_dry_run_prints_everything_and_does_nothing(tmp_path, install, commands):
    done = install("--dry-run")
    assert (done.returncode, done.stderr) == (0, "")
    venv = tmp_path / "opt/.venv"
    said = done.stdout.splitlines()
    assert said[:2] == [
        "run apt-get update",
        "run env DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends python3-pyaudio",
    ]
    pip = [line for line in said if " pip " in line]
    assert pip[-1].endswith(f"[mqtt,metrics,page] --constraint {ROOT}/constraints.txt")
    assert f"run {sys.executable} -m venv --clear --system-site-packages {venv}" in said
    assert said[-3:-1] == [
        f"run ln -sfn {venv}/bin/seld-edge /usr/local/bin/seld-edge",
        f"run {venv}/bin/seld-edge install-service",
    ]
    assert not (tmp_path / "opt").exists() and not commands.log.exists()


def test_wheels_need_no_network(install, wheels):
    done = install("--dry-run", "--wheels", wheels.folder, "--no-service")
    pip = [line for line in done.stdout.splitlines() if " pip " in line]
    assert len(pip) == 2 and all(
        f"--no-index --find-links {wheels.folder} {wheels.folder}/{WHEEL}" in line for line in pip
    )
    assert "apt-get update" not in done.stdout and "install-service" not in done.stdout
    assert "--constraint" not in done.stdout  # the versions are those in the folder


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--fast"], "got --fast, wanted one of --wheels DIR"),
        (["--wheels"], "got --wheels without a folder, wanted --wheels DIR"),
        (["--wheels", "/nowhere"], "got no folder /nowhere, wanted one with wheels"),
        (["--wheels", "{tmp}"], "got no seld_edge-*.whl in"),
    ],
)
def test_invalid_arguments(tmp_path, install, words, message):
    refused(install(*(word.format(tmp=tmp_path) for word in words)), message)


def test_unsupported_machines(install, commands):
    commands.replace("dpkg", "echo armhf")
    commands.replace("uname", "echo aarch64")  # Raspberry Pi OS of 32 bits starts a kernel of 64
    refused(install("--dry-run"), "wanted the 64-bit Raspberry Pi OS")
    commands.replace("dpkg", "echo arm64")
    commands.replace("id", 'test "$1" = -u && echo 1000 || echo pi')
    refused(install(), "got user pi, wanted root: sudo")


def test_packages_that_apt_does_not_have(tmp_path, install, commands, wheels):
    commands.replace("apt-get", f'echo "$*" >> {tmp_path}/log; exit 100')
    done = install("--wheels", wheels.folder)
    assert done.returncode == 2 and "got no python3-pyaudio from apt, wanted them" in done.stderr
    assert commands.log.read_text() == "install --yes --no-install-recommends python3-pyaudio\n"
    assert not (tmp_path / "opt").exists()


@pytest.mark.long
def test_an_installation_from_wheels_and_a_second_run(tmp_path, install, commands, wheels):
    def installed():
        done = install("--wheels", wheels.folder, "--no-service")
        assert done.returncode == 0, done
        command = tmp_path / "opt/.venv/bin/seld-edge"
        return done.stdout, subprocess.run([command], capture_output=True, text=True, check=True).stdout

    said, works = installed()
    assert works == "first\n" and commands.log.read_text().count("python3-pyaudio") == 1
    assert (tmp_path / "opt/README.md").read_bytes() == (ROOT / "README.md").read_bytes()
    before = tree(tmp_path / "opt")
    commands.replace("dpkg-query", "echo installed")
    said, works = installed()
    assert f"keep {tmp_path}/opt: nothing to change" in said and tree(tmp_path / "opt") == before
    wheels.ours("second")  # of the same version
    said, works = installed()
    assert works == "second\n" and f"keep {tmp_path}/opt/.venv" in said
    shutil.rmtree(tmp_path / "opt/.venv/lib")  # as if it were of another Python
    assert "-m venv --clear" in install("--wheels", wheels.folder, "--no-service", "--dry-run").stdout
