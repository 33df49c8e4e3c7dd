"""Distances through the decoder: smoothed along a track, averaged over an event, and in every record of it."""

import json
from dataclasses import replace

import numpy as np
import pytest

from edge.events.decoder import Decoder, DecodeSettings
from edge.events.live_text import live_record
from edge.events.records import event_line
from edge.events.surroundings import MountSettings, Surroundings
from edge.geometry import unit_vector
from edge.outputs.sinks import open_sink
from edge.scoring.annotations import label_of, read_annotations
from edge.types import Event, EventUpdate, FrameRow, LiveFrame, TrackFrames

NAMES = ("bell", "dog")
SLOTS = 3


def two_sounds(labels=20, distances=(1.5, 4.0), seed=0):
    """A bell from the left and a dog from the right, in random slots; `distances` may be functions of the label."""
    activity = np.zeros((labels, SLOTS, len(NAMES)), np.float32)
    direction = np.zeros((labels, SLOTS, 3), np.float32)
    distance_m = np.full((labels, SLOTS), 9.0, np.float32)  # of no meaning in an empty slot
    rng = np.random.default_rng(seed)
    for label in range(labels):
        for kind, slot in enumerate(rng.permutation(SLOTS)[:2]):
            activity[label, slot, kind] = 1.0
            direction[label, slot] = unit_vector((90.0, -90.0)[kind], 0.0)
            distance = distances[kind]
            distance_m[label, slot] = distance(label) if callable(distance) else distance
    return TrackFrames(activity, direction, 0, distance_m)


def decoded(frames, surroundings=None, **changes):
    decoder = Decoder(DecodeSettings(**changes), NAMES, 0.1, surroundings=surroundings)
    return [*decoder.push(frames), *decoder.finish()]


def test_an_event_has_the_distance_of_its_source():
    items = decoded(two_sounds())
    events = {item.name: item for item in items if isinstance(item, Event)}
    assert {name: event.distance_m for name, event in events.items()} == pytest.approx({"bell": 1.5, "dog": 4.0})
    assert isinstance(events["bell"].distance_m, float)  # for JSON
    rows = [item for item in items if isinstance(item, FrameRow)]
    assert {(row.class_index, row.distance_cm) for row in rows} == {(0, 150), (1, 400)}
    assert len(rows) == 40
    told = [item.event for item in items if isinstance(item, EventUpdate)]
    assert {(event.name, round(event.distance_m, 3)) for event in told} == {("bell", 1.5), ("dog", 4.0)}


def test_a_distance_is_smoothed_as_a_direction_is():
    """A step from 1 m to 3 m: with smoothing 0.5, what is left of it is halved in every label frame."""
    items = decoded(two_sounds(12, (lambda label: 1.0 if label < 6 else 3.0, 4.0)), smoothing=0.5)
    wanted = [1.0] * 6 + [3.0 - 2.0 * 0.5 ** (n + 1) for n in range(6)]
    found = [row.distance_cm for row in items if isinstance(row, FrameRow) and row.class_index == 0]
    assert found == [round(100 * distance) for distance in wanted]
    (event,) = [item for item in items if isinstance(item, Event) and item.name == "bell"]
    assert event.distance_m == pytest.approx(np.mean(wanted))
    live = [item for item in items if isinstance(item, LiveFrame)][-1]
    assert {each.name: each.distance_m for each in live.sources}["bell"] == pytest.approx(wanted[-1])


def test_a_gap_keeps_the_last_distance():
    frames = two_sounds(12, (lambda label: 1.0 if label < 5 else 2.0, 4.0))
    frames.direction[5:7] = 0.0
    items = decoded(frames, smoothing=0.0)
    found = [row.distance_cm for row in items if isinstance(row, FrameRow) and row.class_index == 0]
    assert found == [100] * 7 + [200] * 5


def test_the_mounting_leaves_distances_as_they_are():
    items = decoded(two_sounds(), Surroundings(MountSettings(yaw_deg=90.0), (), False))
    assert {item.distance_m for item in items if isinstance(item, Event)} == {1.5, 4.0}


def test_where_no_distance_is_told_nothing_has_one():
    items = decoded(replace(two_sounds(), distance_m=None))
    events = [item for item in items if isinstance(item, Event)]
    assert [event.distance_m for event in events] == [None, None]
    assert all(row.distance_cm is None for row in items if isinstance(row, FrameRow))
    assert "distance_m" not in event_line(events[0], None)
    assert all("distance_m" not in json.dumps(live_record(each, None)) for each in items if isinstance(each, LiveFrame))


def test_records_and_csv(tmp_path):
    event = Event("bell", 1.0, 2.0, 30.0, -20.0, 0.9, distance_m=2.3456)
    record = json.loads(event_line(event, None))
    assert list(record)[-1] == "distance_m" and record["distance_m"] == 2.35
    (source,) = live_record(LiveFrame(1, 0.2, (event,)), None)["sources"]
    assert list(source)[-1] == "distance_m" and source["distance_m"] == 2.35
    row = FrameRow(3, 1, 7, 30, -20, 235)
    sink = open_sink(f"dcase:{tmp_path / 'rows.csv'}")
    sink.emit(row)
    sink.close()
    assert (tmp_path / "rows.csv").read_text() == "3,1,7,30,-20,235\n"
    assert read_annotations(tmp_path / "rows.csv", 2) == [label_of(row)]
