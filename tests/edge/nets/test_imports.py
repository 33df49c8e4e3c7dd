"""Importing the rooms that nets are built on loads neither a microphone, nor MQTT, nor an extra of the device.

Nor `scipy.optimize`, which takes 24 MB.
"""

import subprocess
import sys

import pytest

from tests.paths import ROOT

LIGHT = """
import sys
import {modules}
heavy = ("pyaudio", "paho", "soundfile", "prometheus_client", "tomlkit")
single = ("edge.audio.microphone", "edge.audio.recorder", "scipy.optimize", {further})
rooms = ("edge.outputs", "edge.runtime", "edge.device", "edge.commands", "edge.run_settings", "edge.api")
loaded = [name for name in sys.modules if name.split(".")[0] in heavy or name.startswith(rooms)]
loaded += [name for name in sys.modules if name in single]
print(*loaded)
"""


def loaded(modules, further=""):
    code = LIGHT.format(modules=modules, further=further)
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=600)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


@pytest.mark.parametrize(
    "modules",
    [
        "edge.nets, edge.nets.bundle, edge.nets.interpreter, edge.nets.net",
        "edge.frontend, edge.frontend.beams, edge.frontend.loudness, edge.frontend.maps, edge.frontend.stft",
        "edge.arrays, edge.arrays.encoder, edge.arrays.profile",
        "edge.events, edge.events.decoder, edge.events.records, edge.events.unknown",
    ],
)
def test_rooms_before_the_loop_load_no_device_and_no_network(modules):
    assert loaded(modules) == []


def test_importing_edge_alone_loads_nothing():
    assert loaded("edge", '"numpy", "edge.types"') == []


def test_check_notices_a_microphone():
    assert "edge.audio.microphone" in loaded("edge.audio.sources")
