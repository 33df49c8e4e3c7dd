"""`seld-edge calibrate` asks for claps and hears them from an ALSA device, as a user at a terminal would use it."""

import os
import re
import subprocess
import sys
from contextlib import closing

import numpy as np

from edge.arrays.profile import load_array
from edge.run_settings import read_settings
from tests.edge.audio.fake_device import LIMIT_S, Device
from tests.edge.device.clap_scenes import clapping
from tests.edge.device.test_check import RATE_HZ

PROGRAM = f"""
import sys
from edge.audio import microphone
from edge.cli import main
microphone.OPEN_S = {LIMIT_S}  # on a busy machine the process that records may start slowly
sys.exit(main())
"""


def put(path, sound):
    """What the device plays from its next start on."""
    part = path.with_suffix(".part")
    np.rint(sound * 2**15).clip(-(2**15), 2**15 - 1).astype("<i2").tofile(part)
    part.replace(path)


def test_claps_are_asked_for_and_heard(tmp_path, plugin):
    """The array is turned by 30 degrees; from the first direction, the first try is silence."""
    device = Device(tmp_path / "device", plugin, tmp_path / "claps.raw", RATE_HZ)
    config = tmp_path / "a.toml"
    words = ["calibrate", "--array", "foa", "--device", "mic4", "--directions", 3, "--seconds", 2, "--config", config]
    terminal, its_end = os.openpty()
    with closing(os.fdopen(terminal, "wb", buffering=0)) as enter:
        process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, *map(str, words), "--write"],
            env=os.environ | device.environment, stdin=its_end, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        os.close(its_end)
        try:
            asked, lines = [], []
            for line in process.stdout:
                lines.append(line)
                if found := re.match(r"clap three times from .*?(\d+) degrees", line):
                    asked.append(int(found[1]))
                elif "Enter begins" in line:
                    silent = len(asked) == 1
                    sound = clapping(load_array("foa"), asked[-1], yaw_deg=30, count=2, snr_db=30)
                    put(
                        tmp_path / "claps.raw",
                        np.random.default_rng(0).normal(0, 1e-3, sound.shape) if silent else sound,
                    )
                    enter.write(b"\n")
            assert process.wait(LIMIT_S) == 0
        finally:
            process.kill()
            process.wait()
    assert asked == [0, 0, 120, 240] and lines.count("  no clap heard\n") == 1, lines
    mount = read_settings(config).mount
    assert abs(mount.yaw_deg - 30) < 3 and not mount.upside_down
