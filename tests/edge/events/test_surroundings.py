"""Mounting: a plane wave at an array that hangs somehow; sectors: what they hold, name and ignore."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from edge.arrays.encoder import foa_encoder
from edge.arrays.profile import load_array
from edge.events.decoder import Decoder, DecodeSettings
from edge.events.surroundings import MountSettings, SectorSettings, Surroundings
from edge.geometry import angle_between_deg, unit_vector
from edge.types import AudioBlock, Event, FrameRow, LiveFrame, TrackFrames
from tests.edge.events.test_decoder import NAMES, track_frames
from tests.edge.plane_waves import heard_by_omnis

RATE_HZ = 24000
TETRAHEDRON = replace(load_array("open_tetra"), capsule_pattern="omni")
FRONT, LEFT, UP = np.eye(3)


def answer(directions):
    """One label frame for each direction (n, 3)."""
    directions = np.asarray(directions, np.float32)[:, None]
    return TrackFrames(np.ones((len(directions), 1, 3), np.float32), directions, 0)


def heard_from(positions_m, direction):
    """Unit vector in the frame of the array, of a noise whose wave passes omni capsules at these places in the room."""
    noise = np.random.default_rng(0).normal(0, 0.1, 12000)
    encode = foa_encoder(TETRAHEDRON, RATE_HZ)
    block = AudioBlock(heard_by_omnis(noise, positions_m, direction, RATE_HZ).astype(np.float32), 0)
    w, y, z, x = np.fft.rfft(encode(block).samples, axis=0).T[:, 100:1400]
    active = np.real(w.conj() * np.stack([x, y, z])).sum(axis=1)
    return active / np.linalg.norm(active)


def hung(yaw_deg, upside_down):
    """Where the capsules are: carried by hand from their profile to the ceiling, and turned there."""
    x, y, z = np.array(TETRAHEDRON.capsule_position_m).T
    if upside_down:  # front stays front, left is right, up is down
        y, z = -y, -z
    turn = np.deg2rad(yaw_deg)
    return np.stack([x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn), z], axis=1)


@pytest.mark.parametrize(("yaw_deg", "upside_down"), [(0.0, True), (75.0, True), (-120.0, False)])
def test_a_plane_wave_comes_out_where_it_came_from_however_the_array_hangs(yaw_deg, upside_down):
    wave = unit_vector(30.0, -20.0)
    heard = heard_from(hung(yaw_deg, upside_down), wave)
    assert angle_between_deg(heard, wave) > 20.0
    turned = Surroundings(MountSettings(yaw_deg, 0.0, upside_down)).turned(answer([heard])).direction[0, 0]
    assert angle_between_deg(turned, wave) < 2.0


def test_axes_of_the_array_in_the_room():
    pitched = MountSettings(yaw_deg=90.0, pitch_deg=30.0).rotation
    assert_allclose(pitched @ FRONT, unit_vector(90.0, 30.0), atol=1e-12)
    assert_allclose(pitched @ LEFT, unit_vector(180.0, 0.0), atol=1e-12)
    ceiling = MountSettings(pitch_deg=30.0, upside_down=True).rotation
    assert_allclose(ceiling @ FRONT, unit_vector(0.0, 30.0), atol=1e-12)
    assert_allclose(ceiling @ LEFT, unit_vector(-90.0, 0.0), atol=1e-12)
    assert (ceiling @ UP)[2] < -0.8


def test_nothing_is_touched_by_default():
    frames = answer(np.random.default_rng(0).normal(size=(50, 3)))
    turned = Surroundings().turned(frames)
    assert_array_equal(turned.direction, frames.direction)
    assert_array_equal(turned.activity, frames.activity)
    assert_array_equal(MountSettings().rotation, np.eye(3))


def test_empty_slots_stay_empty():
    turned = Surroundings(MountSettings(30.0, 20.0, True)).turned(answer([[0, 0, 0], [1, 0, 0]]))
    assert not turned.direction[0].any() and turned.direction[1].any()


@given(st.floats(-180, 180), st.floats(-180, 180), st.floats(0, 359), st.floats(1, 359))
def test_a_sector_is_an_arc_wherever_it_begins(azimuth, begin, width, inside):
    """Wrapped at 180 degrees as DCASE writes angles, and in any other way of writing them."""

    def wrapped(angle):
        return (angle + 180.0) % 360.0 - 180.0

    sector = SectorSettings("a", (wrapped(begin), wrapped(begin + width)))
    expected = inside <= width
    if min(abs(inside - width), inside, 360.0 - inside) > 1e-6:
        for turns in (0.0, 360.0):
            assert sector.holds(np.array(wrapped(begin + inside) + turns), None) == expected
    assert SectorSettings("all", (-180.0, 180.0)).holds(np.array(azimuth), None)


BEHIND = SectorSettings("behind", (170.0, -170.0))
TV = SectorSettings("tv", (40.0, 60.0), (-30.0, 30.0), ignore=True)
DOOR = SectorSettings("door", (30.0, 100.0))


@pytest.mark.parametrize(
    ("azimuth_deg", "elevation_deg", "name"),
    [
        (180, 0, "behind"),
        (-180, 50, "behind"),
        (175, 0, "behind"),
        (-171, 0, "behind"),
        (165, 0, None),
        (0, 0, None),
        (50, 0, "tv"),
        (50, 45, "door"),
        (90, 0, "door"),
    ],
)
def test_the_first_sector_that_holds_a_direction_names_it(azimuth_deg, elevation_deg, name):
    assert Surroundings(sectors=(BEHIND, TV, DOOR)).sector_of(azimuth_deg, elevation_deg) == name


def decoded_in(surroundings, *sounds):
    decoder = Decoder(DecodeSettings(), NAMES, 0.1, surroundings=surroundings)
    return [*decoder.push(track_frames(30, *sounds)), *decoder.finish()]


def test_everything_is_turned_and_carries_its_sector():
    items = decoded_in(Surroundings(MountSettings(90.0), (BEHIND,)), (1, 85.0, 0.0, 5, 20))
    (event,) = [item for item in items if isinstance(item, Event)]
    assert (round(event.azimuth_deg), event.sector) == (175, "behind")
    assert {row.azimuth_deg for row in items if isinstance(row, FrameRow)} == {175}
    sources = [source for item in items if isinstance(item, LiveFrame) for source in item.sources]
    assert {(round(source.azimuth_deg), source.sector) for source in sources} == {(175, "behind")}


def test_what_is_in_an_ignored_sector_is_not_heard_and_the_rest_is():
    television, knock = (0, 50.0, 0.0, 2, 25), (2, 90.0, 0.0, 8, 20)
    items = decoded_in(Surroundings(sectors=(TV, DOOR)), television, knock)
    assert items == decoded_in(Surroundings(sectors=(TV, DOOR)), knock)
    assert [(item.name, item.sector) for item in items if isinstance(item, Event)] == [("door", "door")]


def test_a_flat_array_has_no_elevation_to_go_by():
    flat = Surroundings(sectors=(replace(DOOR, elevation_deg=(10.0, 20.0)),), planar=True)
    assert flat.sector_of(90.0, 0.0) == "door"
    with pytest.raises(ValueError, match=r"^mount: got pitch_deg 10\.0 for a flat array, wanted 0$"):
        Surroundings(MountSettings(pitch_deg=10.0), planar=True)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MountSettings(yaw_deg=361.0), r"got yaw_deg 361\.0, pitch_deg 0\.0, wanted -360 to 360 and -90 to 90"),
        (lambda: MountSettings(pitch_deg=-91.0), r"got yaw_deg 0\.0, pitch_deg -91\.0, wanted "),
        (lambda: SectorSettings(" ", (0.0, 1.0)), "got name ' ', wanted printable characters"),
        (lambda: SectorSettings("a", (0.0, 400.0)), r"got azimuth_deg \[0\.0, 400\.0\], wanted -360 to 360"),
        (lambda: SectorSettings("a", (0.0, 9.0), (20.0, 10.0)), r"got elevation_deg \[20\.0, 10\.0\], wanted \[lowest"),
        (lambda: Surroundings(sectors=(TV, TV)), "sector: got the names tv, tv, wanted each once"),
    ],
)
def test_settings_that_make_no_sense(make, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        make()
