"""The physics of the models: modes, blows, bubbles, hands, throats, tones."""

import numpy as np
import pytest
from scipy import signal

from convert.clips.synth import claps, people, telephones
from convert.clips.synth.bodies import (
    MATERIALS,
    blows,
    body,
    bounces,
    helmholtz_hz,
    plate,
    plate_modes_hz,
    rhythm,
    ring,
)
from convert.clips.synth.knocks import wooden_door
from convert.clips.synth.throats import tract, tube_hz, voice
from convert.clips.synth.tools import SAMPLE_RATE_HZ, length
from convert.clips.synth.water import bubble, bubble_decay_per_s, minnaert_hz


def spectrum_db(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    size = 1 << int(np.ceil(np.log2(4 * len(x))))
    power = np.abs(np.fft.rfft(x * np.hanning(len(x)), size)) ** 2
    return np.fft.rfftfreq(size, 1 / SAMPLE_RATE_HZ), 10 * np.log10(power + 1e-20)


def loudest_hz(x: np.ndarray) -> float:
    hz, db = spectrum_db(x)
    return float(hz[np.argmax(db)])


def pitch_hz(x: np.ndarray, low_hz: float, high_hz: float) -> float:
    low = signal.sosfilt(signal.butter(6, 700, fs=SAMPLE_RATE_HZ, output="sos"), x)  # formants would mislead
    power = np.abs(np.fft.rfft(low, 2 * len(low))) ** 2
    correlation = np.fft.irfft(power)
    lags = np.arange(int(SAMPLE_RATE_HZ / high_hz), int(SAMPLE_RATE_HZ / low_hz))
    return SAMPLE_RATE_HZ / lags[np.argmax(correlation[lags])]


def test_a_mode_rings_at_its_frequency_and_falls_by_60_db_in_its_time():
    sound = ring(body([1000.0], [0.5], [1.0]), blows(length(1.0), [0.0], 1e-4))
    assert loudest_hz(sound) == pytest.approx(1000, abs=3)
    level_db = [10 * np.log10(np.mean(sound[length(t) : length(t + 0.02)] ** 2)) for t in (0.1, 0.6)]
    assert level_db[0] - level_db[1] == pytest.approx(60, abs=1)


def test_plates_follow_the_theory_of_thin_plates():
    glass = MATERIALS["glass"]
    hz = plate_modes_hz(glass, (1.0, 1.0), 0.004, 3)
    stiffness = glass.young_pa * 0.004**3 / (12 * (1 - glass.poisson**2))
    assert hz[0, 0] == pytest.approx(np.pi * np.sqrt(stiffness / (glass.density_kg_m3 * 0.004)))
    assert hz[1, 0] / hz[0, 0] == pytest.approx(5 / 2) and hz[1, 1] / hz[0, 0] == pytest.approx(4)
    np.testing.assert_allclose(plate_modes_hz(glass, (1.0, 1.0), 0.008, 3), 2 * hz)
    np.testing.assert_allclose(plate_modes_hz(glass, (2.0, 2.0), 0.004, 3), hz / 4)


def test_damping_shortens_the_sound_of_a_plate():
    dry, damped = (plate(np.random.default_rng(1), MATERIALS["pine"], (0.8, 2.0), 0.04, loss) for loss in (0.01, 0.1))
    np.testing.assert_array_equal(dry.hz, damped.hz)
    assert np.all(damped.t60_s < dry.t60_s)


def test_a_longer_contact_takes_the_treble():
    for contact_s in (0.001, 0.004):
        hz, db = spectrum_db(blows(length(0.2), [0.1], contact_s))
        assert np.max(db[hz > 2.2 / contact_s]) < db[1] - 25
        assert np.min(db[(hz > 20) & (hz < 0.4 / contact_s)]) > db[1] - 3


def test_blows_have_the_strength_that_is_asked_for():
    force = blows(length(0.5), [0.1, 0.3], [0.001, 0.004], [1.0, 0.5])
    assert force[: length(0.2)].sum() == pytest.approx(1.0) and force[length(0.2) :].sum() == pytest.approx(0.5)


def test_bounces_come_ever_sooner():
    times, _ = bounces(np.random.default_rng(0), 0.2, 0.1, 6)
    assert times[0] == 0.2 and np.all(np.diff(times) > 0) and np.diff(times)[-1] < np.diff(times)[0]


def test_rhythms_keep_their_count_and_period():
    times = rhythm(np.random.default_rng(0), 200, 0.5, 0.01)
    assert len(times) == 200 and np.mean(np.diff(times)) == pytest.approx(0.5, rel=0.1)


def test_a_bubble_of_one_millimetre_rings_at_minnaerts_frequency():
    assert minnaert_hz(1e-3) == pytest.approx(3260)
    sound = bubble(1e-3, rise=0.0)
    assert loudest_hz(sound) == pytest.approx(3260, rel=0.01)
    envelope = np.abs(signal.hilbert(sound))
    first, second = envelope[length(0.002)], envelope[length(0.007)]
    assert np.log(first / second) / 0.005 == pytest.approx(float(bubble_decay_per_s(1e-3)), rel=0.1)
    assert loudest_hz(bubble(1e-3, rise=0.3)) > 3300  # near the surface the pitch rises


def test_cupped_hands_sound_lower_than_flat_ones():
    hz = {position: claps.clap_hz(position) for position in claps.POSITIONS}
    assert hz["A1+"] < hz["P1"] < hz["P2"] < hz["P3"] and hz["A1+"] < hz["A1"] < hz["A1-"]
    assert min(hz.values()) > 250 and max(hz.values()) < 3000
    assert claps.clap_hz("P1", 0.75) > hz["P1"]  # the hands of a child
    # a bottle of 0.75 l with a neck of 8 cm and 2.5 cm2 sounds at about 100 Hz
    assert 80 < helmholtz_hz(0.75e-3, 2.5e-4, 0.08) < 130


def test_an_audience_in_step_claps_on_the_beat():
    steady, random = (
        model(np.random.default_rng(3), np.random.default_rng(4)) for model in (claps.in_step, claps.audience)
    )

    def modulation(x: np.ndarray) -> float:
        envelope = np.sqrt(np.mean(x[: len(x) // 480 * 480].reshape(-1, 480) ** 2, axis=1))
        return float(np.std(envelope) / np.mean(envelope))

    assert modulation(steady) > 1.5 * modulation(random)


def test_formants_of_a_tube_are_odd_multiples():
    np.testing.assert_allclose(tube_hz(17.5, 3), [500, 1500, 2500])


def test_the_voice_has_its_pitch_and_its_subharmonic():
    f0 = np.full(length(0.5), 300.0)
    plain, doubled = (voice(np.random.default_rng(0), f0, jitter=0.0, breath=0.0, subharmonic=s) for s in (0.0, 0.6))
    assert pitch_hz(plain, 200, 1000) == pytest.approx(300, rel=0.02)
    hz, plain_db = spectrum_db(plain)
    _, doubled_db = spectrum_db(doubled)
    half, full = np.argmin(np.abs(hz - 150)), np.argmin(np.abs(hz - 300))
    assert plain_db[half] < plain_db[full] - 30 < doubled_db[half] - 5


def test_a_tract_lifts_its_formants():
    noise = np.random.default_rng(0).standard_normal(length(2.0))
    hz, power = signal.welch(tract(noise, tube_hz(17.5)), SAMPLE_RATE_HZ, nperseg=2048)
    near = {centre: power[np.abs(hz - centre) < 60].mean() for centre in (500, 1000, 1500, 2000, 2500)}
    assert min(near[500], near[1500]) > 4 * near[1000] and near[1500] > 4 * near[2000] < near[2500]


def test_babies_cry_between_250_and_700_hz():
    pitches = []
    for baby in range(6):
        cry = people.hungry_baby(np.random.default_rng(baby), np.random.default_rng(baby + 100))
        pitches.append(pitch_hz(cry[: length(3.0)], 200, 900))
    assert 330 < np.median(pitches) < 520 and min(pitches) > 240 and max(pitches) < 720


def test_women_laugh_higher_than_men():
    def median_hz(model) -> float:
        laughs = [model(np.random.default_rng(i), np.random.default_rng(i + 50)) for i in range(8)]
        return float(np.median([pitch_hz(x[: length(1.5)], 110, 900) for x in laughs]))

    assert 140 < median_hz(people.man_laughs) < median_hz(people.woman_laughs) < 700


def test_knocks_can_be_counted():
    for take in range(6):
        sound = wooden_door(np.random.default_rng(1), np.random.default_rng(take))
        envelope = np.sqrt(np.mean(sound[: len(sound) // 240 * 240].reshape(-1, 240) ** 2, axis=1))
        onsets, _ = signal.find_peaks(envelope, height=0.1 * envelope.max(), distance=5)
        assert 2 <= len(onsets) <= 14
        assert np.min(np.diff(onsets)) * 0.01 > 0.05 and np.max(np.diff(onsets)) * 0.01 < 2.0


def test_keys_send_the_tones_of_q23():
    # ITU-T Q.23: low group 697, 770, 852, 941 Hz; high group 1209, 1336, 1477, 1633 Hz
    assert telephones.DTMF_HZ == ((697, 770, 852, 941), (1209, 1336, 1477, 1633))
    sound = telephones.dialling(np.random.default_rng(0), np.random.default_rng(1))[length(0.005) : length(0.06)]
    hz, db = spectrum_db(sound)
    for group in telephones.DTMF_HZ:
        band = (hz > group[0] - 60) & (hz < group[3] + 60)
        found = hz[band][np.argmax(db[band])]
        assert min(abs(found - tone) for tone in group) < 15
