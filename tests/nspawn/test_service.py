"""The service under systemd, from a microphone to a broker, with the faults of a real device: see conftest.py.

All tests use one machine and run in the order of the file, as restarts of the service are counted over all of them.
"""

import json
import re
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.long

OUTAGE_S = 60
AWAY_S = 40.0  # longer than the watchdog waits
GONE_S = 5.0  # for which a microphone is away
BACK_S = 20.0  # within which the service is ready once its microphone is back: RestartSec, start-up, the first answer
TIMED_S = 20
OUTSIDE = """source = "mic"
sinks = ["null"]
stats = "/opt/outside.json"
[microphone]
device = "fakemic"
[budget]
governor = false
"""


@pytest.fixture(scope="module")
def received(machine, tmp_path_factory):
    """A function that returns the records that a subscriber has received, by their number, in the order of arrival."""
    path = tmp_path_factory.mktemp("received") / "events"
    path.touch()
    machine.run("systemctl", "start", "broker")
    script = Path(__file__).with_name("subscriber.py")
    subscriber = machine.start(sys.executable, script, "test/event/#", path)

    def records():
        messages = [json.loads(line) for line in path.read_text().split("\n")[:-1]]
        found = {}
        for message in messages:
            assert message.pop("event_type") == "heard"
            found.setdefault(message.pop("seq"), message)
        return found

    yield records
    subscriber.kill()
    subscriber.wait()


@pytest.fixture(scope="module")
def service(machine, received):
    """The machine with the service installed. The settings existed before and are kept."""
    before = machine.run("cat", machine.settings)
    said = machine.run(machine.command, "install-service")
    assert "write /etc/systemd/system/seld-edge.service\n" in said
    assert machine.run("cat", machine.settings) == before
    machine.ready(0)
    return machine


@pytest.fixture
def restarts(service):
    """The number of times that systemd has restarted the service."""
    return int(service.show("NRestarts"))


def recorded(machine):
    """Events in the file on the device."""
    return [json.loads(line) for line in machine.run("cat", f"{machine.state}/events.jsonl").splitlines()]


def more(machine, received, count=2):
    """Wait until the subscriber has received so many more events."""
    before = len(received())
    machine.until(lambda: len(received()) >= before + count)


def assert_all_came(machine, received):
    """Every event in the file was received, in order and without a gap in the numbers."""
    wanted = recorded(machine)
    machine.until(lambda: len(received()) >= len(wanted))
    found = received()
    assert list(found) == list(range(1, len(found) + 1))
    assert list(found.values())[: len(wanted)] == wanted


def test_the_service_is_ready_with_the_first_answer_and_reports_its_state(service, received):
    assert service.show("ActiveState") == "active" and service.show("NotifyAccess") == "main"
    assert re.fullmatch(r"\d+ events, 0 samples lost.*", service.until(lambda: service.show("StatusText")))
    more(service, received, 5)
    assert_all_came(service, received)
    assert service.show("NRestarts") == "0"


def test_systemd_finds_the_unit_valid_and_well_protected(service):
    assert service.run("systemd-analyze", "verify", "seld-edge.service") == ""
    said = service.run("systemd-analyze", "security", "--no-pager", "seld-edge.service")
    assert float(re.search(r"exposure level for seld-edge\.service: ([\d.]+)", said)[1]) <= 1.7


def test_the_service_runs_as_an_own_user_without_privileges(service):
    status = service.run("cat", f"/proc/{service.show('MainPID')}/status")
    user, capabilities, seccomp, privileges = (
        re.search(rf"^{name}:\t(\w+)", status, re.M)[1] for name in ("Uid", "CapBnd", "Seccomp", "NoNewPrivs")
    )
    assert int(user) >= 61184 and int(capabilities, 16) == 0 and (seccomp, privileges) == ("2", "1")
    assert service.run("stat", "-L", "-c", "%a", service.state).strip() == "755"
    assert service.run("stat", "-c", "%a", f"{service.state}/events.jsonl").strip() == "600"


def test_all_ports_are_on_loopback(service):
    lines = service.run("ss", "-Hltun").splitlines()
    addresses = [line.split()[4] for line in lines]
    assert {address.rpartition(":")[2] for address in addresses} >= {"1883", "7070", "9464"}
    assert all(re.match(r"127\.0\.0\.1:|\[::1\]:", address) for address in addresses), addresses


