import numpy as np
import pytest
from scipy.signal import butter, sosfiltfilt

from convert.scenes.rooms import (
    diffuse_spectrum,
    early_response,
    image_sources,
    impulse_response,
    join_parts,
    late_response,
    make_room,
    octave_filters,
    random_room,
    reach_m,
)
from edge.geometry import SPEED_OF_SOUND_M_S, angle_between_deg, unit_vector

RATE_HZ = 24000
ROOMS = [((8, 6, 3), 0.15), ((5, 4, 2.6), 0.3), ((3, 3, 2.4), 0.6), ((10, 8, 4), 0.6), ((7, 5, 3), 0.9)]


def a_room(size_m=(6, 5, 3), rt60_s=0.4):
    return make_room(size_m, np.array(size_m) * [0.4, 0.55, 0.45], rt60_s)


def response(room, distance_m=0.8, azimuth_deg=60, elevation_deg=20, seed=0):
    source_m = room.microphone_m + distance_m * unit_vector(azimuth_deg, elevation_deg)
    return impulse_response(room, source_m, np.random.default_rng(seed), RATE_HZ)


def rt60_s(samples):
    """Twice the time the Schroeder integral takes from -5 to -35 dB."""
    energy = np.cumsum(np.square(samples[::-1], dtype=np.float64))[::-1]
    level_db = 10 * np.log10(energy / energy[0])
    return 2 * (np.argmax(level_db < -35) - np.argmax(level_db < -5)) / RATE_HZ


def octave(samples, centre_hz):
    edges = [centre_hz / np.sqrt(2), centre_hz * np.sqrt(2)]
    return sosfiltfilt(butter(3, edges, "band", fs=RATE_HZ, output="sos"), samples)


@pytest.mark.parametrize(("azimuth_deg", "elevation_deg"), [(0, 0), (30, -20), (-135, 35), (90, 5), (179, -5)])
def test_the_direct_sound_comes_from_the_source_with_gain_one_over_r(azimuth_deg, elevation_deg):
    room, distance_m = a_room(), 0.9
    foa = response(room, distance_m, azimuth_deg, elevation_deg)
    arrival = distance_m / SPEED_OF_SOUND_M_S * RATE_HZ
    direct = foa[round(arrival) - 15 : round(arrival) + 16].astype(np.float64)
    intensity = direct[:, 0] @ direct[:, [3, 1, 2]]
    assert angle_between_deg(intensity, unit_vector(azimuth_deg, elevation_deg)) < 1
    assert abs(np.sqrt(np.sum(direct[:, 0] ** 2)) * distance_m - 1) < 0.03
    assert abs(direct[:, 0] ** 2 @ np.arange(31) / np.sum(direct[:, 0] ** 2) + round(arrival) - 15 - arrival) < 0.2


@pytest.mark.parametrize(("size_m", "wanted_s"), ROOMS)
def test_the_reverberation_time_is_reached_and_high_frequencies_decay_faster(size_m, wanted_s):
    pressure = response(a_room(size_m, wanted_s))[:, 0]
    middle_s = (rt60_s(octave(pressure, 500)) + rt60_s(octave(pressure, 1000))) / 2
    assert abs(middle_s / wanted_s - 1) < 0.15
    assert abs(rt60_s(pressure) / wanted_s - 1) < 0.2
    assert rt60_s(octave(pressure, 4000)) < 0.9 * middle_s


def test_late_reverberation_takes_over_at_the_same_level_and_is_diffuse():
    room, rng = a_room(rt60_s=0.6), np.random.default_rng(0)
    images = image_sources(room, room.microphone_m + np.array([0.8, 0.5, 0.1]))[0]
    early = early_response(room, images, RATE_HZ)
    late = late_response(room, early, rng, RATE_HZ)
    crossing, window = int(room.early_s * RATE_HZ), int(0.02 * RATE_HZ)
    assert np.abs(late[: crossing - window]).max() < 1e-9
    joined = join_parts(early, late)
    before, after = joined[crossing - window : crossing, 0], joined[crossing : crossing + window, 0]
    assert 0 < 10 * np.log10(np.sum(before**2) / np.sum(after**2)) < 6
    powers = np.mean(np.square(late[crossing : crossing + 4800], dtype=np.float64), axis=0)
    np.testing.assert_allclose(powers[1:] / powers[0], 1 / 3, rtol=0.35)


def test_direct_sound_against_reverberation_falls_with_distance():
    room = a_room((9, 7, 3), 0.6)
    ratios_db = []
    for distance_m in (0.8, 1.6, 3.2):
        pressure = response(room, distance_m, azimuth_deg=-30, elevation_deg=0)[:, 0].astype(np.float64)
        end = round(distance_m / SPEED_OF_SOUND_M_S * RATE_HZ) + 24
        ratios_db.append(10 * np.log10(np.sum(pressure[:end] ** 2) / np.sum(pressure[end:] ** 2)))
    assert np.all(np.diff(ratios_db) < -2.5)


