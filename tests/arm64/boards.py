"""A Debian release and the real aarch64 wheels -> an emulated board: a tree of files whose Python runs under qemu.

Nothing is mounted and the system is not changed: the packages are unpacked into a tree, the wheels are installed beside
them, and qemu runs the tree's Python as a process of this machine. Trees are kept in the folder SELD_EDGE_ARM64,
~/.cache/seld-edge-arm64 by default. The name of a tree has a hash of its contents. The byte code of Python stays in it.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CACHE = Path(os.environ.get("SELD_EDGE_ARM64", Path.home() / ".cache" / "seld-edge-arm64"))
QEMU = "qemu-aarch64-static"
TOOLS = {QEMU: "qemu-user-static", "mmdebstrap": "mmdebstrap"}  # and their packages
LIBRARIES = ("libstdc++6", "libgomp1")
WHEELS = ("numpy", "scipy", "ai-edge-litert", "pytest", "hypothesis")
MANYLINUX = ("2014", *(f"_2_{minor}" for minor in (17, 27, 28, 31, 34, 36)))  # up to the glibc of the older release
CORES = 4
DOWNLOAD_S = 600
LONGEST_S = 1800  # limit of a command, which takes a minute on a machine with nothing else to do


@dataclass(frozen=True, slots=True)
class Release:
    """A Debian release, on which a Raspberry Pi OS is based, and the processor of a board."""

    suite: str
    python: str
    cpu: str  # qemu's name of it; without a name qemu 7.2 computes wrong numbers
    part: str
    variant: str
    features: str = ""

    def cpuinfo(self):
        """The text of /proc/cpuinfo. XNNPACK switches itself off without a word where it cannot read that."""
        lines = [
            "BogoMIPS\t: 108.00",
            f"Features\t: fp asimd evtstrm crc32 cpuid{self.features}",
            "CPU implementer\t: 0x41",
            "CPU architecture: 8",
            f"CPU variant\t: {self.variant}",
            f"CPU part\t: {self.part}",
            "CPU revision\t: 1",
        ]
        return "".join("\n".join([f"processor\t: {core}", *lines, "", ""]) for core in range(CORES))


BOOKWORM = Release("bookworm", "3.11", "cortex-a72", "0xd08", "0x0")  # Raspberry Pi 4
DOT_PRODUCTS = " aes pmull sha1 sha2 atomics fphp asimdhp asimdrdm lrcpc dcpop asimddp"
TRIXIE = Release("trixie", "3.13", "cortex-a76", "0xd0b", "0x4", DOT_PRODUCTS)  # Raspberry Pi 5


class Board:
    """A release that this machine can run: the tree of its files. `bundles` are the ones that it is to run."""

    def __init__(self, release, tree, bundles=()):
        self.release, self.tree, self.bundles = release, tree, bundles

    def python(self, *words):
        """Run the tree's Python in the root of the repository, without this machine's environment variables."""
        command = [shutil.which(QEMU), "-cpu", self.release.cpu, "-L", self.tree]
        command += [self.tree / "usr" / "bin" / f"python{self.release.python}", *words]
        environment = {
            "PYTHONHOME": self.tree / "usr",
            "PYTHONPATH": f"{self.tree / 'opt' / 'wheels'}:{ROOT}",
            "PYTHONPYCACHEPREFIX": self.tree / "var" / "cache" / "python",
        }
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=LONGEST_S)


def kept_tree(release):
    """The tree of a release. It is made at the first call; where that is impossible, the test is skipped."""
    missing = [package for tool, package in TOOLS.items() if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    pins = [line for line in (ROOT / "constraints.txt").read_text().split() if line.partition("==")[0] in WHEELS]
    contents = hashlib.sha256(repr((release, LIBRARIES, pins)).encode()).hexdigest()[:12]
    tree = CACHE / f"{release.suite}-{release.cpu}-{contents}"
    if not tree.is_dir():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as folder:
            made = Path(folder) / "tree"
            make_tree(release, made)
            made.rename(tree)
    return tree


def make_tree(release, tree):
    """Download the packages and wheels of a release and write its files for /proc and /sys."""
    packages = ("python3-minimal", f"libpython{release.python}-stdlib", *LIBRARIES)
    options = ("--quiet", "--arch=arm64", "--variant=extract", f"--include={','.join(packages)}")
    fetch("mmdebstrap", *options, release.suite, tree)
    for name in ("bin", "lib"):  # trixie's links into /usr come with a package that is not unpacked
        if not (tree / name).exists():
            (tree / name).symlink_to(f"usr/{name}")
    version = release.python.replace(".", "")
    words = ["--quiet", "--no-compile", "--only-binary=:all:", "--implementation=cp"]
    words += [f"--python-version={release.python}", *(f"--platform=manylinux{tag}_aarch64" for tag in MANYLINUX)]
    words += [f"--abi={abi}" for abi in (f"cp{version}", "abi3", "none")]
    words += [f"--constraint={ROOT / 'constraints.txt'}", f"--target={tree / 'opt' / 'wheels'}"]
    fetch(sys.executable, "-m", "pip", "install", *words, *WHEELS)
    for path, text in (
        ("proc/cpuinfo", release.cpuinfo()),
        ("sys/devices/system/cpu/possible", f"0-{CORES - 1}\n"),
        ("sys/devices/system/cpu/present", f"0-{CORES - 1}\n"),
    ):
        (tree / path).parent.mkdir(parents=True, exist_ok=True)
        (tree / path).write_text(text)


def fetch(*command):
    """Run a command that downloads. The test is skipped where it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=DOWNLOAD_S)
    except subprocess.TimeoutExpired as error:
        pytest.skip(f"no tree can be made: {error}")
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        pytest.skip(f"no tree can be made: {Path(command[0]).name}: {said[-1]}")
