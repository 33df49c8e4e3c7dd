"""What ALSA, udev and systemd make of the files that `seld-edge apply` writes."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from edge.arrays.profile import load_array
from edge.device.install import UNIT_PATH, shipped
from edge.device.system_files import ASOUND_PATH, BOARD_PATH, RULES_PATH

USB, HAT = "respeaker_usb4", "seeed_4mic"
ALSA_CONF = Path("/usr/share/alsa/alsa.conf")
ARECORD, UDEVADM, ANALYZE = (shutil.which(name) for name in ("arecord", "udevadm", "systemd-analyze"))


@pytest.mark.skipif(ARECORD is None or not ALSA_CONF.exists(), reason="no alsa-utils here")
@pytest.mark.parametrize("array", [USB, HAT])
def test_alsa_reads_the_definitions(pi, apply_to, tmp_path, array):
    def arecord(asound, *words):
        (tmp_path / "asound").write_text(asound)
        (tmp_path / "alsa.conf").write_text(f"<{ALSA_CONF}>\n<{tmp_path / 'asound'}>\n")
        with_it = {"ALSA_CONFIG_PATH": str(tmp_path / "alsa.conf"), "PATH": "/usr/bin", "LC_ALL": "C"}
        return subprocess.run([ARECORD, *words], env=with_it, capture_output=True, text=True, timeout=600, check=False)

    apply_to(array)
    text, profile = (pi / ASOUND_PATH).read_text(), load_array(array)
    listed = arecord(text, "-L")
    assert (listed.returncode, listed.stderr) == (0, "")
    hint = f"microphone array {array}, {profile.channels} channels at {profile.native_rate_hz} Hz"
    assert f"{array}\n    {hint}\n" in listed.stdout
    assert "Unexpected char" in arecord(text.replace("slave {", "slave"), "-L").stderr
    words = re.search(rf"arecord (-D {array} -f \w+ -r \d+ -c \d)\n", text)[1].split()
    card = profile.card.id or array
    assert f"Cannot get card index for {card}" in arecord(text, *words, "--samples=1", "/dev/null").stderr
    silent = re.sub(r'"hw:[^"]*"', '"null"', text)  # instead of the card, which is not here
    recorded = arecord(silent, *words, "-t", "raw", "--samples=1000", tmp_path / "a.raw")
    assert recorded.returncode == 0, recorded.stderr
    width = {"s16le": 2, "s32le": 4}[profile.format]
    assert (tmp_path / "a.raw").stat().st_size == 1000 * profile.channels * width
    through = arecord(silent, "-v", "-D", array, "-f", "FLOAT_LE", "-r", "24000", "-c", "4", "--samples=9", "/dev/null")
    assert re.search(rf"rate +: {profile.native_rate_hz}\n", through.stderr), through.stderr


@pytest.mark.skipif(UDEVADM is None, reason="no udevadm here")
def test_udev_accepts_the_rule(pi, apply_to):
    apply_to(USB)
    verified = subprocess.run([UDEVADM, "verify", pi / RULES_PATH], capture_output=True, text=True, timeout=600)
    if "nknown command" in verified.stderr:
        pytest.skip("this udevadm cannot verify: it came with systemd 254")
    assert verified.returncode == 0, verified.stderr


def test_the_rule_matches_the_array_and_names_it(pi, apply_to):
    apply_to(USB)
    rules = [line for line in (pi / RULES_PATH).read_text().splitlines() if not line.startswith("#")]
    assert len(rules) == 2 and all(re.fullmatch(r'(?:[\w{}]+(?:==|\+?=)"[^"]+"(?:, |$))+', rule) for rule in rules)
    for rule in rules:
        assert 'ATTRS{idVendor}=="2886", ATTRS{idProduct}=="0018"' in rule
    assert 'ATTR{id}="respeaker_usb4"' in rules[0] and "try-restart seld-edge.service" in rules[1]


@pytest.mark.skipif(ANALYZE is None, reason="no systemd-analyze here")
def test_systemd_accepts_the_drop_in(pi, apply_to):
    unit = pi / UNIT_PATH
    unit.parent.mkdir(parents=True)
    unit.write_text(shipped(unit.name).replace("/opt/seld-edge/.venv/bin/seld-edge", "/bin/true"))
    apply_to(USB)
    verified = subprocess.run([ANALYZE, "verify", unit], capture_output=True, text=True, timeout=600, check=False)
    assert (verified.returncode, verified.stdout, verified.stderr) == (0, "", "")
    with (pi / BOARD_PATH).open("a") as file:
        file.write("CPUGovernor=performance\n")
    broken = subprocess.run([ANALYZE, "verify", unit], capture_output=True, text=True, timeout=600, check=False)
    assert "Unknown key" in broken.stderr


def test_the_drop_in_governs_the_clock_and_leaves_cores_alone(pi, apply_to, tmp_path):
    """Its command is run here with a folder in place of /sys."""
    apply_to(USB, "zero2w")
    lines = (pi / BOARD_PATH).read_text().splitlines()
    assert "CPUAffinity=2 3" in lines
    command = next(line for line in lines if line.startswith("ExecStartPre=-+/bin/sh -c '"))
    governors = [tmp_path / f"policy{n}" / "scaling_governor" for n in (0, 4)]
    for path in governors:
        path.parent.mkdir()
        path.write_text("ondemand\n")
    script = command.split("'")[1].replace("/sys/devices/system/cpu/cpufreq", str(tmp_path))
    done = subprocess.run(["/bin/sh", "-c", script], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")
    assert [path.read_text() for path in governors] == ["performance\n"] * 2
