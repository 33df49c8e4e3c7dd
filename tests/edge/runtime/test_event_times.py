"""When events are said to have been: over long streams with gaps, and whatever the wall clock does."""

import json
import random
import sys
import time
from datetime import UTC, datetime, timedelta
from io import BytesIO
from types import SimpleNamespace

import numpy as np
import pytest

from edge.audio.capture_queue import CaptureQueue
from edge.audio.resample import Resampler
from edge.audio.sources import resample_blocks
from edge.cli import main
from edge.types import AudioBlock, Event

DAY_S = 86400
SOUNDS_S = (1.0, 3.0)  # onsets of the scene


def with_gaps(samples, rate_hz, begins):
    """The same scene again and again, beginning at these samples; nothing of what is between was heard."""
    end = 0
    for begin in begins:
        for at in range(0, len(samples), rate_hz // 10):
            block = samples[at : at + rate_hz // 10]
            yield AudioBlock(block, begin + at, begin + at - end)
            end = begin + at + len(block)


@pytest.mark.parametrize("rate_hz", [16000, 24000, 44100, 48000])
def test_times_are_exact_over_months_with_gaps(pipeline, sounds, rate_hz):
    """Scenes that begin with label frames, the last after 100 days: not a microsecond adds up."""
    begins_s = [0, 3600, 3605.1, DAY_S, 100 * DAY_S + 0.7]
    up = Resampler(24000, rate_hz, 4)
    scene = np.concatenate([up.push(sounds), up.finish()])[: 5 * rate_hz]
    blocks = with_gaps(scene, rate_hz, [round(begin_s * rate_hz) for begin_s in begins_s])
    items = [item for block in resample_blocks(blocks, Resampler(rate_hz, 24000, 4)) for item in pipeline.push(block)]
    events = [item for item in (*items, *pipeline.finish()) if isinstance(item, Event)]
    wanted_s = [begin_s + onset_s for begin_s in begins_s for onset_s in SOUNDS_S]
    assert [event.onset_s for event in events] == pytest.approx(wanted_s, abs=1e-6)
    assert [event.offset_s - event.onset_s for event in events] == pytest.approx([1.0] * len(events), abs=1e-6)


@pytest.mark.parametrize("begin_s", [3600.0371, DAY_S + 1 / 3, 100 * DAY_S + 0.0999])
def test_times_are_those_of_the_label_frame_after_a_gap_of_any_length(pipeline, sounds, begin_s):
    blocks = with_gaps(sounds, 24000, [0, round(begin_s * 24000)])
    events = [item for block in blocks for item in pipeline.push(block) if isinstance(item, Event)]
    events += [item for item in pipeline.finish() if isinstance(item, Event)]
    late_s = np.array([event.onset_s for event in events[2:]]) - begin_s - SOUNDS_S
    assert len(events) == 4 and np.all(np.abs(late_s) <= 0.1)


def test_losses_do_not_add_up():
    """A device that overflows every few seconds, as it would tell it: callbacks come up to 50 ms late."""
    draw, rate_hz, now_s = random.Random(0), 16000, 0.0
    capture = CaptureQueue("mic", 1, rate_hz, max_buffers=4, clock=lambda: now_s)
    heard_s, buffer = 0.0, bytes(4 * 1600)  # end of the last buffer
    for number in range(20_000):
        lost_s = draw.uniform(0.1, 3.0) if number % 50 == 49 else 0.0
        heard_s += lost_s + 0.1
        now_s = heard_s + draw.uniform(0.0, 0.05)
        capture.put(buffer, overflowed=lost_s > 0)
        block = capture.take()
        assert (block.lost > 0) == (lost_s > 0)
        assert abs((block.start + 1600) / rate_hz - heard_s) < 0.1
    assert heard_s > 2000


def test_a_wall_clock_that_jumps_does_not_move_events(tiny_bundle, sounds, tmp_path, monkeypatch):
    """It goes back by a day whenever it is asked: the samples go on, and their time is told by it as it is then."""
    started = datetime(2024, 5, 1, 12, 0, tzinfo=UTC)

    class Jumping(datetime):
        asked = 0

        @classmethod
        def now(cls, zone=None):
            cls.asked += 1
            return started - timedelta(days=cls.asked - 1)

    monkeypatch.setattr("edge.commands.live.introduce", lambda *args: None)  # a log record asks for the time too
    monkeypatch.setattr("edge.audio.stream_time.datetime", Jumping)
    monkeypatch.setattr(time, "time", lambda: Jumping.now().timestamp())
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=BytesIO(sounds.astype("<f4").tobytes())))
    (tmp_path / "a.toml").write_text('[stdin]\nsample_type = "f32le"\n')
    options = ("--source", "-", "--config", str(tmp_path / "a.toml"), "--sink", f"jsonl:{tmp_path}/a.jsonl")
    assert main(["run", "--model", str(tiny_bundle), *options]) == 0
    events = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert [event["onset_s"] for event in events] == list(SOUNDS_S)
    late = [started - datetime.fromisoformat(event["time"]) for event in events]
    assert [each.days for each in late] == list(range(len(SOUNDS_S))) and Jumping.asked == len(SOUNDS_S)
