"""A container for the tests of the service: systemd boots in it over this system's files, which are not changed.

A fake microphone plays the demo scene. Mosquitto listens on the container's loopback, its only network. `seld-edge
install-service` puts the unit there. Python and the packages that the tests need lie below /opt, because the service
cannot see home folders.
"""

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from edge.audio.wav import read_wav

ROOT = Path(__file__).parents[2]
FAKEMIC = ROOT / "tests" / "fakemic" / "fakemic.c"
PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
TOOLS = ("systemd-nspawn", "nsenter", "mosquitto", "gcc", "ss")
PACKAGES = ("pyaudio", "paho")
BOOT_S = 120
OPT = Path("/opt/seld-edge-test")

ENVIRONMENT = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C.UTF-8", "LD_LIBRARY_PATH": f"{OPT}/python/lib"}
"""The environment of commands in the container. The libraries are for a Python that lies in a home folder here."""
ENTRY = """#!{python}
import sys
from edge.cli import main
sys.exit(main())
"""
BROKER_UNIT = """[Service]
ExecStart={mosquitto} -c /etc/broker.conf
"""
BROKER_CONF = """listener 1883 127.0.0.1
allow_anonymous true
persistence true
persistence_location /var/lib/broker/
max_queued_messages 0
user root
"""
ALSA = f"""</usr/share/alsa/alsa.conf>
pcm_type.fakemic {{ lib "{OPT}/fakemic/fakemic.so" }}
pcm.fakemic {{
    type fakemic
    file "{OPT}/fakemic/scene.raw"
    control "{OPT}/fakemic/control"
    channels 4
    rate 24000
    hint {{ show on description "fakemic" }}
}}
"""
SOUND = f"ALSA_CONFIG_PATH={OPT}/fakemic/asound.conf LD_LIBRARY_PATH={OPT}/python/lib"
DROP_IN = f"[Service]\nEnvironment={SOUND}\n"
CONFIG = """source = "mic"
array = "foa"
sinks = ["jsonl:/var/lib/seld-edge/events.jsonl", "mqtt:", "lines:tcp:7070"]
stats = "/var/lib/seld-edge/stats.json"
[microphone]
device = "fakemic"
[budget]
governor = false
[mqtt]
prefix = "test"
[prometheus]
port = 9464
"""


class Machine:
    """A booted container. `leader` is the process ID of its systemd in this system."""

    command = f"{OPT}/.venv/bin/seld-edge"
    settings = "/etc/seld-edge/config.toml"
    state = "/var/lib/seld-edge"
    control = f"{OPT}/fakemic/control"
    environment = SOUND

    def __init__(self, leader):
        self.leader = leader

    def run(self, *words, check=True, text=None):
        """Run a command in the container.

        Args:
            words: The command.
            check: The command must succeed.
            text: Its standard input.

        Returns:
            Its standard output, then its standard error.
        """
        command = ["nsenter", "-t", str(self.leader), "-a", "--", *map(str, words)]
        done = subprocess.run(command, env=ENVIRONMENT, input=text, capture_output=True, text=True, timeout=120)
        assert not check or done.returncode == 0, (words, done.stdout, done.stderr)
        return done.stdout + done.stderr

    def start(self, *words):
        """Start a command of this system in the container's network."""
        return subprocess.Popen(["nsenter", "-t", str(self.leader), "-n", *map(str, words)])

    def write(self, path, text):
        """Write a file in the container."""
        self.run("tee", path, text=text)

    def until(self, found, timeout_s=120):
        """Wait until `found` returns something true. Returns that."""
        end_s = time.monotonic() + timeout_s
        while not (what := found()):
            assert time.monotonic() < end_s, f"waited {timeout_s} s in vain"
            time.sleep(0.2)
        return what

    def show(self, name):
        """The value of a property of the unit."""
        return self.run("systemctl", "show", "--value", "-p", name, "seld-edge").strip()

    def journal(self, since):
        """The log of the unit since a time that `now` returned."""
        return self.run("journalctl", "-u", "seld-edge", "-o", "cat", "--no-pager", f"--since=@{since}")

    def now(self):
        """The time, for `journal`."""
        return f"{time.time():.3f}"

    def ready(self, restarts):
        """Wait until the unit is active after so many restarts."""
        self.until(lambda: (self.show("ActiveState"), self.show("NRestarts")) == ("active", str(restarts)))


