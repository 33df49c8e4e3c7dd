"""Claps in simulated rooms: planted yaw, swaps and gains are found; what cannot be known is said."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.arrays.profile import load_array
from edge.device.calibrate import Fit, calibrate, hear_claps, room_positions
from edge.device.claps import find_claps
from tests.edge.device.clap_scenes import clapping
from tests.edge.device.test_check import CAPSULES, FLAT, FOA, RATE_HZ

AROUND = (0, 90, 180, 270)
a_few = settings(max_examples=4, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
yaw_of = st.floats(-180, 180)


def told(name, azimuths_deg=AROUND, elevation_deg=0, wrong=None, **room):
    """Claps as they are told; `wrong` has the true azimuths of those that are told wrongly."""
    profile = load_array(name)
    return [
        hear_claps(
            clapping(profile, (wrong or {}).get(azimuth_deg, azimuth_deg), elevation_deg, **room),
            RATE_HZ,
            profile,
            azimuth_deg,
            elevation_deg,
        )
        for azimuth_deg in azimuths_deg
    ]


def apart_deg(one, other):
    return abs((one - other + 180) % 360 - 180)


def is_planted(fit, name, order, yaw_deg, upside_down=False):
    """Whether the capsule of each channel is where it was put in the room."""
    planted = Fit(order, upside_down, yaw_deg, 0.0, ())
    capsules = load_array(name).capsules
    apart = np.linalg.norm(room_positions(fit, capsules) - room_positions(planted, capsules), axis=1)
    return apart.max() < 0.1


@pytest.mark.parametrize("name", CAPSULES + FOA)
@a_few
@given(yaw_deg=yaw_of, echoes=st.sampled_from([0, 12]))
def test_yaw(name, yaw_deg, echoes):
    found = calibrate(told(name, yaw_deg=yaw_deg, echoes=echoes), load_array(name))
    assert found.is_sure
    assert (found.fit.order, found.fit.upside_down) == ((0, 1, 2, 3), False)
    assert apart_deg(found.fit.yaw_deg, yaw_deg) < 3
    assert found.capsule_gain_db(load_array(name)) == load_array(name).capsule_gain_db


@pytest.mark.parametrize("name", FLAT)
@a_few
@given(yaw_deg=yaw_of, order=st.sampled_from(list(permutations(range(4)))), upside_down=st.booleans())
def test_swapped_channels_and_gains_of_flat_arrays(name, yaw_deg, order, upside_down):
    gains_db = (3.0, 0.0, -2.0, -1.0)  # of the capsules
    profile = load_array(name)
    heard = told(name, yaw_deg=yaw_deg, order=order, upside_down=upside_down, gains_db=gains_db)
    found = calibrate(heard, profile)
    assert found.is_sure and len(found.same) == 7  # a square has eight symmetries
    assert is_planted(found.fit, name, order, yaw_deg, upside_down)
    by_channel = {order[capsule]: gain_db for capsule, gain_db in enumerate(gains_db)}
    assert np.allclose(found.gains_db, [by_channel[channel] for channel in found.fit.order], atol=0.7)
    assert found.capsule_gain_db(profile) and sorted(found.channel_map(profile)) == sorted(profile.channel_map)


@pytest.mark.parametrize("name", ["em32_tetra", "open_tetra"])
@a_few
@given(yaw_deg=yaw_of, order=st.sampled_from(list(permutations(range(4)))))
def test_swapped_channels_of_tetrahedra_with_claps_from_above(name, yaw_deg, order):
    found = calibrate(told(name, elevation_deg=40, yaw_deg=yaw_deg, order=order), load_array(name))
    assert is_planted(found.fit, name, order, yaw_deg)
    assert not any(each.moved < found.fit.moved for each in found.same)


def test_a_tetrahedron_that_is_clapped_at_from_its_own_height_may_be_swapped_or_upside_down():
    """Up and down cannot be told apart, so that both explain the claps."""
    heard = told("open_tetra", yaw_deg=20, upside_down=True)
    found = calibrate(heard, load_array("open_tetra"))
    assert not found.is_sure and {each.upside_down for each in found.rivals} == {False, True}
    known = calibrate(heard, load_array("open_tetra"), upside_down=True)
    assert known.is_sure and is_planted(known.fit, "open_tetra", (0, 1, 2, 3), 20, True)


@pytest.mark.parametrize("name", FOA)
def test_an_ambisonic_microphone_that_hangs_upside_down(name):
    found = calibrate(told(name, yaw_deg=-70, upside_down=True), load_array(name))
    assert found.is_sure and found.fit.upside_down and apart_deg(found.fit.yaw_deg, -70) < 2
    assert found.gains_db == ()


@pytest.mark.parametrize("name", ["seeed_4mic", "foa"])
def test_a_wrong_direction_is_named_and_does_not_turn_the_others(name):
    found = calibrate(told(name, yaw_deg=33, wrong={90: 150}, echoes=6), load_array(name))
    assert found.fit.fitting == (True, False, True, True) and found.is_sure
    assert apart_deg(found.fit.yaw_deg, 33) < 3 and abs(found.fit.off_deg[1] + 60) < 5


def test_a_missed_clap_is_left_out():
    profile = load_array("respeaker_usb4")
    heard = told("respeaker_usb4", yaw_deg=33)
    quiet = np.random.default_rng(0).normal(0, 1e-3, (RATE_HZ * 2, profile.channels)).astype(np.float32)
    heard[2] = hear_claps(quiet, RATE_HZ, profile, 180)
    assert heard[2].claps is None
    found = calibrate(heard, profile)
    assert found.is_sure and len(found.fit.off_deg) == 3 and apart_deg(found.fit.yaw_deg, 33) < 2
    with pytest.raises(ValueError, match=r"^got claps from 1 directions, wanted at least 2, better 4$"):
        calibrate([heard[0], heard[2], heard[0]], profile)


def test_claps_from_front_and_back_alone_do_not_tell_whether_it_is_upside_down():
    found = calibrate(told("foa", (0, 180), yaw_deg=33), load_array("foa"))
    assert not found.is_sure and len(found.rivals) == 1


def test_claps_are_found_where_they_begin():
    room = clapping(load_array("foa"), 30, count=3, echoes=40)
    onsets = find_claps(room, RATE_HZ)
    assert len(onsets) == 3
    assert np.abs(np.array(onsets) / RATE_HZ - (0.304, 1.004, 1.704)).max() < 0.003  # responses begin 4 ms late
    assert find_claps(np.zeros((RATE_HZ, 4), np.float32), RATE_HZ) == []
    assert find_claps(np.random.default_rng(1).normal(0, 0.1, (RATE_HZ, 4)).astype(np.float32), RATE_HZ) == []