def test_a_killed_service_comes_back(service, received, restarts):
    service.run("kill", "-KILL", service.show("MainPID"))
    service.ready(restarts + 1)
    more(service, received)
    assert_all_came(service, received)


def test_a_service_that_hangs_is_restarted(service, received, restarts):
    since = service.now()
    service.run("kill", "-STOP", service.show("MainPID"))
    service.ready(restarts + 1)
    assert "Watchdog timeout" in service.journal(since)
    more(service, received)
    assert_all_came(service, received)


@pytest.mark.parametrize("fault", ["vanish", "freeze", "unplug"])
def test_a_microphone_that_fails_is_heard_again(service, received, fault):
    since = service.now()
    service.write(service.control, fault)
    service.until(lambda: "microphone 'fakemic' stopped delivering" in service.journal(since))
    time.sleep(GONE_S)
    service.write(service.control, "")
    more(service, received)
    assert_all_came(service, received)


def test_a_microphone_that_was_away_for_long_is_heard_again(service, received, restarts):
    """It is away for longer than the watchdog waits. The service waits inside and says little."""
    since = service.now()
    service.write(service.control, "unplug")
    service.until(lambda: "microphone 'fakemic' stopped delivering" in service.journal(since))
    service.until(lambda: service.show("StatusText").startswith("waiting for the microphone; "))
    time.sleep(AWAY_S)
    assert len(service.journal(since).splitlines()) <= 4
    service.write(service.control, "")
    healed_s = time.monotonic()
    service.until(lambda: "microphone 'fakemic' is back" in service.journal(since))
    took_s = time.monotonic() - healed_s
    print(f"back {took_s:.1f} s after the microphone is")
    assert took_s < BACK_S
    more(service, received)
    assert_all_came(service, received)
    assert int(service.show("NRestarts")) == restarts


def test_a_microphone_that_is_missing_at_the_start_is_waited_for(service, received):
    service.write(service.control, "unplug")
    since = service.now()
    service.run("systemctl", "restart", "seld-edge")
    service.until(lambda: "no device 'fakemic'" in service.journal(since))
    time.sleep(AWAY_S)
    assert service.show("ActiveState") == "active" and len(service.journal(since).splitlines()) <= 12
    service.write(service.control, "")
    service.until(lambda: "microphone 'fakemic' is there" in service.journal(since))
    more(service, received)
    assert_all_came(service, received)


def test_wrong_settings_stop_the_service_until_they_are_corrected(service, received):
    good = service.run("cat", service.settings)
    service.write(service.settings, good + "[decode]\nonn = 1\n")
    since = service.now()
    service.run("systemctl", "restart", "seld-edge", check=False)
    service.until(lambda: service.show("ActiveState") == "failed")
    time.sleep(GONE_S)
    assert service.journal(since).count("got unknown key 'onn'") == 1 and service.show("ActiveState") == "failed"
    service.write(service.settings, good)
    service.run("systemctl", "start", "seld-edge")
    more(service, received)


def test_the_service_reads_a_password_that_only_root_can_read(service):
    """As its user sees it, in its mount namespace: through the credential, not through the file."""
    service.run("install", "-D", "-m", "600", "/dev/null", "/etc/seld-edge/mqtt-password")
    service.write("/etc/seld-edge/mqtt-password", "secret\n")
    service.run("systemctl", "restart", "seld-edge")
    pid = service.show("MainPID")
    user = re.search(r"^Uid:\t(\w+)", service.run("cat", f"/proc/{pid}/status"), re.M)[1]
    inside = ["nsenter", "-t", pid, "-m", "setpriv", f"--reuid={user}", "--clear-groups", "cat"]
    assert service.run(*inside, "/run/credentials/seld-edge.service/mqtt") == "secret\n"
    assert "Permission denied" in service.run(*inside, "/etc/seld-edge/mqtt-password", check=False)
    assert service.run("stat", "-c", "%a", "/run/seld-edge").strip() == "755"


