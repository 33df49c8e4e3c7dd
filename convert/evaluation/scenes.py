"""A scene folder or a corpus, and a bundle -> the wav files, labels and array of an evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from convert.data.corpora import AUDIO
from convert.data.folders import TEST_SPLITS, choose_classes, parse_word
from convert.data.recordings import DataFolder, LabelledRecording
from convert.data.scene_folders import read_array, read_class_names, read_own_arrays, read_scenes_json
from edge.arrays.profile import ArrayProfile, load_array
from edge.nets.bundle import Bundle
from edge.scoring.annotations import Label


def labelled_scenes(
    scenes: str | Path, class_names: Sequence[str], splits: Sequence[str] = TEST_SPLITS
) -> tuple[list[Path], dict[str, list[Label]]]:
    """Read the labels of own scenes or of a corpus, heard by one array.

    Args:
        scenes: as `scene_recordings` takes it.
        class_names: the classes of the model.
        splits: the splits to take from a corpus of which no part is named.

    Returns:
        The wav files, and the labels of each by file name without suffix.

    Raises:
        ValueError: as in `scene_recordings`, or both formats of a corpus are asked for.
    """
    word = parse_word(str(scenes))
    if word.audio == "both":
        raise ValueError(f"{word.path}: got both formats, wanted foa or mic: a scene is heard by one array")
    recordings = scene_recordings(scenes, class_names, splits)
    return [recording.wav for recording in recordings], recording_labels(recordings, class_names)


def scene_recordings(
    scenes: str | Path, class_names: Sequence[str], splits: Sequence[str] = TEST_SPLITS
) -> tuple[LabelledRecording, ...]:
    """Find the recordings of own scenes or of a corpus.

    Args:
        scenes: a folder, or an argument of the form `convert.data.folders.FORM`.
        class_names: the classes of the model. Own scenes must have the same; labels of a corpus are renumbered, and
            those of other classes are left out, with a warning.
        splits: the splits to take from a corpus of which no part is named.

    Raises:
        ValueError: the folder holds no such scenes, has other classes, or two files have one name.
    """
    word, names = parse_word(str(scenes)), tuple(class_names)
    if word.corpus is None and read_class_names(word.path) != names:
        raise ValueError(f"{word.path}: got classes {read_class_names(word.path)}, wanted {names}")
    recordings = word.recordings(splits)
    if word.corpus is not None:
        choose_classes([DataFolder(word.path, word.corpus, recordings)], asked=names)
    stems = {recording.wav.stem for recording in recordings}
    if len(stems) < len(recordings):
        raise ValueError(f"{word.path}: got {len(recordings)} wav files of {len(stems)} names, wanted each name once")
    return recordings


def recording_labels(recordings: Sequence[LabelledRecording], class_names: Sequence[str]) -> dict[str, list[Label]]:
    """The labels of recordings by file name without suffix. Raises ValueError if a csv file is malformed."""
    return {recording.wav.stem: recording.labels(class_names) for recording in recordings}


def heard_truth(truth: Mapping[str, Sequence[Label]], array: ArrayProfile) -> dict[str, list[Label]]:
    """The labels that an array can be scored against: for a flat one, which hears no elevation, all elevations are 0.

    Args:
        truth: the labels of each scene, by name.
        array: the array that recorded the scenes. Its predictions have elevation 0 as well where it is flat.
    """
    return {
        name: [replace(label, elevation_deg=0.0) if array.planar else label for label in labels]
        for name, labels in truth.items()
    }


def scene_array(scenes: str | Path, bundle: Bundle, name: str | None = None) -> ArrayProfile:
    """Choose the array whose channels the wav files of own scenes or of a corpus hold.

    Args:
        scenes: a folder, or an argument of the form `convert.data.folders.FORM`.
        bundle: the model; its first array is taken if the folder's `scenes.json` names none.
        name: name or TOML file of an array that is taken instead.

    Raises:
        ValueError: there is no such array, `scenes.json` is missing or malformed, or each scene has an array of its
            own: such scenes are for training.
    """
    word = parse_word(str(scenes))
    if word.corpus is not None:
        return load_array(name or AUDIO[word.audio])
    if read_own_arrays(word.path):
        raise ValueError(f"{word.path}: got scenes with arrays of their own (planar_share), wanted scenes of one array")
    if name is None and "array" in read_scenes_json(word.path):
        return read_array(word.path)
    return load_array(name or bundle.manifest.arrays[0])
