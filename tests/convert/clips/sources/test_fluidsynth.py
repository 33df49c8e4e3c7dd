"""Instruments and music: what is composed, the table of clips, and one note of a tiny soundfont of this test's own."""

import pickle
import struct
from collections import Counter

import numpy as np
import pytest

from convert.clips.sources.fluidsynth_music import FLUIDSYNTH, INSTRUMENTS, SOUNDFONTS, jobs, sounds
from convert.clips.sources.fluidsynth_render import SAMPLE_RATE_HZ, render
from convert.clips.sources.fluidsynth_scores import DRUM_BANK, MANNERS, STYLES, Note, Part, Score, phrase, piece


@pytest.fixture
def folders(tmp_path):
    """Unpacked packages with empty soundfonts."""
    for font in SOUNDFONTS:
        file = tmp_path / font.package.name / "usr/share/sounds/sf2" / font.file
        file.parent.mkdir(parents=True)
        file.touch()
    return {package.name: tmp_path / package.name for package in FLUIDSYNTH.packages}


@pytest.mark.parametrize("style", STYLES)
def test_a_piece_follows_from_the_generator_and_stays_within_its_bounds(style):
    for seed in range(8):
        score = piece(np.random.default_rng(seed), style)
        assert score == piece(np.random.default_rng(seed), style)
        assert 5.0 <= score.seconds <= 8.0
        assert len(score.notes) > 8
        assert len({note.part for note in score.notes}) > 1
        for note in score.notes:
            assert 0.0 <= note.start_s < score.seconds + 0.1 and note.seconds > 0.0
            assert 20 <= note.key <= 105 and 1 <= note.velocity <= 127
            assert note.part < len(score.parts)


def test_pieces_of_a_style_differ_in_key_tempo_and_instruments():
    scores = [piece(np.random.default_rng(seed), "folk") for seed in range(12)]
    assert len({score.parts for score in scores}) > 5
    assert len({tuple(note.key for note in score.notes) for score in scores}) == 12


def test_the_notes_of_a_piece_are_of_one_scale():
    score = piece(np.random.default_rng(3), "chamber")
    assert len({note.key % 12 for note in score.notes if score.parts[note.part].bank != DRUM_BANK}) <= 7


@pytest.mark.parametrize("manner", MANNERS)
def test_a_phrase_stays_in_the_range_of_the_instrument(manner):
    for seed in range(20):
        score = phrase(np.random.default_rng(seed), Part(40), 55, 91, (manner,))
        assert all(55 <= note.key <= 91 for note in score.notes)
        assert 2.0 < score.seconds < 8.0


def test_the_table_is_large_unique_and_the_same_twice(folders):
    table = jobs(folders)
    assert pickle.dumps(table) == pickle.dumps(jobs(folders))
    assert len({(job.class_name, job.name) for job in table}) == len(table)
    clips = Counter(job.class_name for job in table)
    groups = {name: {job.group for job in table if job.class_name == name} for name in clips}
    assert clips["instrument"] >= 400 and len(groups["instrument"]) >= 200
    assert clips["music"] >= 200 and len(groups["music"]) == clips["music"]


def test_every_instrument_is_played_in_one_way_only():
    programs = [program for family in INSTRUMENTS for program in family.programs]
    assert len(set(programs)) == len(programs)
    names = [(class_name, name) for class_name, name, _, _ in sounds()]
    assert len(set(names)) == len(names)


def test_a_package_without_its_soundfont_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"got no FluidR3_GM.sf2"):
        jobs({package.name: tmp_path for package in FLUIDSYNTH.packages})


def test_a_note_sounds_at_its_pitch_and_time_and_is_the_same_twice(tmp_path):
    pytest.importorskip("fluidsynth", exc_type=ImportError)
    font = tmp_path / "sine.sf2"
    font.write_bytes(_soundfont(SAMPLE_RATE_HZ, 440.0, root_key=69))
    score = Score((Part(0),), (Note(0.5, 0.8, 81, 100),), 1.5)
    samples = render(score, font)
    np.testing.assert_array_equal(samples, render(score, font))
    assert len(samples) == pytest.approx(1.5 * SAMPLE_RATE_HZ, abs=64)
    assert np.max(np.abs(samples[: SAMPLE_RATE_HZ // 3])) < 1e-3 < 0.02 < np.max(np.abs(samples)) < 1.0
    spectrum = np.abs(np.fft.rfft(samples[SAMPLE_RATE_HZ * 6 // 10 : SAMPLE_RATE_HZ * 11 // 10]))
    assert 2.0 * spectrum.argmax() == pytest.approx(880.0, abs=4.0)  # an octave above the sample


def test_what_a_soundfont_lacks_is_named(tmp_path):
    pytest.importorskip("fluidsynth", exc_type=ImportError)
    font = tmp_path / "sine.sf2"
    font.write_bytes(_soundfont(SAMPLE_RATE_HZ, 440.0, root_key=69))
    with pytest.raises(ValueError, match="got no program 5 in bank 0"):
        render(Score((Part(5),), (Note(0.0, 0.1, 60, 100),), 0.2), font)
    broken = tmp_path / "broken.sf2"
    broken.write_bytes(b"RIFF")
    with pytest.raises(ValueError, match="wanted a soundfont"):
        render(Score((Part(0),), (), 0.2), broken)


def _soundfont(rate_hz: int, hz: float, root_key: int) -> bytes:
    """A soundfont with one sample, a looped sine, for one program (SoundFont 2.04 specification, sections 4 to 7)."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)

    def text(value: bytes) -> bytes:
        return value.ljust(20, b"\0")

    count = rate_hz  # one second; the loop holds whole periods
    wave = np.round(20000 * np.sin(2 * np.pi * hz * np.arange(count) / rate_hz)).astype("<i2").tobytes()
    header = struct.pack("<20s5IBbHH", text(b"sine"), 0, count, 0, count - 1, rate_hz, root_key, 0, 0, 1)
    end_of_samples = struct.pack("<20s5IBbHH", text(b"EOS"), *[0] * 9)
    generators = struct.pack("<HHHH", 54, 1, 53, 0) + struct.pack("<HH", 0, 0)  # sampleModes: loop; sampleID 0
    data = b"".join(
        (
            chunk(b"phdr", struct.pack("<20s3H3I", text(b"sine"), 0, 0, 0, 0, 0, 0)
                  + struct.pack("<20s3H3I", text(b"EOP"), 0, 0, 1, 0, 0, 0)),
            chunk(b"pbag", struct.pack("<4H", 0, 0, 1, 0)),
            chunk(b"pmod", bytes(10)),
            chunk(b"pgen", struct.pack("<4H", 41, 0, 0, 0)),  # instrument 0
            chunk(b"inst", struct.pack("<20sH", text(b"sine"), 0) + struct.pack("<20sH", text(b"EOI"), 1)),
            chunk(b"ibag", struct.pack("<4H", 0, 0, 2, 0)),
            chunk(b"imod", bytes(10)),
            chunk(b"igen", generators),
            chunk(b"shdr", header + end_of_samples),
        )
    )  # fmt: skip
    info = chunk(b"ifil", struct.pack("<HH", 2, 1)) + chunk(b"isng", b"EMU8000\0") + chunk(b"INAM", b"sine\0\0")
    lists = (b"INFO" + info, b"sdta" + chunk(b"smpl", wave + bytes(92)), b"pdta" + data)
    return chunk(b"RIFF", b"sfbk" + b"".join(chunk(b"LIST", part) for part in lists))
