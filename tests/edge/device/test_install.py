"""The service: its unit, and how its installation changes a system."""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from edge.cli import main
from edge.device.install import BACKOFF_PATH, SETTINGS_PATH, UNIT_PATH, carry_out, installation, removal, shipped
from edge.run_settings import DEFAULT_MODEL, RunSettings
from edge.settings import build

ANALYZE = shutil.which("systemd-analyze")
SETTING = re.compile(r'(# )?(\[\w+\]|\w+ = (?:\["[^"]*"\]|"[^"]*"|[\d.]+))(?:\s+#.*)?')


def install(prefix, version=257, command="/bin/true", dry_run=False):
    carry_out(installation(prefix, command, version), prefix, dry_run)


@pytest.mark.skipif(ANALYZE is None, reason="no systemd-analyze here")
def test_systemd_accepts_the_unit(tmp_path):
    install(tmp_path, version=0)
    unit = str(tmp_path / UNIT_PATH)
    verified = subprocess.run([ANALYZE, "verify", unit], capture_output=True, text=True, timeout=600)
    assert (verified.returncode, verified.stdout, verified.stderr) == (0, "", "")
    judged = [ANALYZE, "security", "--offline=true", "--no-pager", "--threshold=17", unit]
    secure = subprocess.run(judged, capture_output=True, text=True, timeout=600)
    if "unrecognized option" in secure.stderr:
        pytest.skip("this systemd cannot judge a unit that is not loaded")
    exposure = float(re.search(r"exposure level for seld-edge\.service: ([\d.]+)", secure.stdout)[1])
    assert secure.returncode == 0 and exposure <= 1.7


def test_the_unit_does_not_hide_what_the_loop_needs():
    lines = shipped("seld-edge.service").splitlines()
    keys = [line.partition("=")[0] for line in lines if "=" in line and not line.startswith("#")]
    assert "ProcSubset" not in keys and "PrivateDevices" not in keys
    assert "SystemCallFilter=~@resources" not in lines
    wanted = {"Type=notify", "Restart=always", "DynamicUser=yes", "StartLimitIntervalSec=0", "IPAddressDeny=any"}
    wanted |= {"RuntimeDirectory=seld-edge", "RestartPreventExitStatus=2", "LimitNOFILE=4096"}
    assert wanted <= set(lines)
    assert "LoadCredential=mqtt:/etc/seld-edge/mqtt-password" in lines
    assert "SetCredential=mqtt:\\n" in lines  # without it, a missing file would end the service
    assert any(re.fullmatch(r"WatchdogSec=\d+", line) for line in lines)


def test_every_setting_of_the_default_file_exists():
    """Those that are commented out exist, too, and show the defaults."""
    text = shipped("config.toml")
    build(RunSettings, tomllib.loads(text), "config.toml")
    offered = [SETTING.fullmatch(line) for line in text.splitlines()]
    assert sum(bool(found and found[1]) for found in offered) >= 6
    spelt_out = build(RunSettings, tomllib.loads("\n".join(found[2] for found in offered if found)), "config.toml")
    assert (spelt_out.model, spelt_out.threads, spelt_out.budget) == (DEFAULT_MODEL, 1, RunSettings().budget)
    assert spelt_out.metrics_minutes == RunSettings().metrics_minutes


@pytest.mark.parametrize("version", [252, 257])
def test_installing_writes_unit_and_settings(tmp_path, capsys, version):
    install(tmp_path, version, "/opt/other/bin/seld-edge")
    assert (
        "\nExecStart=/opt/other/bin/seld-edge run --wait --config /etc/seld-edge/config.toml\n"
        in (tmp_path / UNIT_PATH).read_text()
    )
    assert (tmp_path / SETTINGS_PATH).read_text() == shipped("config.toml")
    assert (tmp_path / BACKOFF_PATH).exists() == (version >= 254)
    assert capsys.readouterr().out.count("write ") == (3 if version >= 254 else 2)


def test_an_upgrade_keeps_the_settings_and_renews_the_unit(tmp_path, capsys):
    install(tmp_path)
    (tmp_path / SETTINGS_PATH).write_text("threads = 2\n")
    (tmp_path / UNIT_PATH).write_text("of an older version")
    capsys.readouterr()
    install(tmp_path)
    assert (tmp_path / SETTINGS_PATH).read_text() == "threads = 2\n"
    assert "Type=notify" in (tmp_path / UNIT_PATH).read_text()
    assert capsys.readouterr().out == f"write {tmp_path / UNIT_PATH}\nkeep {tmp_path / BACKOFF_PATH}\n"
    install(tmp_path, version=252)  # an older systemd would complain of the keys
    assert not (tmp_path / BACKOFF_PATH).parent.exists()


def test_a_dry_run_prints_everything_and_does_nothing(tmp_path, capsys, monkeypatch):
    install(tmp_path, dry_run=True)
    carry_out(removal(tmp_path), tmp_path, dry_run=True)
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr("edge.device.install.subprocess.run", None)  # nothing is run for it either
    capsys.readouterr()
    carry_out(installation(Path("/"), "/bin/true", 257), Path("/"), dry_run=True)
    said = capsys.readouterr().out
    assert said.splitlines()[-3:] == [
        "run systemctl daemon-reload",
        "run systemctl enable seld-edge.service",
        "run systemctl --no-block restart seld-edge.service",
    ]


def test_removal_keeps_the_settings(tmp_path, capsys):
    install(tmp_path)
    carry_out(removal(tmp_path), tmp_path, dry_run=False)
    assert (tmp_path / SETTINGS_PATH).exists() and not (tmp_path / UNIT_PATH).exists()
    assert not (tmp_path / BACKOFF_PATH).exists()
    carry_out(removal(tmp_path), tmp_path, dry_run=False)  # again: nothing is left to do


@pytest.mark.parametrize("command", ["/home/pi/.venv/bin/seld-edge", "/opt/my seld/seld-edge", "seld-edge", "/opt/%n"])
def test_commands_that_the_service_could_not_run(tmp_path, command):
    with pytest.raises(ValueError, match=r"^got seld-edge in .*, wanted it where the service sees it"):
        installation(tmp_path, command, 257)


def test_a_failing_systemctl_is_reported_in_one_line(tmp_path, monkeypatch):
    def failing(words, **options):
        return subprocess.CompletedProcess(words, 1, "", "Failed to reload:\nnot root\n")

    monkeypatch.setattr("edge.device.install.subprocess.run", failing)
    steps = [step for step in installation(tmp_path, "/bin/true", 257) if hasattr(step, "words")]
    with pytest.raises(ValueError, match=r"^systemctl daemon-reload: Failed to reload: not root$"):
        carry_out(steps, Path("/"), dry_run=False)


def test_the_commands(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("edge.device.install.sys.prefix", "/opt/seld-edge/.venv")
    assert main(["install-service", "--dry-run", "--prefix", str(tmp_path)]) == 0
    assert capsys.readouterr().out.startswith(f"write {tmp_path}/etc/systemd/system/seld-edge.service\n")
    assert main(["install-service", "--prefix", str(tmp_path)]) == 0
    assert main(["uninstall-service", "--prefix", str(tmp_path)]) == 0
    assert not (tmp_path / UNIT_PATH).exists()
    monkeypatch.setattr("edge.device.install.sys.prefix", "/home/pi/venv")
    capsys.readouterr()
    assert main(["install-service", "--prefix", str(tmp_path)]) == 2
    assert re.fullmatch(r"seld-edge: got seld-edge in /home/pi/venv[^\n]*\n", capsys.readouterr().err)
