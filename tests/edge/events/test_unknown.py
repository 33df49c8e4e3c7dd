"""Loud label frames, with and without classed sounds beside them."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from edge.arrays.profile import load_array
from edge.events.decoder import Decoder, DecodeSettings
from edge.events.per_class import ClassSettings
from edge.events.surroundings import MountSettings, SectorSettings, Surroundings
from edge.events.unknown import FIRST_ID, UNKNOWN, UnknownSettings, UnknownSounds, is_explained
from edge.frontend.loudness import Heard
from edge.geometry import unit_vector
from edge.nets.bundle import load_bundle
from edge.runtime.pipeline import build_pipeline, build_system
from edge.types import Event, EventUpdate, FrameRow, LiveFrame, TrackFrames
from tests.edge.scenes import check_direction, run_through

NAMES = ("bell", "dog")
QUIET, LOUD = 1e-6, 1e-3  # powers, 30 dB apart
LABELS = 60


def items_of(louds, classed=(), pieces=1, around=None, planar=False, classes=(), gap=None, **settings):
    """Items of 6 s; a loud sound is (azimuth, elevation, onset, offset) in labels, a classed one too, of class bell."""
    decoder = Decoder(DecodeSettings(), NAMES, 0.1, planar, around, classes)
    found = UnknownSounds(UnknownSettings(enabled=True, **settings), NAMES, 0.1, 0.3, planar, around, 100.0)
    items = []
    for start in range(0, LABELS, pieces):
        count = min(pieces, LABELS - start)
        activity, direction = np.zeros((count, 2, 2), np.float32), np.zeros((count, 2, 3), np.float32)
        for label in range(start, start + count):
            heard = Heard(QUIET, np.full(3, 0.01))
            for azimuth, elevation, onset, offset in louds:
                if onset <= label < offset:
                    heard = Heard(LOUD, 0.8 * unit_vector(azimuth, elevation))
            found.hear(label, heard)
            now = [sound for sound in classed if sound[2] <= label < sound[3]]
            for slot, (azimuth, elevation, _, _) in enumerate(now):
                activity[label - start, slot, 0] = 1.0
                direction[label - start, slot] = unit_vector(azimuth, elevation)
        if gap is not None and start in gap:
            continue
        tracks = TrackFrames(activity, direction, start)
        items += found.join(tracks, decoder.push(tracks))
    return items + list(found.finish(decoder.finish()))


def unknown(items):
    return [item for item in items if isinstance(item, Event) and item.name == UNKNOWN]


def spans(items):
    return [(round(10 * event.onset_s), round(10 * event.offset_s)) for event in unknown(items)]


def test_an_event_with_direction_level_and_share():
    items = items_of([(30, -20, 20, 35)])
    (event,) = unknown(items)
    assert spans(items) == [(20, 35)] and event.id == FIRST_ID and event.sector is None
    assert_allclose([event.azimuth_deg, event.elevation_deg], [30, -20], atol=1e-6)
    assert_allclose([event.level_db, event.score], [70.0, 0.8], atol=1e-6)
    (begin,) = [item for item in items if isinstance(item, EventUpdate)]
    assert (begin.phase, begin.event.id) == ("begin", event.id) and begin.event.offset_s - begin.event.onset_s == 0.5
    live = [item.frame for item in items if isinstance(item, LiveFrame) and item.sources]
    assert live == list(range(29, 43))  # half a second late, and until the gap is too long
    assert not any(isinstance(item, FrameRow) for item in items)


def test_what_is_short_or_quiet_or_early_is_none():
    assert spans(items_of([(0, 0, 20, 24)])) == []
    assert spans(items_of([(0, 0, 20, 30)], threshold_db=31.0)) == []
    assert spans(items_of([(0, 0, 0, 60)])) == []  # it is the background
    assert spans(items_of([(0, 0, 20, 24)], min_duration_s=0.4)) == [(20, 24)]


def test_gaps_and_other_directions():
    assert spans(items_of([(0, 0, 20, 26), (0, 0, 29, 35)])) == [(20, 35)]
    assert spans(items_of([(0, 0, 20, 26), (0, 0, 30, 36)])) == [(20, 26), (30, 36)]
    assert spans(items_of([(0, 0, 20, 26), (90, 0, 26, 32)])) == [(20, 26), (26, 32)]


@pytest.mark.parametrize(("azimuth_deg", "wanted"), [(30, []), (70, []), (80, [(20, 35)]), (-150, [(20, 35)])])
def test_a_sound_with_a_class_is_not_unknown_from_about_its_direction(azimuth_deg, wanted):
    items = items_of([(30, 0, 20, 35)], [(azimuth_deg, 0, 20, 35)])
    assert spans(items) == wanted
    assert [event.name for event in items if isinstance(event, Event) and event.name != UNKNOWN] == ["bell"]


def test_echoes_around_a_sound_with_a_class():
    """The class sounds from 25 to 30; what is loud half a second before and after it is its own."""
    assert spans(items_of([(0, 0, 20, 35)], [(0, 0, 25, 30)])) == []
    assert spans(items_of([(0, 0, 14, 42)], [(0, 0, 25, 30)])) == [(14, 20), (35, 42)]


def test_between_two_sounds_with_classes():
    two = [(-90, 0, 20, 35), (60, 0, 20, 35)]
    assert spans(items_of([(0, 0, 20, 35)], two)) == [] and spans(items_of([(160, 0, 20, 35)], two)) == [(20, 35)]


def test_a_class_that_is_switched_off_is_not_unknown():
    assert spans(items_of([(0, 0, 20, 35)], [(0, 0, 20, 35)], classes=[ClassSettings("bell", enabled=False)])) == []


def test_mounting_and_sectors():
    door = SectorSettings("door", (100.0, 140.0))
    television = SectorSettings("television", (-40.0, 0.0), ignore=True)
    around = Surroundings(MountSettings(yaw_deg=90.0), [door, television])
    (event,) = unknown(items_of([(30, 10, 20, 35)], around=around))
    assert (round(event.azimuth_deg), round(event.elevation_deg), event.sector) == (120, 10, "door")
    assert spans(items_of([(-100, 0, 20, 35)], around=around)) == []
    assert spans(items_of([(-85, 0, 20, 35)], [(-100, 0, 20, 35)], around=around)) == []  # leaks out of the sector


def test_a_flat_array_has_no_elevation():
    (event,) = unknown(items_of([(30, 50, 20, 35)], planar=True))
    assert round(event.azimuth_deg) == 30 and event.elevation_deg is None
    assert spans(items_of([(30, 70, 20, 35)], [(30, -20, 20, 35)], planar=True)) == []


def test_pieces_do_not_matter_and_other_items_stay():
    scene = [(0, 0, 14, 26), (90, 20, 34, 50)], [(180, 0, 16, 30), (90, 0, 44, 58)]
    whole = items_of(*scene)
    assert spans(whole) == [(14, 26)] + [span for span in spans(whole) if span[0] == 34]
    assert items_of(*scene, pieces=7) == items_of(*scene, pieces=60) == whole
    plain = items_of([], scene[1])

    def others(items):
        classed = [item for item in items if isinstance(item, Event | FrameRow) and item not in unknown(items)]
        live = [
            tuple(each for each in item.sources if each.name != UNKNOWN) for item in items if hasattr(item, "sources")
        ]
        return classed, live

    assert others(whole) == others(plain)


def test_a_gap_in_the_answers_ends_an_event():
    items = items_of([(0, 0, 20, 50)], gap=range(30, 40))
    assert spans(items) == [(20, 30), (40, 50)] and len({event.id for event in unknown(items)}) == 2


def test_what_sounds_with_a_class_can_add_up_to():
    classed = unit_vector([0.0, 90.0], [0.0, 0.0])
    for azimuth, elevation, wanted in ((45, 0, True), (45, 44, True), (45, 46, False), (-44, 0, True), (-46, 0, False)):
        assert is_explained(3.0 * unit_vector(azimuth, elevation), classed, 45.0) is wanted
    assert not is_explained(unit_vector(0, 0), np.zeros((0, 3)), 45.0)


def test_settings_and_models_that_make_no_sense():
    with pytest.raises(ValueError, match="got threshold_db 1, wanted 3 to 60"):
        UnknownSettings(threshold_db=1.0)
    with pytest.raises(ValueError, match="got a model with a class named unknown"):
        UnknownSounds(UnknownSettings(), ("bell", UNKNOWN), 0.1, 0.3)


class Deaf:
    """A system that answers as another one does, but hears nothing in label frames 21 to 28."""

    def __init__(self, system):
        self._system = system

    def __getattr__(self, name):
        return getattr(self._system, name)

    def step(self, spectra):
        return self._deaf(self._system.step(spectra))

    def finish(self):
        return self._deaf(self._system.finish())

    def _deaf(self, answers):
        for tracks in answers:
            labels = tracks.start + np.arange(len(tracks.activity))
            hears = ((labels < 21) | (labels > 28))[:, None, None]
            yield TrackFrames(tracks.activity * hears, tracks.direction * hears, tracks.start)


def test_in_the_loop_whatever_the_blocks(tiny_bundle, sounds, plane_wave, cut):
    """Noise from (100, 10) at 2.3 to 2.9 s, to which the system is deaf, between two sounds that it knows."""
    scene = sounds.copy()
    scene[55_200:69_600] += plane_wave(np.random.default_rng(5).normal(0, 0.003, 14_400), 100, 10)
    bundle = load_bundle(str(tiny_bundle))

    def through(size, enabled=True):
        wanted = UnknownSettings(enabled, min_duration_s=0.3)
        pipeline = build_pipeline(bundle, load_array("foa"), Deaf(build_system(bundle)), unknown=wanted)
        return run_through(pipeline, cut(scene, size))

    found = [through(size) for size in (479, 4096, 10**6)]
    assert found[1:] == found[:1] * 2
    (event,) = unknown(found[0])
    check_direction(event, (100, 10), within_deg=3.0)
    assert event.score > 0.9 and event.onset_s >= 2.2 and event.offset_s <= 3.0
    plain = through(4096, enabled=False)
    rows = [[item for item in items if isinstance(item, FrameRow)] for items in (plain, found[0])]
    assert rows[0] == rows[1] and not unknown(plain)
