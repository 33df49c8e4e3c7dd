"""Flat arrays in scenes: the board, the case, the rate of the device, and arrays that are drawn."""

import json
from dataclasses import replace

import numpy as np
import pytest
import soundfile

from convert.clips.library import load_clip_library
from convert.data.corpora import find_recordings
from convert.data.folders import find_data, read_arrays
from convert.data.scene_folders import read_array
from convert.evaluation.scenes import scene_array
from convert.scenes.capsules import Board, capsule_response, encode
from convert.scenes.planar import draw_planar
from convert.scenes.render import make_scenes, sample_rate_hz
from convert.scenes.settings import ArraySettings, SceneSettings, load_scene_settings, scene_presets
from edge.arrays.profile import PLANAR, load_array
from edge.frontend.quantities import intensity
from edge.geometry import angle_between_deg, unit_vector

ARRAY = load_array("respeaker_usb4")
FOUR = replace(ARRAY, channels=4, channel_map=(0, 1, 2, 3))
SETTINGS = SceneSettings(duration_s=1.5, rt60_s=(0.15, 0.2), density=(1.5, 1.5), array=ArraySettings(planar_share=1.0))


def spectra(board, elevation_deg, azimuth_deg=20.0):
    """Response (capsules, bins) of the array to one direction, at 0 to 12 kHz."""
    direction = unit_vector(np.array([azimuth_deg]), np.array([elevation_deg]))
    return np.fft.rfft(capsule_response(FOUR, board=board)(direction)[0], 512, axis=1)


def level_db(board, elevation_deg, hz):
    index = round(hz / 24000 * 512)
    return 20 * np.log10(np.abs(spectra(board, elevation_deg)[0, index]))


def test_a_board_reflects_short_waves_from_above_and_shadows_those_from_below():
    board = Board(reflection=0.8)
    np.testing.assert_allclose(spectra(board, 0.0), spectra(Board(), 0.0), atol=1e-12)  # along it, nothing happens
    assert level_db(board, 90, 100) == pytest.approx(level_db(Board(), 90, 100), abs=0.2)
    assert level_db(board, 90, 8000) - level_db(Board(), 90, 8000) == pytest.approx(20 * np.log10(1.8), abs=0.5)
    assert level_db(board, -90, 8000) - level_db(Board(), -90, 8000) < -8


def test_a_case_delays_sound_on_its_way_around():
    index = round(400 / 24000 * 512)

    def delay(board):
        response = spectra(board, 0.0, 0.0)[:, index]
        return np.angle(response[2] / response[0])  # front against back

    assert delay(Board(case_share=1.0)) / delay(Board()) == pytest.approx(1.5, abs=0.05)  # of a rigid sphere
    assert delay(Board(case_share=0.3)) / delay(Board()) == pytest.approx(1.15, abs=0.03)


@pytest.mark.parametrize("board", [Board(0.8, 0.0), Board(0.0, 0.3), Board(0.8, 0.3)])
def test_the_encoder_keeps_azimuths_on_a_board_within_what_real_ones_show(board):
    """Real recordings of such a board are within 2 degrees of these directions from 200 Hz to 3.8 kHz.

    They lie on axes of symmetry of the array; elsewhere, the encoder errs more in the last octave below the aliasing.
    """
    for azimuth in (-44.0, 0.0, 45.0):
        direction = unit_vector(np.array([azimuth]), np.array([20.0]))
        taps = capsule_response(FOUR, board=board)(direction)[0].T.astype(np.float32)
        foa = encode(np.pad(taps, ((600, 600), (0, 0))), FOUR)
        bins = np.fft.rfft(foa.T[None], 2400, axis=2)
        vectors = intensity(bins, np.abs(bins) ** 2)[0][[2, 0, 1]].T
        hz = np.fft.rfftfreq(2400, 1 / 24000)
        for low_hz, high_hz in ((200, 500), (500, 1000), (1000, 2000), (2000, 3800)):
            band = vectors[(hz >= low_hz) & (hz < high_hz)].mean(axis=0)
            found = np.degrees(np.arctan2(band[1], band[0]))
            assert abs((found - azimuth + 180) % 360 - 180) < 2


