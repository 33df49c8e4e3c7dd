import itertools
import pickle
from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from edge.events.decoder import Decoder, DecodeSettings
from edge.geometry import angle_between_deg, unit_vector
from edge.types import Event, EventUpdate, FrameRow, TrackFrames

NAMES = ("bell", "dog", "door")
SLOTS = 3


def track_frames(labels, *sounds, seed=None):
    """Perfect answers: a sound is (class, azimuth, elevation, onset, offset), the offset exclusive, in labels.

    Angles may be functions of the label. With a seed the slots of every label frame are shuffled.
    """
    activity = np.zeros((labels, SLOTS, len(NAMES)), np.float32)
    direction = np.zeros((labels, SLOTS, 3), np.float32)
    rng = np.random.default_rng(seed)
    for label in range(labels):
        now = [sound for sound in sounds if sound[3] <= label < sound[4]]
        slots = rng.permutation(SLOTS) if seed is not None else range(SLOTS)
        for slot, (class_index, azimuth, elevation, _, _) in zip(slots, now, strict=False):
            angles = [angle(label) if callable(angle) else angle for angle in (azimuth, elevation)]
            activity[label, slot, class_index] = 1.0
            direction[label, slot] = unit_vector(*angles)
    return TrackFrames(activity, direction, 0)


def cut(frames, ends):
    """The same answers in pieces."""
    edges = [0, *sorted(ends), len(frames.activity)]
    return [
        TrackFrames(frames.activity[a:b], frames.direction[a:b], frames.start + a) for a, b in itertools.pairwise(edges)
    ]


def decoded(pushes, **changes):
    decoder = Decoder(DecodeSettings(**changes), NAMES, 0.1)
    items = [item for frames in pushes for item in decoder.push(frames)]
    return items + list(decoder.finish())


def events_and_rows(items):
    return [i for i in items if isinstance(i, Event)], [i for i in items if isinstance(i, FrameRow)]


def spans(items):
    """Class, onset and offset in labels of all events, and those of all tracks of rows, both sorted."""
    events, rows = events_and_rows(items)
    of_events = sorted((NAMES.index(e.name), round(e.onset_s * 10), round(e.offset_s * 10)) for e in events)
    frames = defaultdict(list)
    for row in rows:
        frames[row.track, row.class_index].append(row.frame)
    for numbers in frames.values():
        assert numbers == list(range(numbers[0], numbers[-1] + 1))  # no hole, no row twice
    of_rows = sorted((class_index, numbers[0], numbers[-1] + 1) for (_, class_index), numbers in frames.items())
    assert [row.frame for row in rows] == sorted(row.frame for row in rows)
    return of_events, of_rows


def only(*sounds):
    return sorted((sound[0], *sound[3:]) for sound in sounds)


def test_perfect_track_is_exactly_its_event():
    sound = (1, 30.0, -20.0, 5, 20)
    events, rows = events_and_rows(decoded([track_frames(30, sound)]))
    (event,) = events
    assert (event.name, event.onset_s, event.offset_s) == ("dog", 0.5, 2.0)
    assert_allclose([event.azimuth_deg, event.elevation_deg, event.score], [30, -20, 1.0], atol=1e-4)
    assert rows == [FrameRow(label, 1, rows[0].track, 30, -20) for label in range(5, 20)]
    assert all(isinstance(value, float) for value in (event.onset_s, event.azimuth_deg, event.score))  # for JSON


@st.composite
def scenes(draw):
    """Sounds from three directions far apart, each with pauses too long to be bridged."""
    sounds = []
    for azimuth, elevation in ((10, 30), (130, -10), (-110, 0)):
        label = draw(st.integers(0, 10))
        for _ in range(draw(st.integers(0, 3))):
            end = label + draw(st.integers(3, 15))
            sounds.append((draw(st.integers(0, 2)), azimuth, elevation, label, end))
            label = end + draw(st.integers(4, 12))
    return sounds


