"""Simulated arrays agree with the acoustic model, the device's encoder, their mismatch, and a measured array."""

import itertools
import pickle
import re
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import fft

from convert.scenes.capsules import MATCHED, Mismatch, capsule_response, encode, encoded_response, main, mismatched
from convert.scenes.rooms import early_response, image_sources, impulse_response, make_room
from edge.arrays.acoustics import array_spectra, sphere_grid
from edge.arrays.profile import load_array
from edge.frontend.quantities import intensity
from edge.geometry import angle_between_deg, azimuth_elevation_deg
from tests.paths import SHARED

RATE_HZ = 24000
HZ = fft.rfftfreq(2400, 1 / RATE_HZ)
DIRECTIONS = sphere_grid(40)
MEASURED = SHARED / "data" / "arrays" / "em32_tetra.npz"


@pytest.fixture(params=["em32_tetra", "open_tetra"])
def profile(request):
    return load_array(request.param)


def undelayed(responses):
    """Spectra (n, channels, bins) of responses whose delay is half their length."""
    return fft.rfft(responses, len(HZ) * 2 - 2, axis=2) * np.exp(2j * np.pi * HZ * (responses.shape[2] // 2) / RATE_HZ)


def direction_errors_deg(responses, low_hz=300, high_hz=1000):
    bins = fft.rfft(responses, len(HZ) * 2 - 2, axis=2)[..., (low_hz <= HZ) & (high_hz >= HZ)]
    vectors = intensity(bins, np.abs(bins) ** 2)[:, [2, 0, 1]]
    return angle_between_deg(vectors.sum(axis=2), DIRECTIONS)


def test_responses_are_those_of_the_model(profile):
    got = undelayed(capsule_response(profile)(DIRECTIONS))
    band = HZ < 10000
    wanted = array_spectra(profile.capsules, DIRECTIONS, HZ)
    error = np.mean(np.abs(got - wanted) ** 2, axis=(0, 1)) / np.mean(np.abs(wanted) ** 2, axis=(0, 1))
    assert 10 * np.log10(error[band].max()) < -33
    assert 10 * np.log10(np.mean(error[band])) < -45
    assert np.abs(got[..., -1]).max() < 0.05  # nothing is left at the Nyquist frequency, as after the resampler


def test_responses_between_the_table_angles_are_interpolated():
    array = capsule_response(load_array("em32_tetra"))
    turned = DIRECTIONS + np.random.default_rng(0).normal(0, 1e-4, DIRECTIONS.shape)
    turned /= np.linalg.norm(turned, axis=1, keepdims=True)
    assert np.abs(array(turned) - array(DIRECTIONS)).max() < 2e-3  # no steps
    on_axes = np.array(load_array("em32_tetra").capsule_position_m)
    poles = array(np.concatenate([on_axes, -on_axes]) / np.linalg.norm(on_axes, axis=1).mean() * 1.00001)
    assert np.all(np.isfinite(poles))


def test_encoded_responses_are_those_of_the_devices_encoder(profile):
    mismatch = Mismatch()
    encoded = undelayed(encoded_response(profile, mismatch=mismatch, seed=3)(DIRECTIONS))
    responses = capsule_response(profile, mismatch=mismatch, seed=3)(DIRECTIONS)
    half, channels = responses.shape[2] // 2, []
    for response in responses:
        stream = np.zeros((2400, 4), np.float32)
        stream[1200 - half : 1201 + half] = response.T
        channels.append(np.roll(encode(stream, profile), -1200, axis=0).T)
    wanted = fft.rfft(np.array(channels), axis=2)
    error = np.mean(np.abs(encoded - wanted) ** 2, axis=(0, 1)) / np.mean(np.abs(wanted) ** 2, axis=(0, 1))
    for low_hz, most_db in ((200, -18), (500, -30), (1000, -35)):
        assert 10 * np.log10(error[(low_hz <= HZ) & (HZ < 10000)].max()) < most_db


def test_mismatch_of_capsules_bends_directions(profile):
    assert direction_errors_deg(encoded_response(profile)(DIRECTIONS)).max() < 2
    bent = [
        np.median(direction_errors_deg(encoded_response(profile, mismatch=Mismatch(), seed=seed)(DIRECTIONS)))
        for seed in range(8)
    ]
    assert 2 < np.median(bent) < 8 and max(bent) < 15
    for one in (Mismatch(0.5, 0, 0, 0), Mismatch(0, 0.7, 0, 0), Mismatch(0, 0, 3, 0), Mismatch(0, 0, 0, 0.001)):
        response = encoded_response(profile, mismatch=one, seed=1)(DIRECTIONS)
        assert np.abs(response - encoded_response(profile)(DIRECTIONS)).max() > 1e-3


def test_directions_alias_far_above_the_limit():
    responses = encoded_response(load_array("em32_tetra"))(DIRECTIONS)
    assert np.median(direction_errors_deg(responses, 6000, 9000)) > 10


def test_mismatch_follows_the_seed_and_stays_in_the_sphere(profile):
    capsules = profile.capsules
    assert mismatched(capsules, Mismatch(), 5) == mismatched(capsules, Mismatch(), 5)
    assert mismatched(capsules, Mismatch(), 5) != mismatched(capsules, Mismatch(), (5, 1))
    many = [mismatched(capsules, Mismatch(0.5, 0.7, 3.0, 0.001), seed) for seed in range(300)]
    assert np.std([np.subtract(one.gains_db, capsules.gains_db) for one in many]) == pytest.approx(0.5, rel=0.1)
    assert np.std([np.subtract(one.tilts_db, capsules.tilts_db) for one in many]) == pytest.approx(0.7, rel=0.1)
    assert np.std([one.delays_s for one in many]) == pytest.approx(3e-6, rel=0.1)
    shifts_m = np.array([np.subtract(one.positions_m, capsules.positions_m) for one in many])
    assert np.sqrt(np.mean(shifts_m**2)) == pytest.approx(0.001 * (np.sqrt(2 / 3) if capsules.rigid else 1), rel=0.1)
    if capsules.rigid:
        assert_allclose([one.radii_m for one in many], [capsules.radii_m] * 300, rtol=1e-9)
    assert_allclose(mismatched(capsules, MATCHED, 1).positions_m, capsules.positions_m)


def test_arrays_travel_to_other_processes_and_share_a_table(profile):
    array = encoded_response(profile, mismatch=Mismatch(), seed=(7, 2))
    twin = pickle.loads(pickle.dumps(array))
    assert twin == array and hash(twin) == hash(array) and len(pickle.dumps(array)) < 2000
    assert_array_equal(twin(DIRECTIONS), array(DIRECTIONS))
    assert array != encoded_response(profile, mismatch=Mismatch(), seed=(7, 3))


def test_channels_are_in_the_order_of_the_device():
    four = load_array("open_tetra")
    six = capsule_response(replace(four, channels=6, channel_map=(5, 1, 2, 0)))(DIRECTIONS)
    assert_array_equal(six[:, [5, 1, 2, 0]], capsule_response(four)(DIRECTIONS))
    assert six.shape[1] == 6 and not six[:, 3:5].any()


def test_profiles_without_capsules_are_refused():
    for make in (capsule_response, encoded_response):
        with pytest.raises(ValueError, match=r"^array 'foa': got kind 'foa', wanted one with capsules$"):
            make(load_array("foa"))


def test_a_source_in_a_room_is_found_in_its_direction():
    room, source = make_room((6, 5, 3), (3, 2.5, 1.2), 0.3), np.array([4.2, 3.3, 1.6])
    towards = source - room.microphone_m
    array = encoded_response(load_array("em32_tetra"), mismatch=Mismatch(0.2, 0.2, 1, 0.0005), seed=1)
    early = early_response(room, image_sources(room, source)[0], RATE_HZ, array)
    arrival = round(np.linalg.norm(towards) / 343 * RATE_HZ) + array(DIRECTIONS).shape[2] // 2
    direct = early[arrival - 60 : arrival + 60].T[None]
    bins = fft.rfft(direct, 480, axis=2)[..., 6:25]  # 300-1250 Hz
    y, z, x = intensity(bins, np.abs(bins) ** 2)[0].sum(axis=1)
    assert angle_between_deg([x, y, z], towards) < 8, azimuth_elevation_deg([x, y, z])
    whole = impulse_response(room, source, np.random.default_rng(0), RATE_HZ, array)
    assert whole.shape[1] == 4 and np.all(np.isfinite(whole))


def simulated_measurement(path, gain_db):
    """A file like the measured one: the model at another rate, with a common delay and gain and one loud capsule."""
    rate_hz, taps = 44100, 256
    directions = sphere_grid(60)
    hz = fft.rfftfreq(taps, 1 / rate_hz)
    spectra = array_spectra(load_array("em32_tetra").capsules, directions, hz) * 0.5 * np.exp(-2j * np.pi * hz * 0.0008)
    spectra[:, 1] *= 10 ** (gain_db / 20)
    azimuth_deg, elevation_deg = azimuth_elevation_deg(directions)
    ir = fft.irfft(spectra, taps, axis=2).astype(np.float32)
    np.savez(path, ir=ir, fs=rate_hz, azimuth_deg=azimuth_deg, elevation_deg=elevation_deg)


def table(text, column):
    """Rows of numbers, by their band, of the table whose head has this column."""
    lines = text[text.index(column) :].splitlines()[1:]
    rows = itertools.takewhile(lambda row: row and re.fullmatch(r"\d+-\d+", row[0]), map(str.split, lines))
    return {name: [float(value) for value in values] for name, *values in rows}


def test_comparison_with_a_measurement_finds_what_differs(tmp_path, capsys):
    tables = []
    for gain_db in (0, 3):
        simulated_measurement(tmp_path / "a.npz", gain_db)
        assert main(["--measured", str(tmp_path / "a.npz")]) == 0
        tables.append(table(capsys.readouterr().out, "common dB"))
    for name, (_, magnitude_db, _, phase_deg, _) in tables[0].items():
        assert magnitude_db < 0.1 and phase_deg < 1, name
    assert tables[1]["354-707"][1] > 0.4


@pytest.mark.parametrize("content", [None, b"no archive"])
def test_comparison_without_a_measurement(tmp_path, capsys, content):
    path = tmp_path / "b.npz"
    if content is not None:
        path.write_bytes(content)
    assert main(["--measured", str(path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("convert.scenes.capsules: ") and error.count("\n") == 1


@pytest.mark.skipif(not MEASURED.exists(), reason="the measured responses are not here")
def test_measured_responses_of_an_em32(capsys):
    assert main(["--measured", str(MEASURED)]) == 0
    out = capsys.readouterr().out
    for name, (_, magnitude_db, _, phase_deg, _) in table(out, "common dB").items():
        assert magnitude_db < 1.5 and phase_deg < (8 if int(name.split("-")[0]) < 5000 else 20), name
    errors_deg = table(out, "uncalibrated")
    assert errors_deg["200-5000"][1] <= 3.1
    assert max(errors_deg[name][1] for name in ("177-354", "354-707", "707-1414")) < 3.5
    assert errors_deg["200-5000"][2] > 5  # without calibration
