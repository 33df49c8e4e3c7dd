"""Rules by a clock that is set; their actions with real programs and a real web server."""

import http.server
import json
import sys
import threading
from datetime import datetime, timedelta

import pytest

from edge.outputs import actions, rules
from edge.outputs.actions import text_of
from edge.outputs.rules import QuietSettings, RuleSettings, RuleSink, check_rules, within
from edge.types import Event, EventUpdate, LiveFrame
from tests.edge.mqtt_broker import eventually

NIGHT = datetime(2024, 5, 1, 23, 30)


class House:
    """A clock that is set, and what is published."""

    def __init__(self):
        self.now = NIGHT
        self.said = []

    def sink(self, *wanted, quiet=None):
        return RuleSink(
            wanted, None, quiet, lambda topic, text: self.said.append((topic, json.loads(text))), lambda: self.now
        )


@pytest.fixture
def house():
    return House()


def sounding(lasts_s, number=0, name="knock", sector="door", score=0.9):
    """A live frame with one source that has lasted for some time."""
    return LiveFrame(0, 5.0 + lasts_s, (Event(name, 5.0, 5.0 + lasts_s, 175.2, None, score, number, sector),))


def acted(house, sink, *frames):
    """Ids of the events for which rules have acted when all is done."""
    for frame in frames:
        sink.emit(frame)
    sink._act()  # here, not only in its thread
    sink.close()
    return [record["id"] for _, record in house.said]


def rule(**conditions):
    return RuleSettings("knock", topic="house/knock", **conditions)


def test_a_rule_acts_once_for_an_event_as_soon_as_its_conditions_hold(house):
    sink = house.sink(rule(min_duration_s=0.5))
    frames = [sounding(lasts / 10, number) for number in (1, 2) for lasts in range(1, 9)]
    for frame in frames[:4]:
        sink.emit(frame)
    sink._act()
    assert house.said == []
    assert acted(house, sink, *frames[4:]) == [1, 2]
    topic, record = house.said[0]
    assert (topic, record["class"], record["sector"], record["offset_s"]) == ("house/knock", "knock", "door", 5.5)


@pytest.mark.parametrize(
    ("conditions", "acts"),
    [
        ({}, True),
        ({"classes": ("knock", "bell")}, True),
        ({"classes": ("bell",)}, False),
        ({"sectors": ("door",)}, True),
        ({"sectors": ("window",)}, False),
        ({"min_score": 0.9}, True),
        ({"min_score": 0.91}, False),
        ({"min_duration_s": 1.1}, False),
        ({"hours": ("22:00", "07:00")}, True),
        ({"hours": ("07:00", "22:00")}, False),
        ({"hours": ("23:30", "23:31")}, True),
        ({"hours": ("23:00", "23:30")}, False),
    ],
)
def test_conditions(house, conditions, acts):
    assert acted(house, house.sink(rule(**conditions)), sounding(1.0)) == ([0] if acts else [])


def test_quiet_hours(house):
    quiet = QuietSettings(("22:00", "07:00"))
    assert acted(house, house.sink(rule(), quiet=quiet), sounding(1.0)) == []
    assert acted(house, house.sink(rule(in_quiet_hours=True), quiet=quiet), sounding(1.0)) == [0]
    house.said.clear()
    house.now = NIGHT + timedelta(hours=8)
    assert acted(house, house.sink(rule(), quiet=quiet), sounding(1.0)) == [0]


def test_an_event_that_lasts_into_the_hours_of_a_rule(house):
    sink = house.sink(rule(hours=("23:45", "07:00")))
    sink.emit(sounding(1.0))
    house.now += timedelta(minutes=16)
    assert acted(house, sink, sounding(900.0)) == [0]


def test_pause_of_a_rule(house):
    sink = house.sink(rule(pause_s=60.0))
    for number, later_s in enumerate((0, 30, 29, 1, 59)):
        house.now += timedelta(seconds=later_s)
        sink.emit(sounding(1.0, number))
    assert acted(house, sink) == [0, 3]


def test_only_live_frames_count(house):
    event = sounding(1.0).sources[0]
    assert acted(house, house.sink(rule()), event, EventUpdate("begin", event)) == []


def test_hours_over_midnight():
    def held(*hours):
        return [hour for hour in range(24) if within(hours, datetime(2024, 5, 1, hour).time())]

    assert held("22:00", "02:00") == [0, 1, 22, 23]
    assert held("02:00", "05:00") == [2, 3, 4]
    assert held("02:00", "02:00") == []