@given(scenes(), st.integers(0, 99))
def test_perfect_tracks_are_exactly_their_events_whatever_the_slots(sounds, seed):
    labels = max([sound[4] for sound in sounds], default=3)
    items = decoded([track_frames(labels, *sounds, seed=seed)])
    of_events, of_rows = spans(items)
    assert of_events == of_rows == only(*sounds)
    for event in events_and_rows(items)[0]:
        where = unit_vector(event.azimuth_deg, event.elevation_deg)
        assert any(
            NAMES[c] == event.name
            and on == round(event.onset_s * 10)
            and angle_between_deg(where, unit_vector(a, e)) < 0.1
            for c, a, e, on, _ in sounds
        )


def test_events_of_a_flat_array_have_no_elevation():
    decoder = Decoder(DecodeSettings(), NAMES, 0.1, azimuth_only=True)
    events, rows = events_and_rows([*decoder.push(track_frames(20, (0, 40.0, 25.0, 3, 12))), *decoder.finish()])
    assert [(event.azimuth_deg, event.elevation_deg) for event in events] == [(pytest.approx(40.0, abs=1e-3), None)]
    assert {(row.azimuth_deg, row.elevation_deg) for row in rows} == {(40, 0)}


def test_slots_that_swap_do_not_break_events():
    sounds = [(0, 40.0, 0.0, 0, 60), (2, -40.0, 10.0, 3, 50), (1, 170.0, 0.0, 10, 40)]
    for seed in range(5):
        of_events, of_rows = spans(decoded([track_frames(70, *sounds, seed=seed)]))
        assert of_events == of_rows == only(*sounds)


def test_simultaneous_events_of_one_class_are_separated_by_angle():
    sounds = [(0, 50.0, 0.0, 0, 30), (0, -20.0, 0.0, 10, 40)]
    events, rows = events_and_rows(decoded([track_frames(50, *sounds, seed=1)]))
    assert [(e.name, round(e.azimuth_deg), e.onset_s, e.offset_s) for e in events] == [
        ("bell", 50, 0.0, 3.0),
        ("bell", -20, 1.0, 4.0),
    ]
    tracks = {azimuth: {row.track for row in rows if row.azimuth_deg == azimuth} for azimuth in (50, -20)}
    assert len(tracks[50]) == len(tracks[-20]) == 1 and tracks[50] != tracks[-20]


def test_two_classes_from_one_place_at_once_are_two_events():
    sounds = [(0, 50.0, 0.0, 0, 30), (1, 50.0, 0.0, 10, 40)]
    of_events, of_rows = spans(decoded([track_frames(50, *sounds, seed=3)]))
    assert of_events == of_rows == only(*sounds)


@pytest.mark.parametrize("missing", [1, 2, 3])
def test_short_silences_are_bridged(missing):
    sounds = [(0, 50.0, 0.0, 0, 10), (0, 50.0, 0.0, 10 + missing, 20)]
    of_events, of_rows = spans(decoded([track_frames(25, *sounds)], max_gap_labels=3))
    assert of_events == of_rows == [(0, 0, 20)]


@pytest.mark.parametrize(("missing", "gap"), [(4, 3), (1, 0), (3, 2)])
def test_longer_silences_end_an_event(missing, gap):
    sounds = [(0, 50.0, 0.0, 0, 10), (0, 50.0, 0.0, 10 + missing, 20)]
    of_events, of_rows = spans(decoded([track_frames(25, *sounds)], off=0.1, max_gap_labels=gap))
    assert of_events == of_rows == only(*sounds)


@pytest.mark.parametrize(
    ("least", "gap", "sounding"),
    [
        (3, 5, [(5, 6), (11, 20)]),  # long before it is known that the event lasts
        (3, 5, [(5, 6), (11, 12)]),
        (1, 6, [(5, 6), (12, 13), (19, 20)]),
        (6, 1, [(5, 7), (8, 10), (11, 12)]),
        (6, 6, [(5, 6), (12, 13)]),
    ],
)
def test_rows_over_long_bridges_are_not_lost(least, gap, sounding):
    sounds = [(0, 50.0, 0.0, begin, end) for begin, end in sounding]
    settings = {"off": 0.05, "smoothing": 0.9, "min_duration_labels": least, "max_gap_labels": gap}
    whole = decoded([track_frames(40, *sounds)], **settings)
    of_events, of_rows = spans(whole)
    assert of_events == of_rows == [(0, 5, sounding[-1][1])]
    assert decoded(cut(track_frames(40, *sounds), range(1, 40)), **settings) == whole


