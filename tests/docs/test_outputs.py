"""docs/outputs.md against what the outputs produce: every documented field, topic and metric, and no other."""

import json
import re
from dataclasses import fields, replace
from datetime import UTC, datetime

import pytest

from edge.events.live_text import live_record
from edge.events.records import event_record
from edge.outputs.device_info import DeviceInfo
from edge.outputs.home_assistant import Topics, discovery_topic
from edge.outputs.sinks import open_sink
from edge.runtime.governor import GovernorStats
from edge.runtime.pipeline import build_pipeline, build_system
from edge.runtime.statistics import MachineStats, RunMonitor, RunStats
from edge.stage_clock import Timing
from edge.types import Event, FrameRow, LiveFrame
from tests.docs.markdown import first_table, first_words, section
from tests.paths import GOLDEN, ROOT

PAGE = ROOT / "docs" / "outputs.md"
EVENT = Event("bell", 1.0, 2.0, 30.0, -20.0, 0.9)
TIMING = Timing(10, 1.0, 2.0, 3.0, 4.0)
STATS = RunStats(
    steps=10,
    answers=5,
    missed_steps=0,
    lost_samples=0,
    governor=GovernorStats(0, 1.0, 0, "2 tracks", {"2 tracks": 1.0, "1 track": 0.0}),
    step=TIMING,
    answer=TIMING,
    stages={"stft": TIMING},
    events={"bell": 1},
    dropped={"null": 0},
    workers={"null": True},
    machine=MachineStats(50.0, 100.0),
    repaired_samples=1,
    faulty_channels={2: "silent"},
    updates={"begin": 1},
    sectors={"door": 1},
    sound_level_db=-40.0,
)


def documented(heading):
    return first_words(section(PAGE, heading))


def documented_types(heading):
    return {re.sub("`", "", row[0]): row[1] for row in first_table(section(PAGE, heading))}


JSON_TYPES = {list: "list", str: "string", float: "number", int: "integer", type(None): "null"}


def test_event_record():
    live, of_a_file = event_record(EVENT, lambda onset_s: datetime.now(UTC)), event_record(EVENT, None)
    types = documented_types("Event record")
    assert list(types) == list(live) == list(of_a_file)
    for record in (live, of_a_file, {**live, "elevation_deg": None}):
        for name, value in record.items():
            assert JSON_TYPES[type(value)] in types[name], name


def test_live_stream():
    page = section(PAGE, "Live stream")
    types = {row[0].strip("`"): row[1] for row in first_table(page)}
    of_a_source = {row[0].strip("`"): row[1] for row in first_table(page[page.index("| field of a source") :])}
    (line,) = [json.loads(line) for line in page.splitlines() if line.startswith("    {")]
    for event in (EVENT, replace(EVENT, elevation_deg=None)):
        for when in (None, lambda end_s: datetime.now(UTC)):
            record = live_record(LiveFrame(1, 0.2, (event,)), when)
            assert list(record) == list(types) == list(line)
            assert list(record["sources"][0]) == list(of_a_source) == list(line["sources"][0])
            for told, found in ((types, record), (of_a_source, record["sources"][0])):
                for name, value in found.items():
                    assert JSON_TYPES[type(value)] in told[name], name


def test_the_example_of_a_record_is_one():
    (line,) = [line for line in section(PAGE, "Event record").splitlines() if line.startswith("    {")]
    assert list(json.loads(line)) == documented("Event record")


def test_dcase_csv(tmp_path):
    sink = open_sink(f"dcase:{tmp_path / 'rows.csv'}")
    sink.emit(FrameRow(frame=1, class_index=2, track=3, azimuth_deg=4, elevation_deg=5))
    sink.close()
    assert (tmp_path / "rows.csv").read_text() == "1,2,3,4,5\n"
    assert documented("DCASE csv") == ["frame", "class", "track", "azimuth", "elevation"]


def test_sinks():
    from edge.outputs.sinks import WANTED

    words = documented("Outputs")
    assert set(re.split(", | or ", WANTED)) <= set(words)


def test_topics():
    topics = Topics("PREFIX")
    produced = {
        topics.availability,
        topics.health,
        topics.active("SLUG"),
        topics.direction("SLUG"),
        topics.update("SLUG"),
        topics.event("SLUG"),
        topics.live,
        topics.level,
        topics.listening,
        topics.listening_command,
        discovery_topic("homeassistant", "NODE"),
    }
    assert set(documented("MQTT")) & produced == produced
    assert {word for word in documented("MQTT") if "/" in word} == produced


def test_the_fields_of_an_event_message_over_mqtt():
    """`_message` adds two fields in front of the record."""
    source = (ROOT / "edge" / "outputs" / "mqtt.py").read_text()
    added = re.findall(r'"(\w+)": ', re.search(r"\{[^{}]*\*\*record\}", source)[0])
    page = section(PAGE, "MQTT")
    rows = first_table(page[page.index("| field |") :])
    assert [row[0].strip("`") for row in rows] == added
    (line,) = [line for line in page.splitlines() if line.startswith("    {")]
    assert list(json.loads(line)) == [*added, *documented("Event record")]


@pytest.fixture(scope="module")
def monitor():
    from edge.arrays.profile import load_array
    from edge.nets.bundle import load_bundle

    bundle = load_bundle(str(GOLDEN / "tiny-bundle"))
    return RunMonitor(build_pipeline(bundle, load_array("foa"), build_system(bundle)))


def test_health(monitor):
    assert documented("Health") == list(monitor.health())


def metrics_of(text):
    """Name -> type and labels, of a text in the format of Prometheus."""
    kinds = dict(re.findall(r"^# TYPE (\w+) (\w+)$", text, re.MULTILINE))
    labels = {name: set() for name in kinds}
    for name, inner in re.findall(r"^(\w+)(?:\{(.*)\})? \S+$", text, re.MULTILINE):
        base = name if name in kinds else re.sub("_(sum|count|bucket|total|created)$", "", name)
        labels[base] |= set(re.findall(r'(\w+)="', inner))
    return {name: (kind, labels[name]) for name, kind in kinds.items()}


def test_metrics():
    prometheus_client = pytest.importorskip("prometheus_client", reason="prometheus_client is not installed")
    from edge.outputs.metrics_collector import metrics_registry

    registry = metrics_registry(lambda: STATS, DeviceInfo("coloc-edge", "foa"))
    rows = first_table(section(PAGE, "Metrics"))
    told = {row[0].strip("`"): (row[1], set(re.findall(r"`(\w+)`", row[2]))) for row in rows}
    assert told == metrics_of(prometheus_client.generate_latest(registry).decode())


def test_statistics_file():
    words = documented("Statistics file")
    assert [word for word in words if "." not in word] == [item.name for item in fields(RunStats)]
    for name, kind in (("governor", GovernorStats), ("machine", MachineStats)):
        assert [word for word in words if word.startswith(f"{name}.")] == [
            f"{name}.{item.name}" for item in fields(kind)
        ]
    for item in fields(Timing):
        assert f"`{item.name}`" in section(PAGE, "Statistics file")
    assert json.loads(STATS.to_json()).keys() == {item.name for item in fields(RunStats)}
