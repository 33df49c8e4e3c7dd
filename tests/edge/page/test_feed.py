import base64
import json

import numpy as np
import pytest

from edge.frontend.stft import StftSettings
from edge.page.feed import BANDS, FLOOR_DB, Feed
from edge.types import AudioBlock, Event, EventUpdate, FrameRow, LiveFrame, Spectra, TrackFrames

STFT = StftSettings()
EVENT = Event("bell", 1.0, 1.5, 90.0, -10.0, 0.8, 7)


class Pages:
    def __init__(self, pages=1):
        self.pages, self.sent = pages, []

    def send(self, kind, data):
        self.sent.append((kind, json.loads(data)))


def step(feed, label, level=1.0):
    bins = np.full((STFT.frames_per_label, 4, STFT.nfft // 2 + 1), level, np.complex64)
    feed.stepped(Spectra(bins, label * STFT.frames_per_label), 1.5)


def tracks(label, activity, direction):
    return TrackFrames(np.array([activity], np.float32), np.array([direction], np.float32), label)


def test_every_second_step_is_sent():
    pages = Pages()
    feed = Feed(STFT, None, pages)
    for label in range(4):
        step(feed, label)
    assert [(kind, message["t"]) for kind, message in pages.sent] == [("step", 0.2), ("step", 0.4)]


def test_nothing_is_sent_nor_kept_while_no_page_is_open():
    pages = Pages(0)
    feed = Feed(STFT, None, pages)
    feed.hear(AudioBlock(np.ones((2400, 4), np.float32), 0))
    feed.answered(tracks(0, [[0.9, 0.1]], [[1, 0, 0]]))
    feed.emit(LiveFrame(0, 0.1, (EVENT,)))
    for label in range(2):
        step(feed, label)
    pages.pages = 1
    step(feed, 3)
    assert pages.sent == [("step", {"t": 0.4, "mel": pages.sent[0][1]["mel"]})] and feed.times(100.0).p50_ms == 1.5


def test_what_a_step_tells():
    pages = Pages()
    feed = Feed(STFT, None, pages)
    feed.hear(AudioBlock(np.array([[1.0, 0.1, 0.0, -0.01]] * 2400, np.float32), 0))
    feed.answered(tracks(4, [[0.2, 0.96], [0.004, 0.0]], [[0, 1, 1], [0, 0, 0]]))
    feed.emit(LiveFrame(4, 0.5, (EVENT,)))
    step(feed, 1)
    message = pages.sent[0][1]
    assert message["levels"] == [0.0, -20.0, -100.0, -40.0]
    assert message["answer"] == {"at": 0.5, "classes": [[1, 96], [0, 20]], "sources": [[90, 45, 1, 0.96]]}
    assert message["places"] == [[7, 0.5, 90, -10]]
    assert len(base64.b64decode(message["mel"])) == BANDS


@pytest.mark.parametrize(("level", "byte"), [(0.0, 0), (1e3, 255)])
def test_the_ends_of_the_spectrogram(level, byte):
    pages = Pages()
    feed = Feed(STFT, None, pages)
    step(feed, 1, level)
    assert set(base64.b64decode(pages.sent[0][1]["mel"])) == {byte} and FLOOR_DB < 0.0


def test_a_level_in_the_middle_is_the_mean_of_both_steps():
    pages = Pages()
    feed = Feed(STFT, None, pages)
    for label, level in ((0, 0.0), (1, np.sqrt(2.0)), (2, 1.0), (3, 1.0)):
        step(feed, label, level)
    first, second = (message["mel"] for _, message in pages.sent)
    assert first == second


def test_events_are_sent_with_and_without_a_page():
    for count in (0, 1):
        pages = Pages(count)
        feed = Feed(STFT, None, pages)
        for item in (EventUpdate("begin", EVENT), FrameRow(1, 0, 7, 90, -10), EventUpdate("update", EVENT), EVENT):
            feed.emit(item)
        assert [(kind, record["phase"], record["id"]) for kind, record in pages.sent] == [
            ("event", phase, 7) for phase in ("begin", "update", "end")
        ]


def test_health_names_the_events_that_are_not_finished():
    pages = Pages()
    feed = Feed(STFT, None, pages)
    other = Event("bell", 1.0, 1.5, 90.0, None, 0.8, 9)
    for item in (EventUpdate("begin", EVENT), EventUpdate("begin", other), EventUpdate("discarded", other)):
        feed.emit(item)
    feed.health({"problems": []})
    assert pages.sent[-1] == ("health", {"problems": [], "live": [7]})
