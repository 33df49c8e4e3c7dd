"""A scene folder and a bundle -> the wav files, labels and array of an evaluation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from convert.data.scene_folders import read_array, read_class_names, read_own_arrays, read_scenes_json, scene_names
from edge.arrays.profile import ArrayProfile, load_array
from edge.nets.bundle import Bundle
from edge.scoring.annotations import Label, read_annotations


def labelled_scenes(folder: Path, class_names: Sequence[str]) -> tuple[list[Path], dict[str, list[Label]]]:
    """Read the labels of a scene folder.

    Returns:
        The wav files, and the labels of each by file name without suffix.

    Raises:
        ValueError: the folder is no scene folder, has other classes than `class_names`, or a csv file is malformed.
    """
    found = read_class_names(folder)
    if found != tuple(class_names):
        raise ValueError(f"{folder}: got classes {found}, wanted {tuple(class_names)}")
    names = scene_names(folder)
    labels = {name: read_annotations(folder / f"{name}.csv", len(class_names)) for name in names}
    return [folder / f"{name}.wav" for name in names], labels


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


def scene_array(folder: Path, bundle: Bundle, name: str | None = None) -> ArrayProfile:
    """Choose the array whose channels the wav files of a scene folder hold.

    Args:
        folder: the scene folder.
        bundle: the model; its first array is taken if the folder's `scenes.json` names none.
        name: name or TOML file of an array that is taken instead.

    Raises:
        ValueError: there is no such array, `scenes.json` is missing or malformed, or each scene has an array of its
            own: such scenes are for training.
    """
    if read_own_arrays(folder):
        raise ValueError(f"{folder}: got scenes with arrays of their own (planar_share), wanted scenes of one array")
    if name is None and "array" in read_scenes_json(folder):
        return read_array(folder)
    return load_array(name or bundle.manifest.arrays[0])
