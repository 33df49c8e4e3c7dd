"""A folder of own scenes -> the names of its scenes, its class names and its microphone array.

Such a folder holds NAME.wav, NAME.csv (DCASE labels) and one `scenes.json`, as `convert.scenes.render` writes them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from edge.arrays.profile import ArrayProfile, load_array
from edge.settings import build


def scene_names(folder: Path) -> list[str]:
    """List the scenes of a folder.

    Returns:
        The sorted names of the wav files, without their suffix.

    Raises:
        ValueError: the folder has no wav file, or a wav file has no csv file beside it.
    """
    names = sorted(path.stem for path in folder.glob("*.wav"))
    if not names:
        raise ValueError(f"{folder}: got no .wav file, wanted a folder of scenes")
    for name in names:
        if not (folder / f"{name}.csv").is_file():
            raise ValueError(f"{folder / name}.wav: got no labels, wanted {name}.csv beside it")
    return names


def read_scenes_json(folder: Path) -> dict[str, Any]:
    """Read the `scenes.json` of a scene folder.

    Raises:
        ValueError: there is no such file, or it holds no JSON object.
    """
    path = folder / "scenes.json"
    if not path.is_file():
        raise ValueError(f"{folder}: got no scenes.json, wanted one with the class names")
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):
        table = None
    if not isinstance(table, dict):
        raise ValueError(f"{path}: got no JSON object, wanted one with class_names")
    return table


def read_class_names(folder: Path) -> tuple[str, ...]:
    """Read the class names of a scene folder, in the order of the class numbers in its csv files.

    Raises:
        ValueError: `scenes.json` is missing or has no list of class names.
    """
    names = read_scenes_json(folder).get("class_names")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"{folder / 'scenes.json'}: got no list of class names, wanted JSON with class_names")
    return tuple(names)


def read_array(folder: Path) -> ArrayProfile:
    """Read the array whose channels the wav files of a scene folder hold; `foa` if `scenes.json` names none.

    Raises:
        ValueError: `scenes.json` is missing, names an unknown array, or holds an invalid profile.
    """
    path, value = folder / "scenes.json", read_scenes_json(folder).get("array", "foa")
    if isinstance(value, dict):
        return build(ArrayProfile, value, f"{path}: array")
    try:
        return load_array(str(value))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def read_own_arrays(folder: Path) -> dict[str, ArrayProfile]:
    """Read the arrays of those scenes of a folder that have one of their own, by name of the scene.

    Raises:
        ValueError: `scenes.json` is missing, or holds an invalid profile.
    """
    path, scenes = folder / "scenes.json", read_scenes_json(folder).get("scenes", [])
    return {
        str(scene["name"]): build(ArrayProfile, scene["array"], f"{path}: array of {scene['name']}")
        for scene in (scenes if isinstance(scenes, list) else [])
        if isinstance(scene, dict) and "array" in scene and "name" in scene
    }