def test_bridged_silence_keeps_the_direction_from_before():
    sounds = [(0, 0.0, 0.0, 0, 10), (0, 20.0, 0.0, 12, 20)]
    _, rows = events_and_rows(decoded([track_frames(25, *sounds)], off=0.1))
    azimuths = [row.azimuth_deg for row in rows]
    assert azimuths[9:12] == [0, 0, 0] and azimuths[12] > 5 and azimuths[19] > 18


@pytest.mark.parametrize(
    ("labels", "least", "kept"), [(1, 1, True), (2, 3, False), (3, 3, True), (4, 5, False), (5, 5, True)]
)
def test_events_shorter_than_the_minimum_are_dropped(labels, least, kept):
    sound = (2, 0.0, 0.0, 4, 4 + labels)
    of_events, of_rows = spans(decoded([track_frames(20, sound)], min_duration_labels=least))
    assert of_events == of_rows == (only(sound) if kept else [])


def with_probability(probabilities):
    activity = np.zeros((len(probabilities), 1, len(NAMES)), np.float32)
    activity[:, 0, 1] = probabilities
    direction = np.tile(unit_vector(10, 0), (len(probabilities), 1, 1)).astype(np.float32)
    return TrackFrames(activity, direction, 0)


def test_on_and_off_have_their_own_thresholds():
    frames = with_probability([0.4, 0.49, 0.51, 0.35, 0.31, 0.4, 0.29, 0.45, 0.49, 0.6, 0.6])
    assert spans(decoded([frames], smoothing=0.0, min_duration_labels=1))[0] == [(1, 2, 6), (1, 9, 11)]


def test_smoothing_carries_over_a_dip_and_keeps_out_a_spike():
    dip = with_probability([0.9] * 5 + [0.0] + [0.9] * 5)
    assert spans(decoded([dip]))[0] == [(1, 0, 11)]
    assert spans(decoded([dip], smoothing=0.0))[0] == [(1, 0, 5), (1, 6, 11)]
    spike = with_probability([0.1] * 5 + [0.9] + [0.1] * 5)
    assert spans(decoded([spike], min_duration_labels=1))[0] == []
    assert spans(decoded([spike], min_duration_labels=1, smoothing=0.0))[0] == [(1, 5, 6)]


def test_score_is_the_mean_probability():
    (event,) = events_and_rows(decoded([with_probability([0.6, 0.8, 1.0])], smoothing=0.0))[0]
    assert event.score == pytest.approx(0.8, abs=1e-6)


def test_another_class_at_the_same_place_is_another_event():
    sounds = [(0, 50.0, 20.0, 0, 20), (1, 50.0, 20.0, 20, 40)]
    of_events, of_rows = spans(decoded([track_frames(45, *sounds)]))
    assert of_events == of_rows
    (bell, began, changed), (dog, changed_too, ended) = of_events
    assert (bell, began, dog, ended) == (0, 0, 1, 40)
    assert changed == changed_too and 20 <= changed <= 22  # what smoothing costs


def test_moving_source_is_one_event_and_its_rows_follow_it():
    sound = (0, lambda label: 60.0 - 3.0 * label, 10.0, 0, 40)
    items = decoded([track_frames(45, sound)])
    of_events, of_rows = spans(items)
    assert of_events == of_rows == [(0, 0, 40)]
    for row in events_and_rows(items)[1]:
        assert abs(row.azimuth_deg - (60 - 3 * row.frame)) <= 6  # smoothing trails by 4.5


