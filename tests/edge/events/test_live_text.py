"""The live stream: what sounds, each label frame; its JSON, and the words of ODAS' own sink and viewer."""

import json
import math
from datetime import UTC, datetime, timedelta

import pytest

from edge.events.decoder import Decoder, DecodeSettings
from edge.events.live_text import ODAS_PLACES, LiveSettings, live_text
from edge.types import Event, LiveFrame
from tests.edge.events.test_decoder import NAMES, cut, decoded, track_frames

BELL = Event("bell", 0.5, 1.3, 90.0, 30.0, 0.91239, 0, "door")
DOG = Event("dog", 0.7, 1.3, -45.126, None, 0.5, 6)


def live_frames(items):
    return [item for item in items if isinstance(item, LiveFrame)]


def test_one_frame_for_each_label_frame_without_delay():
    decoder = Decoder(DecodeSettings(), NAMES, 0.1)
    for label, piece in enumerate(cut(track_frames(30, (0, 50.0, 0.0, 4, 20)), range(1, 30))):
        (frame,) = live_frames(decoder.push(piece))
        assert (frame.frame, frame.end_s) == (label, pytest.approx((label + 1) / 10))
        assert len(frame.sources) == (5 <= label < 23)  # from the second detection to the third miss
    assert live_frames(decoder.finish()) == []


def test_direction_and_score_are_those_of_now():
    frames = live_frames(decoded([track_frames(40, (0, lambda label: 60.0 - 3.0 * label, 10.0, 0, 40))]))
    for frame in frames[5:]:
        assert abs(frame.sources[0].azimuth_deg - (60.0 - 3.0 * frame.frame)) < 6.0  # smoothing trails by 4.5
    fading = live_frames(decoded([track_frames(30, (0, 50.0, 0.0, 0, 10), (0, 50.0, 0.0, 12, 20))]))
    assert [len(frame.sources) for frame in fading[1:20]] == [1] * 19  # a bridged gap is not silent
    assert {source.id for frame in fading for source in frame.sources} == {0}


def test_json_of_a_frame():
    frame = LiveFrame(12, 1.3, (BELL, DOG))
    assert live_text(LiveSettings(), None)(frame) == (
        '{"frame": 12, "end_s": 1.3, "time": null, "sources": ['
        '{"id": 0, "class": "bell", "azimuth_deg": 90.0, "elevation_deg": 30.0, "score": 0.912, '
        '"onset_s": 0.5, "sector": "door"}, '
        '{"id": 6, "class": "dog", "azimuth_deg": -45.13, "elevation_deg": null, "score": 0.5, '
        '"onset_s": 0.7, "sector": null}]}\n'
    )
    at_noon = live_text(LiveSettings(), lambda end_s: datetime(2024, 5, 1, 12, tzinfo=UTC) + timedelta(seconds=end_s))
    assert json.loads(at_noon(frame))["time"] == "2024-05-01T12:00:01.300Z"
    with pytest.raises(ValueError, match=r"^got format 'ros', wanted seld or odas$"):
        LiveSettings("ros")


# What introlab/odas prints in snk_tracks_process_format_text_json: "%s" of a tag, "%1.3f" of all numbers.
ODAS = """{
    "timeStamp": 13,
    "src": [
        { "id": 1, "tag": "bell", "x": 0.000, "y": 0.866, "z": 0.500, "activity": 0.912 },
        { "id": 7, "tag": "dog", "x": 0.706, "y": -0.709, "z": 0.000, "activity": 0.500 },
        { "id": 0, "tag": "", "x": 0.000, "y": 0.000, "z": 0.000, "activity": 0.000 },
        { "id": 0, "tag": "", "x": 0.000, "y": 0.000, "z": 0.000, "activity": 0.000 }
    ]
}
"""


def test_odas_format_is_that_of_its_sink():
    assert live_text(LiveSettings("odas"), None)(LiveFrame(12, 1.3, (BELL, DOG))) == ODAS


def as_odas_studio_reads(received):
    """The objects that servers.js of introlab/odas_web makes of what it has received: all but the unfinished last."""
    parts = received.split("}\n{")
    whole = [part if part.startswith("{") else "{" + part for part in parts[:-1]]
    return [json.loads(part + "}") for part in whole]


def test_odas_studio_reads_the_stream():
    """Its processTracking wants a timeStamp that grows by one, ids other than 0, and no more sources than places."""
    many = tuple(Event('a "bell"', 0.0, 1.0, 30.0 * number, 0.0, 0.5, number) for number in range(6))
    text = live_text(LiveSettings("odas"), None)
    sounding = [(), many[:2], many[1:2], many, many[3:], ()]
    received = "".join(text(LiveFrame(number, 0.1 * number, each)) for number, each in enumerate(sounding))
    objects = as_odas_studio_reads(received + "{")
    assert [each["timeStamp"] for each in objects] == [1, 2, 3, 4, 5, 6]
    assert all(len(each["src"]) == ODAS_PLACES for each in objects)
    assert [[source["id"] for source in each["src"]] for each in objects] == [
        [0, 0, 0, 0],
        [1, 2, 0, 0],
        [0, 2, 0, 0],
        [1, 2, 3, 4],
        [5, 6, 0, 4],
        [0, 0, 0, 0],
    ]
    assert objects[3]["src"][1]["tag"] == 'a "bell"'
    for source in objects[3]["src"]:
        assert math.dist((source["x"], source["y"], source["z"]), (0, 0, 0)) == pytest.approx(1.0, abs=1e-3)