def test_drawn_arrays_are_flat_of_the_size_that_was_asked_for_and_all_different():
    drawn = [draw_planar(ARRAY, (0.015, 0.05), np.random.default_rng(seed)) for seed in range(30)]
    radii = np.array([np.linalg.norm(array.capsule_position_m, axis=1) for array in drawn])
    assert radii.min() > 0.01 and radii.max() < 0.0501 and np.ptp(radii.max(axis=1)) > 0.02
    assert all(array.planar and array.channels == 4 and array.name == PLANAR for array in drawn)
    assert len({array.capsule_position_m for array in drawn}) == 30
    wave = unit_vector(np.array([70.0]), np.array([0.0]))
    for array in drawn[:4]:
        foa = encode(np.pad(capsule_response(array)(wave)[0].T.astype(np.float32), ((600, 600), (0, 0))), array)
        power = np.fft.rfft(foa, axis=0)[int(len(foa) * 500 / 24000)]
        found = np.real(power[0].conj() * power[[3, 1, 2]])
        assert angle_between_deg(found, wave[0]) < 6


def test_scenes_name_the_arrays_that_they_drew_and_training_hears_them_so(tmp_path):
    (tmp_path / "clips" / "hiss").mkdir(parents=True)
    noise = 0.1 * np.random.default_rng(0).standard_normal(16000)
    soundfile.write(tmp_path / "clips" / "hiss" / "a.wav", noise, 16000)
    rate_hz = sample_rate_hz(ARRAY, ArraySettings(native_rate=True))
    assert (rate_hz, sample_rate_hz(load_array("seeed_4mic"), ArraySettings(native_rate=True))) == (16000, 24000)
    assert sample_rate_hz(ARRAY, ArraySettings()) == 24000
    library = load_clip_library(tmp_path / "clips", sample_rate_hz=rate_hz)
    folder = tmp_path / "scenes"
    make_scenes(library, SETTINGS, seed=0, count=2, out_dir=folder, array=ARRAY)
    assert soundfile.info(folder / "scene_00000.wav").samplerate == 16000
    recordings = find_recordings(folder)
    assert [recording.array.name for recording in recordings] == [PLANAR, PLANAR]
    assert recordings[0].array.capsule_position_m != recordings[1].array.capsule_position_m
    assert read_array(folder) == ARRAY
    assert read_arrays(find_data([str(folder)], ())) == (PLANAR,)
    with pytest.raises(ValueError, match="got scenes with arrays of their own"):
        scene_array(folder, None)
    summary = json.loads((folder / "scenes.json").read_text())
    summary["scenes"][0]["array"]["kind"] = "round"
    (folder / "scenes.json").write_text(json.dumps(summary))
    with pytest.raises(ValueError, match="array of scene_00000: got kind 'round'"):
        find_recordings(folder)
    with pytest.raises(ValueError, match=r"got planar_share 1\.0 for array 'foa', wanted a flat one"):
        make_scenes(library, SETTINGS, seed=0, count=1, out_dir=tmp_path / "none")


def test_presets_load_and_other_names_are_errors():
    assert set(scene_presets()) == {"flat", "home"}
    assert load_scene_settings("flat").array.planar_share == 0.5
    assert load_scene_settings("home").home.fan_share > 0
    with pytest.raises(ValueError, match="--settings: got 'hom', wanted one of flat, home or a TOML file"):
        load_scene_settings("hom")


def test_a_model_of_flat_arrays_fits_every_flat_one():
    assert load_array("xvf3800").heard_as(["foa", PLANAR])
    assert not load_array("em32_tetra").heard_as([PLANAR])
    assert not load_array("foa").heard_as([PLANAR])
