"""What is told of events before they end: in order, early, each closed once, and the ended events as without it."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.events.decoder import Decoder, DecodeSettings
from edge.types import Event, EventUpdate, FrameRow, TrackFrames
from tests.edge.events.test_decoder import (
    NAMES,
    cut,
    decode_settings,
    decoded,
    track_frames,
    wild_frames,
    with_probability,
)


def phases(items):
    """All that is told of each event, by id: pairs of phase and event, in order."""
    told = {}
    for item in items:
        if isinstance(item, EventUpdate):
            told.setdefault(item.event.id, []).append((item.phase, item.event))
        elif isinstance(item, Event):
            told.setdefault(item.id, []).append(("end", item))
    return told


def begun_after_labels(decoder, frames):
    """Label frames from the onset of each event to that which was pushed when its begin was told."""
    found = {}
    for label, piece in enumerate(cut(frames, range(1, len(frames.activity)))):
        for item in decoder.push(piece):
            if isinstance(item, EventUpdate) and item.phase == "begin":
                found[item.event.id] = label - round(item.event.onset_s * 10)
    return found


@pytest.mark.parametrize(("begin_labels", "least", "later"), [(2, 3, 1), (1, 3, 0), (3, 3, 2), (9, 3, 2), (2, 1, 0)])
def test_begin_is_told_when_the_event_has_lasted(begin_labels, least, later):
    decoder = Decoder(DecodeSettings(begin_labels=begin_labels, min_duration_labels=least), NAMES, 0.1)
    frames = track_frames(40, (0, 50.0, 0.0, 4, 30), (1, -50.0, 0.0, 12, 33))
    assert begun_after_labels(decoder, frames) == {0: later, 1: later}


def test_by_default_a_begin_is_told_0_1_s_after_the_first_answer():
    found = begun_after_labels(Decoder(DecodeSettings(), NAMES, 0.1), track_frames(20, (0, 50.0, 0.0, 4, 15)))
    assert found == {0: 1}


def test_a_still_source_begins_and_ends():
    (told,) = phases(decoded([track_frames(40, (1, 30.0, -20.0, 5, 35))])).values()
    assert [phase for phase, _ in told] == ["begin", "end"]
    begin, end = (event for _, event in told)
    assert (begin.name, begin.onset_s, begin.offset_s) == ("dog", 0.5, pytest.approx(0.7))
    assert (round(begin.azimuth_deg), round(begin.elevation_deg), begin.id) == (30, -20, end.id)


def test_a_moving_source_is_told_where_it_is():
    """3 degrees a label frame: 10 degrees of smoothed direction in 4, but updates are at least 5 label frames apart."""
    told = phases(decoded([track_frames(45, (0, lambda label: 60.0 - 3.0 * label, 10.0, 0, 40))]))[0]
    kinds = [phase for phase, _ in told]
    assert kinds == ["begin", *["update"] * 7, "end"]
    for phase, event in told[:-1]:
        now_deg = 60.0 - 3.0 * (round(event.offset_s * 10) - 1)
        assert abs(event.azimuth_deg - now_deg) < 6.0, phase  # smoothing trails by 4.5
    gaps = [b.offset_s - a.offset_s for (_, a), (_, b) in itertools.pairwise(told[:-1])]
    assert min(gaps) == pytest.approx(0.5)
    turning = track_frames(45, (0, lambda label: 3.0 * label, 0.0, 0, 40))
    assert [phase for phase, _ in phases(decoded([turning], update_deg=180.0))[0]] == ["begin", "end"]


def test_angle_and_interval_of_updates():
    turning = track_frames(45, (0, lambda label: 90.0 if label >= 20 else 0.0, 0.0, 0, 40))
    told = phases(decoded([turning], join_deg=180.0, smoothing=0.0, update_deg=90.5))[0]
    assert [phase for phase, _ in told] == ["begin", "end"]
    told = phases(decoded([turning], join_deg=180.0, smoothing=0.0, update_deg=89.5))[0]
    assert [(phase, round(event.azimuth_deg)) for phase, event in told[:-1]] == [("begin", 0), ("update", 90)]
    assert told[1][1].offset_s == pytest.approx(2.1)  # at once, as the last time is long ago


def test_only_the_azimuth_of_a_flat_array_counts():
    rising = track_frames(45, (0, 179.0, lambda label: 2.0 * label, 0, 40))
    turning = track_frames(45, (0, lambda label: 175.0 + label, 60.0, 0, 40))  # 10 degrees are less than 10 in the sky
    for frames, updates in ((rising, 0), (turning, 3)):
        decoder = Decoder(DecodeSettings(), NAMES, 0.1, azimuth_only=True)
        told = phases([*decoder.push(frames), *decoder.finish()])[0]
        assert [phase for phase, _ in told].count("update") == updates
        assert {event.elevation_deg for _, event in told} == {None}


def test_what_turns_out_too_short_is_discarded():
    sound, kept = (2, 0.0, 0.0, 4, 6), (0, 90.0, 0.0, 3, 20)
    told = phases(decoded([track_frames(30, sound, kept)]))
    assert [phase for phase, _ in told[1]] == ["begin", "discarded"] and told[1][0][1].name == "door"
    assert [phase for phase, _ in told[0]] == ["begin", "end"]
    assert phases(decoded([track_frames(30, (2, 0.0, 0.0, 4, 5))])) == {}  # its begin was never told
    assert [p for p, _ in phases(decoded([track_frames(6, sound)]))[0]] == ["begin", "discarded"]  # the stream ends


def test_rows_and_updates_share_the_id():
    items = decoded([track_frames(40, (0, 50.0, 0.0, 0, 3), (1, -50.0, 0.0, 10, 30), (2, 120.0, 0.0, 12, 14))])
    assert (
        {item.track for item in items if isinstance(item, FrameRow)}
        == {item.id for item in items if isinstance(item, Event)}
        == {0, 1}
    )
    assert set(phases(items)) == {0, 1, 2}


def check_phases(told):
    """Begin, updates, and one end or discard; onset and class stay, time goes on."""
    for number, each in told.items():
        kinds = [phase for phase, _ in each]
        assert kinds[0] == "begin" and kinds[-1] in ("end", "discarded") and set(kinds[1:-1]) <= {"update"}
        assert {(event.id, event.name, event.onset_s) for _, event in each} == {
            (number, each[0][1].name, each[0][1].onset_s)
        }
        ends = [event.offset_s for _, event in each]
        assert ends == sorted(ends)


more_settings = {
    "begin_labels": st.integers(1, 8),
    "update_deg": st.floats(1.0, 180.0),
    "update_labels": st.integers(1, 9),
}


@settings(max_examples=25)
@given(
    st.integers(0, 10**6),
    st.lists(st.integers(0, 60), max_size=9),
    decode_settings,
    st.fixed_dictionaries(more_settings),
)
def test_every_begin_is_closed_once_for_any_input(seed, ends, changes, more):
    frames = wild_frames(seed, 60)
    items = decoded([frames], **changes, **more)
    check_phases(phases(items))
    assert decoded(cut(frames, ends), **changes, **more) == items
    ended = [item for item in items if isinstance(item, Event | FrameRow)]
    assert ended == [item for item in decoded([frames], **changes) if isinstance(item, Event | FrameRow)]


def test_random_answers_give_all_phases():
    """The property above is tested on answers that have them."""
    kinds = [
        phase
        for seed in range(20)
        for each in phases(decoded([wild_frames(seed, 60)], on=0.4, off=0.2, update_deg=5.0, update_labels=1)).values()
        for phase, _ in each
    ]
    assert min(kinds.count(kind) for kind in ("begin", "update", "discarded", "end")) > 10


def test_begin_of_an_event_that_new_settings_make_long_enough():
    decoder = Decoder(DecodeSettings(min_duration_labels=9, begin_labels=9), NAMES, 0.1)
    frames = track_frames(8, (0, 50.0, 0.0, 2, 8))
    items = list(decoder.push(frames))
    decoder.change(DecodeSettings(min_duration_labels=3))
    items += decoder.finish()
    assert [phase for phase, _ in phases(items)[0]] == ["begin", "end"]


def test_a_jump_closes_what_was_begun():
    early = track_frames(2, (0, 50.0, 0.0, 0, 2))
    late = TrackFrames(early.activity, early.direction, 100)
    told = phases(decoded([early, late]))
    assert {number: [phase for phase, _ in each] for number, each in told.items()} == {
        0: ["begin", "discarded"],
        1: ["begin", "discarded"],
    }


def test_fading_probability_is_in_the_score_so_far():
    told = phases(decoded([with_probability([1.0, 0.8, 0.6])], smoothing=0.0))[0]
    assert [event.score for _, event in told] == [pytest.approx(0.9), pytest.approx(0.8)]
    assert isinstance(told[0][1].score, float) and not isinstance(told[0][1].azimuth_deg, np.floating)