def test_sources_that_cross_keep_their_classes():
    right, left = (0, lambda label: 60.0 - 3.0 * label, 0.0, 0, 41), (1, lambda label: 3.0 * label - 60.0, 0.0, 0, 41)
    for seed in range(4):
        of_events, _ = spans(decoded([track_frames(45, right, left, seed=seed)]))
        assert of_events == [(0, 0, 41), (1, 0, 41)]


def test_tracks_cross_180_degrees():
    sound = (0, lambda label: 179.0 if label % 2 else -179.0, 0.0, 0, 20)
    items = decoded([track_frames(25, sound)])
    (event,), rows = events_and_rows(items)
    assert abs(event.azimuth_deg) > 178.5 and event.offset_s == 2.0
    assert all(abs(row.azimuth_deg) >= 178 for row in rows)


def wild_frames(seed, labels):
    """Noisy answers: sources that wander, flicker, change class and slot, and false alarms."""
    rng = np.random.default_rng(seed)
    activity = rng.uniform(0, 1, (labels, SLOTS, len(NAMES))).astype(np.float32) ** rng.integers(1, 4)
    centres = rng.normal(size=(SLOTS, 3)) + np.cumsum(rng.normal(0, 0.05, (labels, SLOTS, 3)), axis=0)
    direction = centres / np.linalg.norm(centres, axis=-1, keepdims=True)
    empty = rng.random((labels, SLOTS)) < rng.uniform(0.05, 0.6)
    activity[empty], direction[empty] = 0.0, 0.0
    return TrackFrames(activity, direction.astype(np.float32), 0)


decode_settings = st.builds(
    lambda off, rise, **rest: {"off": off, "on": min(0.95, off + rise), **rest},
    off=st.floats(0.05, 0.6),
    rise=st.floats(0.0, 0.4),
    smoothing=st.floats(0.0, 0.95),
    join_deg=st.floats(5.0, 90.0),
    unlike_class_deg=st.floats(0.0, 90.0),
    min_duration_labels=st.integers(1, 6),
    max_gap_labels=st.integers(0, 6),
)


@settings(max_examples=60)
@given(st.integers(0, 10**6), st.integers(0, 60), decode_settings)
def test_rows_span_the_events_for_any_input(seed, labels, changes):
    items = decoded([wild_frames(seed, labels)], **changes)
    of_events, of_rows = spans(items)
    assert of_events == of_rows
    for event in events_and_rows(items)[0]:
        assert event.onset_s >= 0.0 and event.offset_s <= labels * 0.1 + 1e-9
        assert event.offset_s - event.onset_s > (changes["min_duration_labels"] - 0.5) * 0.1
        assert 0.0 < event.score <= 1.0 + 1e-6


def test_random_answers_give_events():
    """The property above is tested on answers that do contain events."""
    counts = [
        len(spans(decoded([wild_frames(seed, 60)], on=0.4, off=0.2, min_duration_labels=2))[0]) for seed in range(20)
    ]
    assert sum(counts) > 40


@settings(max_examples=60)
@given(st.integers(0, 10**6), st.lists(st.integers(0, 40), max_size=45), decode_settings)
def test_how_the_answers_are_cut_does_not_matter(seed, ends, changes):
    frames = wild_frames(seed, 40)
    assert decoded(cut(frames, ends), **changes) == decoded([frames], **changes)


def test_jump_in_start_closes_events():
    sound = (0, 50.0, 0.0, 0, 20)
    early = track_frames(20, sound)
    late = TrackFrames(early.activity, early.direction, 100)
    decoder = Decoder(DecodeSettings(), NAMES, 0.1)
    assert [i for i in decoder.push(early) if isinstance(i, Event)] == []
    first = next(iter(decoder.push(late)))
    assert (first.onset_s, first.offset_s) == (0.0, 2.0)
    of_events, of_rows = spans(decoded([early, late]))
    assert of_events == of_rows == [(0, 0, 20), (0, 100, 120)]


def test_jump_back_begins_again():
    frames = track_frames(20, (0, 50.0, 0.0, 0, 20))
    late = TrackFrames(frames.activity, frames.direction, 100)
    events, rows = events_and_rows(decoded([late, frames]))
    assert [round(event.onset_s * 10) for event in events] == [100, 0]
    assert [row.frame for row in rows] == [*range(100, 120), *range(20)]


