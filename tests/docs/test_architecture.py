"""docs/architecture.md: the life of a block is the one that a block has, in the order of the folders."""

import re
import sys
import threading
from pathlib import Path

import pytest

from edge.audio import microphone
from tests.docs.markdown import first_table, first_words, section
from tests.paths import ROOT
from tests.test_layout import EDGE

PAGE = ROOT / "docs" / "architecture.md"
LIFE = section(PAGE, "The life of a block")
STATIONS = first_words(LIFE)
HELPERS = re.findall(r"`(edge/[\w/]+\.py)`", LIFE[LIFE.index("Helpers that") : LIFE.index("`tests/docs")])
MOST_STATIONS = 14
OF_THE_TEST = {"edge/audio/recorder.py"}  # played by a program here, and a process of its own otherwise

TETRAHEDRON = ((1, 1, 1), (1, -1, -1), (-1, 1, -1), (-1, -1, 1))  # front, left, up of the capsules of open_tetra
RECORDER = """
import json, struct, sys, time
from edge.audio.recorder import HEADER

sys.stdout.buffer.write(json.dumps({"name": "array", "sample_rate_hz": 48000}).encode() + b"\\n")
with open(sys.argv[1], "rb") as file:
    while raw := file.read(4 * 4 * 4800):
        sys.stdout.buffer.write(HEADER.pack(len(raw), False, time.monotonic()) + raw)
        sys.stdout.flush()
sys.stdin.read()
"""


def rooms_of_the_house():
    """Folders of edge in the order of the first table."""
    first_column = "\n".join(row[0] for row in first_table(section(PAGE, "The house")))
    return list(dict.fromkeys(re.findall(r"`(\w+)/", first_column)))


def test_it_has_few_stations():
    assert 10 <= len(STATIONS) <= MOST_STATIONS
    assert STATIONS[0].startswith("edge/audio/") and STATIONS[-1].startswith("edge/outputs/mqtt")
    for path in (*STATIONS, *HELPERS):
        assert (ROOT / path).is_file(), path


def test_its_stations_are_in_the_order_of_the_folders():
    rooms = rooms_of_the_house()
    assert rooms[:4] == ["audio", "arrays", "frontend", "systems"]
    passed = [rooms.index(path.split("/")[1]) for path in STATIONS]
    assert passed == sorted(passed)


def test_the_order_of_the_imports_is_the_one_that_is_tested():
    (block,) = re.findall(r"\n\n((?:    .*\n)+)", section(PAGE, "Who may import whom"))
    told = [set(room.split()) for room in block.split("<")]
    assert told == [set(room) - {""} for room in EDGE]


def test_every_room_of_edge_is_in_the_picture_of_the_house():
    assert {path.parent.name for path in (ROOT / "edge").glob("*/__init__.py")} == set(rooms_of_the_house())


@pytest.fixture
def executed():
    """Files of edge in which a function begins while `executed.add` is switched on, in any thread."""
    seen, root = set(), str(ROOT / "edge")
    switch = threading.Event()

    def watch(frame, event, _argument):
        if event == "call" and switch.is_set() and frame.f_code.co_filename.startswith(root):
            seen.add(str(Path(frame.f_code.co_filename).relative_to(ROOT)))

    threading.setprofile(watch)
    sys.setprofile(watch)
    yield switch, seen
    sys.setprofile(None)
    threading.setprofile(None)


def test_it_is_the_life_that_a_block_has(executed, tmp_path, monkeypatch):
    """A few seconds from a played recorder to the outbox of MQTT: which files of edge work on the way."""
    pytest.importorskip("paho.mqtt.client", reason="needs paho-mqtt")
    import numpy as np

    from edge.arrays.profile import load_array
    from edge.audio.sources import open_source
    from edge.nets.bundle import load_bundle
    from edge.outputs import mqtt
    from edge.outputs.device_info import DeviceInfo
    from edge.outputs.mqtt_link import MqttSettings
    from edge.runtime.pipeline import build_pipeline, build_system, run

    switch, seen = executed
    with open_source("demo", 4, 24000) as demo:
        w, y, z, x = np.concatenate([block.samples for block in demo])[: 24000 * 8].T
    capsules = [0.5 * (w + (front * x + left * y + up * z) / np.sqrt(3)) for front, left, up in TETRAHEDRON]
    (tmp_path / "scene.raw").write_bytes(np.repeat(np.stack(capsules, axis=1), 2, axis=0).astype(np.float32).tobytes())
    (tmp_path / "recorder.py").write_text(RECORDER)
    played = (sys.executable, str(tmp_path / "recorder.py"), str(tmp_path / "scene.raw"))
    monkeypatch.setattr(microphone, "RECORDER", played)
    monkeypatch.setattr(microphone, "QUEUE_S", 60.0)  # holds all of it, so that a slow machine loses nothing
    monkeypatch.setattr(mqtt, "CLOSE_S", 0.1)

    bundle, array = load_bundle("coloc-edge"), load_array("open_tetra")
    pipeline = build_pipeline(bundle, array, build_system(bundle))
    settings = MqttSettings(host="127.0.0.1", port=1, outbox=str(tmp_path / "outbox"))  # nobody listens there
    sink = mqtt.MqttSink(settings, None, DeviceInfo(bundle.manifest.name, array.name, bundle.manifest.class_names))
    with open_source("mic", array.channels, 24000, native_rate_hz=48000, deadline_s=60.0) as source:
        switch.set()
        run(until(source, 7.0, 24000), pipeline, [sink])
        sink.close()
        switch.clear()
    assert list((tmp_path / "outbox").glob("*.log")), "no event reached the outbox"
    assert sorted(set(STATIONS) - OF_THE_TEST - seen) == []
    assert sorted(seen - {*STATIONS, *HELPERS}) == []


def until(blocks, end_s, rate_hz):
    for block in blocks:
        yield block
        if block.start + len(block.samples) >= end_s * rate_hz:
            return