def test_a_command_gets_the_event_and_no_shell(house, tmp_path):
    program = "import sys; open(sys.argv[1], 'w').write(sys.argv[2] + sys.stdin.read())"
    words = (sys.executable, "-c", program, str(tmp_path / "said"), "$HOME;*\n")
    assert acted(house, house.sink(RuleSettings("a", command=words)), sounding(1.0)) == []
    eventually(lambda: (tmp_path / "said").is_file() and (tmp_path / "said").read_text().endswith("}\n"))
    argument, line = (tmp_path / "said").read_text().splitlines()
    assert argument == "$HOME;*" and json.loads(line)["class"] == "knock"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("/no/such/program",), "/no/such/program: No such file or directory"),
        ((sys.executable, "-c", "import sys; sys.exit('no door')"), f"{sys.executable}: exit code 1: no door"),
        ((sys.executable, "-c", "import time; time.sleep(60)"), f"{sys.executable}: ended after 0.5 s"),
    ],
)
def test_commands_that_fail_are_told_and_counted(house, monkeypatch, caplog, words, message):
    monkeypatch.setattr(actions, "TIMEOUT_S", 0.5 if "time" in words[-1] else 60.0)
    sink = house.sink(RuleSettings("a", command=words, topic="t"))
    sink.emit(sounding(1.0))
    eventually(lambda: house.said)  # what follows is done all the same
    assert caplog.messages == [f"rule a: {message}"] and sink.dropped == 1 and sink.alive
    sink.close()


@pytest.fixture
def web():
    """A web server that answers 204, or 500 at /broken."""
    got = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            got.append((self.path, self.headers["Content-Type"], json.loads(body)))
            self.send_response(500 if self.path.startswith("/broken") else 204)
            self.end_headers()

        def log_message(self, *args):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", got
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_webhook_gets_the_event(house, web, caplog):
    address, got = web
    sink = house.sink(
        RuleSettings("a", webhook=f"{address}/hook"),
        RuleSettings("b", webhook=f"{address}/broken?token=secret", topic="t"),
    )
    sink.emit(sounding(1.0))
    eventually(lambda: house.said)
    assert [(path, kind, record["sector"]) for path, kind, record in got] == [
        ("/hook", "application/json", "door"),
        ("/broken?token=secret", "application/json", "door"),
    ]
    assert caplog.messages == [f"rule b: {address}/...: HTTP Error 500: Internal Server Error"]
    sink.close()


def test_a_notification_by_apprise(house, web):
    pytest.importorskip("apprise", reason="apprise is not installed")
    address, got = web
    sink = house.sink(RuleSettings("a", notify=(address.replace("http://", "json://"),)))
    sink.emit(sounding(1.0))
    eventually(lambda: got)
    assert (got[0][2]["title"], got[0][2]["message"]) == ("seld-edge", "knock at door, azimuth 175 degrees, score 0.90")
    sink.close()
    with pytest.raises(ValueError, match=r"^got notify 'nowhere://a/\.\.\.', wanted an address of a service"):
        house.sink(RuleSettings("a", notify=("nowhere://secret@a/b",)))


def test_actions_beyond_the_queue_are_counted_and_the_loop_does_not_wait(house, monkeypatch):
    monkeypatch.setattr(rules, "MAX_WAITING", 3)
    monkeypatch.setattr(RuleSink, "_act", lambda self: None)
    sink = house.sink(rule())
    for number in range(10):
        sink.emit(sounding(1.0, number))
    assert len(sink._waiting) == 3 and sink.dropped == 7
    sink.close()


def test_what_has_ended_is_forgotten(house):
    sink = house.sink(rule())
    for number in range(100):
        sink.emit(sounding(1.0, number))
    assert len(sink._done) == 1
    sink.close()


def test_text_without_a_sector():
    record = {"class": "knock", "sector": None, "azimuth_deg": -4.6, "score": 0.5}
    assert text_of(record) == "knock, azimuth -5 degrees, score 0.50"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "got no action in rule 'a', wanted command, webhook, notify or topic"),
        ({"webhook": "file:///etc/passwd"}, "got a webhook that is no http or https address, wanted one"),
        ({"topic": "a/#"}, "got topic 'a/#', wanted one without wildcards"),
        ({"topic": "a", "hours": ("22", "x")}, r"got hours \['22', 'x'\], wanted two times such as 22:00"),
        ({"topic": "a", "min_score": 1.1}, r"got min_score 1\.1, wanted 0 to 1"),
    ],
)
def test_rules_that_make_no_sense(settings, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        RuleSettings("a", **settings)


def test_a_topic_needs_the_sink_of_mqtt():
    with pytest.raises(ValueError, match=r"^rule 'knock': got a topic without the sink mqtt:, wanted both$"):
        RuleSink([rule()], None)


def test_logging_names_no_secret():
    assert actions._without_secrets("tgram://bot:secret@host/token") == "tgram://host/..."


@pytest.mark.parametrize(
    ("conditions", "sectors", "message"),
    [
        ({"classes": ("bel",)}, ("door",), r"^rule 'knock': classes: got 'bel', wanted bell, dog$"),
        ({"sectors": ("dor",)}, ("door",), r"^rule 'knock': sectors: got 'dor', wanted door$"),
        ({"sectors": ("door",)}, (), r"^rule 'knock': sectors: got 'door', wanted no sectors: there are none$"),
    ],
)
def test_a_rule_about_what_is_never_heard_is_refused(conditions, sectors, message):
    check_rules([rule(classes=("bell",), sectors=("door",))], ("bell", "dog"), ("door",))
    with pytest.raises(ValueError, match=message):
        check_rules([rule(**conditions)], ("bell", "dog"), sectors)
