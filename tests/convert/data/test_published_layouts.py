"""Folders as the publishers pack them: their parts by name, and both formats of one recording.

Layouts: "Unzip the files under the same base_folder/, [...] should have two folders - foa_dev/ and metadata_dev/"
(README of github.com/sharathadavanne/seld-dcase2020, -2021 and -2022). STARSS22 and 23: the folders dev-train-sony,
dev-test-sony, dev-train-tau, dev-test-tau, files foldN_roomN_mixNNN.wav (README of STARSS23, zenodo.org/record/7880637;
foa_dev/dev-train-sony/fold3_room21_mix001.wav and its csv in the tests of github.com/soundata/soundata). TNSSE 2020: no
such folders, "training split (fold 3 to 6), validation (fold 2) and testing (fold 1)" (README of seld-dcase2020). TNSSE
2021: foa_dev/dev-train/fold1_room1_mix001.wav (soundata). Synthetic mixtures of DCASE 2022: foa/, mic/ and metadata/
with fold1_room1_mix001.wav (audio_mixer.py and metadata_synthesizer.py of
github.com/danielkrause/DCASE2022-data-generator).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from convert.data.build_cache import build_cache
from convert.data.corpora import CORPORA
from convert.data.features import encode_recording, recording_arrays
from convert.data.folders import find_data
from convert.data.recordings import LabelledRecording, count_labels, read_samples
from convert.scenes.capsules import encode
from edge.arrays.profile import load_array
from edge.audio.wav import read_wav, write_wav
from edge.frontend.maps import FeatureSettings
from edge.frontend.stft import StftSettings
from edge.scoring.annotations import Label, write_annotations

LAYOUTS = {
    "starss22": (
        "_dev",
        "dev-train-sony/fold3_room21_mix001",
        "dev-train-tau/fold3_room4_mix001",
        "dev-test-sony/fold4_room23_mix001",
        "dev-test-tau/fold4_room2_mix001",
    ),
    "tnsse2020": ("_dev", *(f"fold{fold}_room1_mix001_ov1" for fold in range(1, 7))),
    "tnsse2021": (
        "_dev",
        "dev-train/fold1_room1_mix001",
        "dev-val/fold5_room1_mix001",
        "dev-test/fold6_room1_mix001",
    ),
    "dcase2022_synth": ("", "fold1_room1_mix001", "fold2_room1_mix001"),
}


@pytest.fixture
def published(tmp_path: Path) -> Callable[[str], Path]:
    """A function that makes a corpus of half a second of noise for each recording, in both formats."""

    def make(corpus: str) -> Path:
        ending, *names = LAYOUTS[corpus]
        rng = np.random.default_rng(0)
        for name in names:
            for audio in ("foa", "mic"):
                wav = tmp_path / corpus / f"{audio}{ending}" / f"{name}.wav"
                wav.parent.mkdir(parents=True, exist_ok=True)
                write_wav(wav, rng.normal(0, 0.1, (12000, 4)).astype(np.float32), 24000)
            csv = tmp_path / corpus / f"metadata{ending}" / f"{name}.csv"
            csv.parent.mkdir(parents=True, exist_ok=True)
            write_annotations(csv, [Label(1, 7, 0, 30, 10)])
        return tmp_path / corpus

    return make


@pytest.mark.parametrize(
    ("corpus", "parts", "folds"),
    [
        ("starss22", "", "33"),
        ("starss22", ":dev-test", "44"),
        ("starss22", ":test", "44"),
        ("starss22", ":dev-test-tau", "4"),
        ("starss22", ":dev-train-sony:mic", "3"),
        ("starss22", ":dev", "4433"),  # "in the latter we added STARSS22 dev-test split to the training" (CoLoC, 4.2)
        ("starss22", ":dev-train-tau:dev-test", "443"),
        ("tnsse2020", "", "3456"),
        ("tnsse2020", ":fold1", "1"),
        ("tnsse2020", ":fold1:fold6", "16"),
        ("tnsse2020", ":val", "2"),
        ("tnsse2020", ":dev", "123456"),
        ("tnsse2021", ":dev-val", "5"),
        ("dcase2022_synth", "", "12"),
        ("dcase2022_synth", ":mic:fold2", "2"),
    ],
)
def test_parts_have_names(corpus: str, parts: str, folds: str, published: Callable[[str], Path]) -> None:
    (folder,) = find_data([f"{corpus}{parts}={published(corpus)}@2"], ("train",))
    assert [recording.wav.stem[4] for recording in folder.recordings] == list(folds)
    assert folder.weight == 2.0
    for recording in folder.recordings:
        assert recording.labels(CORPORA[corpus][7:8]) == [Label(1, 0, 0, 30, 10)]
        assert recording.array.name == ("em32_tetra" if "mic" in parts else "foa")


def test_a_part_that_is_not_there_is_an_error(published: Callable[[str], Path]) -> None:
    root = published("tnsse2020")
    with pytest.raises(ValueError, match=r"got 'fold7', wanted a part of tnsse2020 that is there \(dev, .*fold6,"):
        find_data([f"tnsse2020:fold7={root}"], ("train",))


def both(root: Path) -> LabelledRecording:
    (folder,) = find_data([f"starss22:both:dev-train-sony={root}"], ("train",))
    (recording,) = folder.recordings
    return recording


def test_both_formats_are_one_recording(published: Callable[[str], Path]) -> None:
    """The maps of FOA are those of the FOA file, and that of the microphone is that of the microphones' file."""
    root = published("starss22")
    recording, stft, features = both(root), StftSettings(), FeatureSettings("two_step", 16)
    name = "dev-train-sony/fold3_room21_mix001.wav"
    foa, mic = (read_wav(root / f"{audio}_dev" / name)[0] for audio in ("foa", "mic"))
    samples = read_samples(recording, 24000)
    np.testing.assert_array_equal(samples, np.concatenate([foa, mic], axis=1))
    encoded = encode_recording(samples, recording, 24000, microphones=True)
    np.testing.assert_array_equal(encoded[:, :4], foa)
    heard = encode(mic, load_array("em32_tetra"), 24000, microphones=True)
    np.testing.assert_array_equal(encoded[:, 4:], heard[:, 4:])
    maps = {
        audio: recording_arrays(find_data([f"starss22:{audio}:dev-train-sony={root}"], ())[0].recordings[0],
                                CORPORA["starss22"], stft, features)[0]
        for audio in ("foa", "mic", "both")
    }  # fmt: skip
    np.testing.assert_array_equal(maps["both"][..., :7], maps["foa"][..., :7])
    np.testing.assert_array_equal(maps["both"][..., 7:], maps["mic"][..., 7:])
    assert not np.array_equal(maps["foa"][..., 7:], maps["mic"][..., 7:])
    assert not np.array_equal(maps["foa"][..., :7], maps["mic"][..., :7])