def test_no_event_is_lost_while_the_broker_is_away(service, received, restarts):
    """Events of the outage are sent in order when the broker is back. The service is not restarted."""
    since, before = service.now(), len(recorded(service))
    service.run("systemctl", "stop", "broker")
    time.sleep(OUTAGE_S)
    meanwhile = len(recorded(service)) - before
    assert meanwhile >= OUTAGE_S / 10
    service.run("systemctl", "start", "broker")
    more(service, received, meanwhile)
    assert_all_came(service, received)
    said = service.journal(since)
    assert [said.count(f"{what}; events wait in") for what in ("connection lost", "Connection refused")] == [1, 1]
    assert int(service.show("NRestarts")) == restarts


def test_settings_are_reloaded_and_wrong_ones_are_reported(service, received, restarts):
    since, good = service.now(), service.run("cat", service.settings)
    process = service.show("MainPID")
    service.write(service.settings, good + "[decode]\non = 0.1\noff = 0.3\n")
    service.run("systemctl", "reload", "seld-edge")
    refused = re.compile(r"the settings stay as they were: .*got on 0\.1 and off 0\.3")
    service.until(lambda: refused.search(service.journal(since)))
    service.write(service.settings, good + "[decode]\non = 0.55\n")
    service.run("systemctl", "reload", "seld-edge")
    service.until(lambda: "settings read again: changed decode.on" in service.journal(since))
    service.write(service.settings, good)
    more(service, received)
    assert (service.show("MainPID"), int(service.show("NRestarts"))) == (process, restarts)


def test_the_unit_is_as_fast_as_without_it(service):
    """XNNPACK works in the unit: without it, a net takes a hundred times as long. Time for sinks is left out."""
    service.write("/opt/outside.toml", OUTSIDE)
    service.run("systemctl", "restart", "seld-edge")
    plain = ["systemd-run", "--quiet", "--unit=outside", "--property=Type=notify"]
    plain += [f"--property=Environment={service.environment}"]
    service.run(*plain, service.command, "run", "--config", "/opt/outside.toml")
    time.sleep(TIMED_S)
    service.run("systemctl", "stop", "seld-edge", "outside")
    unit, outside = (work_ms(service, path) for path in (f"{service.state}/stats.json", "/opt/outside.json"))
    service.run("systemctl", "start", "seld-edge")
    print(f"{unit:.2f} ms a step in the unit, {outside:.2f} ms outside")
    assert unit <= 1.3 * outside


def work_ms(machine, path):
    """The median time of a step without sinks, from a file of statistics."""
    stats = json.loads(machine.run("cat", path))
    assert stats["steps"] >= 5 * TIMED_S
    return sum(stage["p50_ms"] for name, stage in stats["stages"].items() if name != "sinks")


def test_a_full_disk_loses_nothing(service, received):
    """Events reach the broker by way of memory, and file and outbox, in order, as soon as there is room."""
    service.run("systemctl", "stop", "seld-edge")
    folder = "/var/lib/private/seld-edge"
    service.run("cp", "-a", folder, "/opt/kept")
    service.run("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder)
    service.run("cp", "-a", "/opt/kept/.", folder)
    service.run("systemctl", "start", "seld-edge")
    more(service, received)
    since, process = service.now(), service.show("MainPID")
    service.run("dd", "if=/dev/zero", f"of={folder}/filler", check=False)
    for name in ("sink jsonl:", "outbox "):
        full = re.compile(rf"{name}\S+: No space left on device: lines wait in memory")
        service.until(lambda full=full: full.search(service.journal(since)))
    more(service, received)
    service.run("rm", f"{folder}/filler")
    for again in (r"outbox \S+: can be written again", r"sink jsonl:\S+: can be written again, 0 lines dropped so far"):
        service.until(lambda again=again: re.search(again, service.journal(since)))
    more(service, received)
    assert service.show("MainPID") == process and service.show("ActiveState") == "active"
    assert_all_came(service, received)


def test_uninstalling_keeps_settings_and_events(service):
    assert "remove /etc/systemd/system/seld-edge.service\n" in service.run(service.command, "uninstall-service")
    assert service.run("systemctl", "is-active", "seld-edge", check=False).strip() == "inactive"
    service.run("test", "-s", service.settings)
    service.run("test", "-s", f"{service.state}/events.jsonl")