def test_jump_over_nothing_open_keeps_counting():
    sound = (0, 50.0, 0.0, 0, 5)
    frames = track_frames(5, sound)
    silence = track_frames(10)
    pushes = [silence, TrackFrames(frames.activity, frames.direction, 30)]
    assert spans(decoded(pushes))[1] == [(0, 30, 35)]


def test_reset_equals_a_new_decoder():
    frames = wild_frames(1, 50)
    decoder = Decoder(DecodeSettings(), NAMES, 0.1)
    list(decoder.push(frames))
    decoder.reset()
    assert [*decoder.push(frames), *decoder.finish()] == decoded([frames])


def test_next_stream_after_finish_begins_without_the_past():
    sound = (0, 50.0, 0.0, 0, 20)
    frames = track_frames(20, sound)
    decoder = Decoder(DecodeSettings(), NAMES, 0.1)
    assert len(events_and_rows([*decoder.push(frames), *decoder.finish()])[0]) == 1
    assert list(decoder.finish()) == []


def test_rows_of_a_long_event_are_written_while_it_lasts():
    decode = DecodeSettings()
    decoder = Decoder(decode, NAMES, 0.1)
    frames = track_frames(100, (0, 50.0, 0.0, 0, 100), (1, -50.0, 0.0, 0, 100))
    rows, sizes = 0, []
    for repeat in range(20):
        items = list(decoder.push(TrackFrames(frames.activity, frames.direction, repeat * 100)))
        rows += sum(isinstance(item, FrameRow) for item in items)
        assert sum(isinstance(item, EventUpdate) for item in items) == (2 if repeat == 0 else 0)  # the begins
        assert not any(isinstance(item, Event) for item in items)
        assert rows == 2 * (repeat * 100 + 100 - decode.delay_labels)
        sizes.append(len(pickle.dumps(decoder)))
    assert max(sizes) < sizes[0] + 100


def test_many_events_leave_nothing_behind():
    decoder = Decoder(DecodeSettings(), NAMES, 0.1)
    frames = track_frames(100, *[(0, 50.0, 0.0, at, at + 4) for at in range(0, 80, 10)], (1, 0.0, 0.0, 3, 5))
    sizes = []
    for repeat in range(20):
        events, _ = events_and_rows(decoder.push(TrackFrames(frames.activity, frames.direction, repeat * 100)))
        assert len(events) == 8
        sizes.append(len(pickle.dumps(decoder)))
    assert max(sizes) < sizes[0] + 100


def test_rows_are_not_later_than_delay_labels():
    decode = DecodeSettings(min_duration_labels=4, max_gap_labels=2)
    decoder = Decoder(decode, NAMES, 0.1)
    for label, piece in enumerate(cut(track_frames(30, (0, 50.0, 0.0, 0, 30)), range(1, 30))):
        rows = [item.frame for item in decoder.push(piece) if isinstance(item, FrameRow)]
        assert rows == ([label - decode.delay_labels] if label >= decode.delay_labels else [])


def test_empty_track_frames_yield_nothing():
    decoder = Decoder(DecodeSettings(), NAMES, 0.1)
    assert list(decoder.push(TrackFrames(np.zeros((0, 3, 3), np.float32), np.zeros((0, 3, 3), np.float32), 0))) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"on": 0.2},
        {"off": 0.0},
        {"on": 1.0},
        {"smoothing": 1.0},
        {"smoothing": -0.1},
        {"join_deg": 0.0},
        {"unlike_class_deg": -1.0},
        {"min_duration_labels": 0},
        {"max_gap_labels": -1},
        {"begin_labels": 0},
        {"update_labels": 0},
        {"update_deg": 0.0},
        {"update_deg": 180.1},
    ],
)
def test_invalid_settings_are_refused(changes):
    with pytest.raises(ValueError, match=r"^got .*, wanted "):
        DecodeSettings(**changes)
