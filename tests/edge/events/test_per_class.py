"""What is asked of some classes: thresholds, duration, a pause between events, and classes that are not heard."""

import pytest

from edge.events.decoder import Decoder, DecodeSettings
from edge.events.per_class import ClassSettings
from edge.types import Event, FrameRow
from tests.edge.events.test_decoder import NAMES, decoded, only, spans, track_frames, wild_frames, with_probability


def decoded_with(frames, *classes, **changes):
    decoder = Decoder(DecodeSettings(**changes), NAMES, 0.1, classes=classes)
    return [*decoder.push(frames), *decoder.finish()]


def test_nothing_changes_without_settings_of_a_class():
    for seed in range(10):
        frames = wild_frames(seed, 80)
        assert decoded_with(frames, ClassSettings("dog")) == decoded([frames])


def test_thresholds_of_a_class():
    frames = with_probability([0.4, 0.55, 0.65, 0.55, 0.4, 0.35, 0.2])  # a dog
    settings = {"smoothing": 0.0, "min_duration_labels": 1}
    assert spans(decoded_with(frames, **settings))[0] == [(1, 1, 6)]
    assert spans(decoded_with(frames, ClassSettings("dog", on=0.6, off=0.5), **settings))[0] == [(1, 2, 4)]
    assert spans(decoded_with(frames, ClassSettings("bell", on=0.9), **settings))[0] == [(1, 1, 6)]


def test_duration_of_a_class_and_its_rows():
    """Rows of all classes wait for the class that needs longest."""
    short, long = (0, 50.0, 0.0, 2, 8), (2, -50.0, 0.0, 3, 9)
    items = decoded_with(track_frames(30, short, long), ClassSettings("door", min_duration_labels=7))
    assert spans(items) == (only(short), only(short))
    assert spans(decoded_with(track_frames(30, short, long), ClassSettings("door", min_duration_labels=6))) == (
        only(short, long),
        only(short, long),
    )


def test_no_event_begins_while_its_class_cools_down():
    knocks = [(2, 50.0, 0.0, at, at + 4) for at in (0, 10, 30, 45)]
    barks = [(1, -50.0, 0.0, at, at + 4) for at in (1, 11)]
    cooling = ClassSettings("door", cooldown_s=2.0)
    of_events, of_rows = spans(decoded_with(track_frames(60, *knocks, *barks), cooling))
    assert of_events == of_rows == only(knocks[0], knocks[2], *barks)  # 10 is within 2 s of 4, 45 within 2 s of 34
    lasting = (2, 50.0, 0.0, 10, 40)
    (_, late) = [
        item for item in decoded_with(track_frames(50, knocks[0], lasting), cooling) if isinstance(item, Event)
    ]
    assert late.onset_s == pytest.approx(2.4)  # what still sounds is told when the time is over


def test_a_stream_that_begins_again_is_not_cooling_down():
    frames = track_frames(20, (2, 50.0, 0.0, 0, 5))
    decoder = Decoder(DecodeSettings(), NAMES, 0.1, classes=[ClassSettings("door", cooldown_s=60.0)])
    items = [*decoder.push(frames), *decoder.push(frames), *decoder.finish()]
    assert sum(isinstance(item, Event) for item in items) == 2


def test_a_class_that_is_not_heard_leaves_its_place_to_others():
    frames = track_frames(30, (0, 50.0, 0.0, 2, 20), (1, -50.0, 0.0, 5, 25))
    off = ClassSettings("bell", enabled=False)
    of_events, of_rows = spans(decoded_with(frames, off))
    assert of_events == of_rows == [(1, 5, 25)]
    assert not any(isinstance(item, FrameRow) and item.class_index == 0 for item in decoded_with(frames, off))


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ([ClassSettings("cat")], r"classes: got name 'cat', wanted one of bell, dog, door"),
        ([ClassSettings("dog"), ClassSettings("dog")], "classes: got the names dog, dog, wanted each once"),
        ([ClassSettings("dog", on=0.2)], r"classes: dog: got on 0\.2 and off 0\.3, wanted 0 < off <= on < 1"),
    ],
)
def test_settings_that_make_no_sense(classes, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        Decoder(DecodeSettings(), NAMES, 0.1, classes=classes)


@pytest.mark.parametrize("changes", [{"cooldown_s": -1.0}, {"min_duration_labels": 0}])
def test_values_out_of_range(changes):
    with pytest.raises(ValueError, match=r"^got .*, wanted "):
        ClassSettings("dog", **changes)


def test_new_settings_that_do_not_fit_a_class_change_nothing():
    decoder = Decoder(DecodeSettings(), NAMES, 0.1, classes=[ClassSettings("dog", on=0.4)])
    with pytest.raises(ValueError, match=r"^classes: dog: got on"):
        decoder.change(DecodeSettings(on=0.6, off=0.5))
    assert len([i for i in decoder.push(track_frames(30, (1, 0.0, 0.0, 0, 9))) if isinstance(i, Event)]) == 1
