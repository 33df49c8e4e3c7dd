"""A microphone that can be told to fail, and the processes that record from it."""

import time
from pathlib import Path

from tests.paths import ROOT

COUNTED = 2**20  # frames of the file that counts them
SCENE_S = 5.0  # length of the scene that the device plays
NEAR_S = 0.3  # a label frame, a buffer, and what a machine with other work may be late
LIMIT_S = 300.0  # for what certainly happens, however busy the machine is


class Device:
    """A device of four channels that can be told to fail; `environment` is that of a process which is to see it."""

    def __init__(self, folder, plugin, recording, rate_hz):
        folder.mkdir()
        self.control = folder / "fault"
        self.heal()
        settings = f'file "{recording}" control "{self.control}" channels 4 rate {rate_hz}'
        (folder / "asound.conf").write_text(
            "</usr/share/alsa/alsa.conf>\n"
            f'pcm_type.fakemic {{ lib "{plugin}" }}\n'
            f'pcm.mic4 {{ type fakemic {settings} hint {{ show on description "mic4" }} }}\n'
        )
        self.environment = {"ALSA_CONFIG_PATH": str(folder / "asound.conf"), "PYTHONPATH": str(ROOT)}

    def fail(self, fault):
        self.control.write_text(fault)

    def heal(self):
        self.control.write_text("")


def children(pid):
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def until(condition, seconds, what):
    began_s = time.monotonic()
    while not condition():
        assert time.monotonic() - began_s < seconds, f"waited {seconds} s for {what}"
        time.sleep(0.05)
    return time.monotonic() - began_s