def test_features_without_microphones_take_foa_alone(published: Callable[[str], Path]) -> None:
    recording = both(published("starss22"))
    samples = read_samples(recording, 24000)
    np.testing.assert_array_equal(encode_recording(samples, recording, 24000, microphones=False), samples[:, :4])


def test_formats_that_differ_or_lack_are_errors(published: Callable[[str], Path]) -> None:
    root = published("starss22")
    mic = root / "mic_dev" / "dev-train-sony" / "fold3_room21_mix001.wav"
    write_wav(mic, np.zeros((6000, 4), np.float32), 24000)
    with pytest.raises(ValueError, match=r"mix001.wav: got channels, rate and frames \(4, 24000, 6000\), wanted"):
        count_labels(both(root), CORPORA["starss22"], StftSettings())
    mic.unlink()
    with pytest.raises(ValueError, match=r"got no microphones, wanted .*mic_dev"):
        both(root)


def test_a_change_of_the_microphones_rebuilds_the_cache(published: Callable[[str], Path], tmp_path: Path) -> None:
    root = published("starss22")
    word, settings = f"starss22:both:dev-train-sony={root}", (StftSettings(), FeatureSettings("two_step", 16))

    def digest() -> str:
        return find_data([word], ())[0].digest()

    cache = build_cache(find_data([word], ()), CORPORA["starss22"], tmp_path / "cache", *settings)
    assert cache.maps.shape == (25, 16, 9)
    before = digest()
    write_wav(root / "mic_dev/dev-train-sony/fold3_room21_mix001.wav", np.zeros((6000, 4), np.float32), 24000)
    assert digest() != before