def test_a_seed_gives_a_room_and_a_response():
    first, again, other = (random_room(np.random.default_rng(seed)) for seed in (3, 3, 4))
    for name in ("size_m", "microphone_m", "rt60_s", "band_rt60_s", "absorption"):
        np.testing.assert_array_equal(getattr(first, name), getattr(again, name))
    assert not np.array_equal(first.size_m, other.size_m)
    np.testing.assert_array_equal(response(first, 0.3), response(again, 0.3))
    assert not np.array_equal(response(first, 0.3), response(first, 0.3, seed=1))


def test_random_rooms_keep_their_limits():
    rng = np.random.default_rng(0)
    for _ in range(200):
        room = random_room(rng)
        assert np.all(room.microphone_m >= 0.5 - 1e-9)
        assert np.all(room.size_m - room.microphone_m >= 0.5 - 1e-9)
        assert 0.8 <= room.microphone_m[2] <= 1.8
        assert 0.15 <= room.rt60_s <= 0.9
        assert np.all((room.absorption > 0) & (room.absorption < 1))


def test_reach_ends_at_the_margin():
    room = make_room((4, 6, 3), (1, 2, 1.5), 0.4)
    np.testing.assert_allclose(reach_m(room, [[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, 0, -1]]), [2.8, 0.8, 3.8, 1.3])
    np.testing.assert_allclose(reach_m(room, unit_vector(45, 0), 0), 3 * np.sqrt(2))


def test_octave_filters_add_up_to_a_delay():
    total = octave_filters(RATE_HZ).sum(axis=0)
    wanted = np.zeros(len(total))
    wanted[len(total) // 2] = 1
    np.testing.assert_allclose(total, wanted, atol=1e-5)


def test_diffuse_noise_is_isotropic():
    size = 1 << 16
    noise = np.fft.irfft(diffuse_spectrum(size, np.random.default_rng(0)), size, axis=0)
    np.testing.assert_allclose(np.cov(noise.T), np.diag([1, 1 / 3, 1 / 3, 1 / 3]), atol=0.02)


def pair(directions):
    """Two omnidirectional microphones 10 samples apart on the y axis, 8 samples late at the origin."""
    delays = 8 - np.array([5, -5]) * directions[:, 1:2]
    times = np.arange(17)
    window = np.cos(np.pi / 2 * np.clip((times - delays[..., None]) / 9, -1, 1)) ** 2
    return np.sinc(times - delays[..., None]) * window


def test_an_array_with_filters_can_be_plugged_in():
    room = a_room()
    images = image_sources(room, room.microphone_m + np.array([0, 1, 0]))[0]
    early = early_response(room, images, RATE_HZ, pair)
    assert early.shape[1] == 2
    direct = round(1 / SPEED_OF_SOUND_M_S * RATE_HZ)
    arrivals = np.argmax(np.abs(early[: direct + 40]), axis=0)
    np.testing.assert_allclose(arrivals, [direct + 3, direct + 13], atol=1)
    late = late_response(room, early, np.random.default_rng(0), RATE_HZ, pair)
    assert late.shape[1] == 2

    size = 1 << 17
    noise = np.fft.irfft(diffuse_spectrum(size, np.random.default_rng(0), pair), size, axis=0)
    bins = np.fft.rfft(noise.reshape(-1, 512, 2) * np.hanning(512)[:, None], axis=1)
    cross = np.mean(bins[..., 0] * bins[..., 1].conj(), axis=0)
    coherence = cross / np.mean(np.abs(bins[..., 0]) ** 2, axis=0)
    expected = np.sinc(2 * np.fft.rfftfreq(512) * 10)  # sin(kd) / kd
    np.testing.assert_allclose(coherence.real[2:200], expected[2:200], atol=0.2)
    assert np.abs(coherence.imag[2:200]).max() < 0.2


@pytest.mark.parametrize("microphone_m", [(3, 2, 5), (0, 1, 1), (1, 1)])
def test_a_microphone_outside_is_an_error(microphone_m):
    with pytest.raises(ValueError, match="inside"):
        make_room((4, 4, 3), microphone_m, 0.4)


@pytest.mark.parametrize("wanted_s", [0, -1, 50])
def test_an_impossible_reverberation_time_is_an_error(wanted_s):
    with pytest.raises(ValueError, match="reverberation"):
        make_room((4, 4, 3), (1, 1, 1), wanted_s)


def test_a_source_outside_is_an_error():
    with pytest.raises(ValueError, match="inside"):
        image_sources(a_room(), [[1, 1, 1], [1, 1, 7]])
