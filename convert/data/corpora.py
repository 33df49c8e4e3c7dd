"""Data set folders as they are downloaded -> recordings with labels and splits.

| data set | audio | labels | split |
|---|---|---|---|
| STARSS22, STARSS23 | `{foa,mic}_dev/dev-{train,test}-{sony,tau}/*.wav` | `metadata_dev/` alike, `*.csv` | folder |
| TNSSE 2021 | `{foa,mic}_dev/dev-{train,val,test}/*.wav` | `metadata_dev/` alike | folder |
| TNSSE 2020 | `{foa,mic}_dev/foldN_*.wav` | `metadata_dev/foldN_*.csv` | fold: 1 test, 2 val, 3-6 train |
| DCASE synthetic mixtures | `{foa,mic}/foldN_*.wav`, or `{foa,mic}_dev/dev-train-synth/` | `metadata/` alike | train |
| own scenes | `*.wav` | `*.csv` beside them, `scenes.json` with the class names | none |

A label csv numbers its classes, and `CORPORA` lists the class names of each data set of the DCASE challenges in that
order. The names are spelled alike, so that data sets can be mixed. The channels of `foa` are W, Y, Z, X in ACN/SN3D,
those of `mic` are four capsules of an Eigenmike em32.

A part of a corpus has a name: `dev` (all of it), `train`, `val`, `test`, the same with `dev-`, the folder, the fold.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from convert.data.recordings import LabelledRecording
from convert.data.scene_folders import read_array, read_class_names, read_own_arrays, scene_names
from edge.arrays.profile import load_array

_STARSS = (
    "female_speech",
    "male_speech",
    "clapping",
    "telephone",
    "laughter",
    "domestic",
    "footsteps",
    "door",
    "music",
    "musical_instrument",
    "water_tap",
    "bell",
    "knock",
)
_TNSSE_2020 = (  # alphabetical by the publisher's own names: baby, dog and phone are spelled otherwise here
    "alarm",
    "baby_cry",
    "crash",
    "dog_bark",
    "engine",
    "female_scream",
    "female_speech",
    "fire",
    "footsteps",
    "knock",
    "male_scream",
    "male_speech",
    "telephone",
    "piano",
)
_TNSSE_2021 = tuple(name for name in _TNSSE_2020 if name not in ("engine", "fire"))
CORPORA: Mapping[str, tuple[str, ...]] = {
    "starss22": _STARSS,
    "starss23": _STARSS,
    "dcase2022_synth": _STARSS,
    "tnsse2020": _TNSSE_2020,
    "tnsse2021": _TNSSE_2021,
}
AUDIO = {"foa": "foa", "mic": "em32_tetra", "both": "em32_tetra"}  # audio format -> array
_FOLDS_2020 = {1: "test", 2: "val"}  # all other folds are for training


def find_recordings(folder: Path, corpus: str | None = None, audio: str = "foa") -> list[LabelledRecording]:
    """List all recordings of a data set folder, sorted by path.

    Args:
        folder: the folder, in the layout of the data set.
        corpus: a name of `CORPORA`, or None for own scenes.
        audio: which of the two formats of a corpus to take, "foa" or "mic"; "both" takes the FOA channels of the one
            and the microphones of the other.

    Raises:
        ValueError: the layout is not that of the data set, or a wav has no labels; the message names folder or file.
    """
    if corpus is None:
        return _own_scenes(folder)
    if corpus not in CORPORA:
        raise ValueError(f"{folder}: got data set {corpus!r}, wanted one of {', '.join(CORPORA)}")
    if audio not in AUDIO:
        raise ValueError(f"{folder}: got audio {audio!r}, wanted one of {', '.join(AUDIO)}")
    array = load_array(AUDIO[audio])
    audio_root = _root(folder, "foa" if audio == "both" else audio, corpus)
    microphone_root = _root(folder, "mic", corpus) if audio == "both" else None
    label_root = _root(folder, "metadata", corpus)
    wavs = sorted(audio_root.rglob("*.wav"))
    if not wavs:
        raise ValueError(f"{audio_root}: got no .wav file, wanted the recordings of {corpus}")
    recordings = []
    for wav in wavs:
        relative = wav.relative_to(audio_root)
        csv = (label_root / relative).with_suffix(".csv")
        microphones = None if microphone_root is None else microphone_root / relative
        if not csv.is_file():
            raise ValueError(f"{wav}: got no labels, wanted {csv}")
        if microphones is not None and not microphones.is_file():
            raise ValueError(f"{wav}: got no microphones, wanted {microphones}")
        split = _split(relative, corpus)
        parts = _parts(relative, split)
        recordings.append(LabelledRecording(wav, csv, split, CORPORA[corpus], array, parts, microphones))
    return recordings


def _root(folder: Path, name: str, corpus: str) -> Path:
    """The folder of one kind of files: the synthetic mixtures are unpacked to `foa/`, all others to `foa_dev/`."""
    for root in (folder / f"{name}_dev", folder / name):
        if root.is_dir():
            return root
    raise ValueError(f"{folder}: got no {name}_dev/ and no {name}/, wanted the layout of {corpus}")


def _split(relative: Path, corpus: str) -> str:
    if corpus == "tnsse2020":
        fold = _fold(relative)
        if fold is None:
            raise ValueError(f"{relative}: got no fold in the name, wanted foldN_...wav")
        return _FOLDS_2020.get(fold, "train")
    if corpus == "dcase2022_synth":
        return "train"
    folder = re.match(r"dev-(train|val|test)\b", relative.parts[0])
    if folder is None or len(relative.parts) < 2:
        raise ValueError(f"{relative}: got no split, wanted a folder dev-train..., dev-val... or dev-test...")
    return folder[1]


def _parts(relative: Path, split: str) -> frozenset[str]:
    """The names of all parts of the corpus that a recording belongs to."""
    fold = _fold(relative)
    names = {"dev", split, f"dev-{split}", *relative.parts[:-1]}
    return frozenset(names if fold is None else names | {f"fold{fold}"})


def _fold(relative: Path) -> int | None:
    found = re.match(r"fold(\d+)_", relative.name)
    return None if found is None else int(found[1])


def _own_scenes(folder: Path) -> list[LabelledRecording]:
    class_names, array, own = read_class_names(folder), read_array(folder), read_own_arrays(folder)
    return [
        LabelledRecording(folder / f"{name}.wav", folder / f"{name}.csv", None, class_names, own.get(name, array))
        for name in scene_names(folder)
    ]