@pytest.fixture(scope="session")
def machine(tmp_path_factory):
    missing = [tool for tool in TOOLS if shutil.which(tool, path=PATH) is None]
    missing += [package for package in PACKAGES if importlib.util.find_spec(package) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    if os.geteuid() != 0:
        pytest.skip("only root may boot a container")
    with ExitStack() as stack:
        root = overlay(tmp_path_factory.mktemp("machine"), stack)
        furnish(root)
        yield boot(root, stack)


def overlay(folder, stack):
    """Mount this system's files under a layer in memory, which takes all that is written. Returns the folder."""
    mount(stack, folder, "-t", "tmpfs", "tmpfs")
    layers = [folder / name for name in ("upper", "work", "root")]
    for layer in layers:
        layer.mkdir()
    mount(stack, layers[2], "-t", "overlay", "overlay", "-o", f"lowerdir=/,upperdir={layers[0]},workdir={layers[1]}")
    return layers[2]


def mount(stack, folder, *words):
    done = subprocess.run(["mount", *words, str(folder)], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")
    stack.callback(subprocess.run, ["umount", "--lazy", str(folder)], check=True)


def furnish(root):
    """Write what the tests need into the files of the container."""
    python = f"python3.{sys.version_info.minor}"
    home = "/usr" if sys.base_prefix == "/usr" else f"{OPT}/python"
    own = root / OPT.relative_to("/")
    binaries, packages, microphone = own / ".venv/bin", own / f".venv/lib/{python}/site-packages", own / "fakemic"
    for folder in (
        binaries,
        packages,
        microphone,
        own / "python",
        own / "source",
        own / "packages",
        root / "var/lib/broker",
    ):
        folder.mkdir(parents=True, exist_ok=True)
    (binaries / "python").symlink_to(f"{home}/bin/{python}")
    (binaries.parent / "pyvenv.cfg").write_text(f"home = {home}/bin\n")
    (packages / "tests.pth").write_text(f"{OPT}/source\n{OPT}/packages\n")
    (binaries / "seld-edge").write_text(ENTRY.format(python=f"{OPT}/.venv/bin/python"))
    (binaries / "seld-edge").chmod(0o755)
    options = ["-shared", "-fPIC", "-DPIC", "-O2", "-o", microphone / "fakemic.so", FAKEMIC, "-lasound"]
    compiled = subprocess.run(["gcc", *options], capture_output=True, text=True)
    if "alsa/asoundlib.h: No such file" in compiled.stderr:
        pytest.skip("not installed: libasound2-dev")
    assert compiled.returncode == 0, compiled.stderr
    scene, _ = read_wav(ROOT / "edge" / "demo" / "scene.wav")
    (microphone / "scene.raw").write_bytes(np.rint(scene * 32767.0).astype("<i2").tobytes())
    for path, text in (
        ("etc/machine-id", ""),
        ("etc/broker.conf", BROKER_CONF),
        ("etc/systemd/system/broker.service", BROKER_UNIT.format(mosquitto=shutil.which("mosquitto", path=PATH))),
        ("etc/systemd/system/seld-edge.service.d/test.conf", DROP_IN),
        (Machine.control, ""),
        (OPT / "fakemic/asound.conf", ALSA),
        (Machine.settings, CONFIG),
    ):
        file = root / str(path).lstrip("/")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


def boot(root, stack):
    """Boot systemd in the container as far as basic.target, without services. Returns the machine."""
    site = Path(np.__file__).parents[1]
    binds = [
        f"--bind-ro={sys.base_prefix}:{OPT}/python",
        f"--bind-ro={ROOT}:{OPT}/source",
        f"--bind-ro={site}:{OPT}/packages",
    ]
    options = ["--quiet", "--register=no", "--keep-unit", "--private-network", f"--directory={root}", *binds, "--boot"]
    log = (root.parent / "boot.log").open("w+")
    stack.callback(log.close)
    nspawn = subprocess.Popen(
        ["systemd-nspawn", *options, "systemd.unit=basic.target"], stdin=subprocess.DEVNULL, stdout=log, stderr=log
    )
    stack.callback(stop, nspawn)
    children = Path(f"/proc/{nspawn.pid}/task/{nspawn.pid}/children")
    machine = Machine(0)

    def booted():
        if nspawn.poll() is not None:
            log.seek(0)
            pytest.skip(f"systemd-nspawn does not run here: {log.read().strip()[-300:]}")
        machine.leader = int((children.read_text().split() or [0])[0])  # its first child is not yet systemd
        return machine.leader and machine.run("systemctl", "is-active", "basic.target", check=False) == "active\n"

    machine.until(booted, BOOT_S)
    return machine


def stop(nspawn):
    """Power the container off, and kill it if it does not end."""
    nspawn.send_signal(signal.SIGTERM)
    try:
        nspawn.wait(timeout=20)
    except subprocess.TimeoutExpired:
        nspawn.kill()
        nspawn.wait()
