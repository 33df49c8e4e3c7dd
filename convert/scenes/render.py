"""A clip library, settings and a seed -> a folder of labelled scenes: wav and csv files and `scenes.json`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import soundfile
from tqdm import tqdm

from convert.clips.library import ClipLibrary
from convert.engine import compute_each
from convert.scenes.capsules import Board, Mismatch, capsule_response
from convert.scenes.planar import draw_planar
from convert.scenes.rooms import ArrayResponse, foa_array
from convert.scenes.scene import make_scene
from convert.scenes.settings import ArraySettings, SceneSettings
from convert.scenes.streams import Seed, random_stream
from edge.arrays.profile import ArrayProfile, load_array, shipped_arrays
from edge.files import write_atomically
from edge.scoring.annotations import write_annotations

IDEAL = load_array("foa")
MODEL_RATE_HZ = 24000
_SCENES_PER_TASK = 2


def sample_rate_hz(array: ArrayProfile, settings: ArraySettings) -> int:
    """The rate at which scenes of an array are made: that of the models, or the lower one of the device on request."""
    native_hz = array.native_rate_hz if settings.native_rate else None
    return min(native_hz or MODEL_RATE_HZ, MODEL_RATE_HZ)


def make_scenes(
    library: ClipLibrary,
    settings: SceneSettings,
    seed: int,
    count: int,
    out_dir: Path | str,
    jobs: int = 1,
    array: ArrayProfile = IDEAL,
    dask: str | None = None,
) -> Path:
    """Write scenes as `scene_00000.wav` (PCM16) and `scene_00000.csv` (DCASE), and so on, and `scenes.json`.

    Args:
        library: the clips to use.
        settings: what to draw from.
        seed: the files follow from it, whatever the number of processes.
        count: number of scenes.
        out_dir: the folder to write to; it is created.
        jobs: number of processes; with more than one, a calling script needs a main guard.
        array: the array whose channels the wav files hold. Its capsules, if it has any, deviate a little from the
            profile, differently in each scene.
        dask: address of a Dask scheduler whose workers make the scenes instead, see `convert.engine`.

    Returns:
        The path of `scenes.json`.

    Raises:
        ValueError: `count` or `jobs` is below 1, the settings want a flat array and this one is not, or `make_scene`
            raises it.
    """
    if count < 1 or jobs < 1:
        raise ValueError(f"got count {count} and jobs {jobs}, wanted at least 1 of each")
    if settings.array.planar_share and not array.planar:
        raise ValueError(f"got planar_share {settings.array.planar_share} for array {array.name!r}, wanted a flat one")
    out = Path(out_dir)
    out.mkdir(parents=True, exist_ok=True)
    write = partial(_write_scenes, library, settings, seed, out, array)
    runs = [range(start, min(start + _SCENES_PER_TASK, count)) for start in range(0, count, _SCENES_PER_TASK)]
    scenes = []
    with tqdm(total=count, desc="scenes", unit="scene", disable=None) as bar:
        for written in compute_each(write, runs, jobs, dask):
            scenes += written
            bar.update(len(written))
    summary = {
        "class_names": list(library.class_names),
        "sample_rate_hz": library.sample_rate_hz,
        "seed": seed,
        "array": array.name if array.name in shipped_arrays() and load_array(array.name) == array else asdict(array),
        "settings": asdict(settings),
        "sources": library.sources(),
        "scenes": scenes,
    }
    path = out / "scenes.json"
    write_atomically(path, json.dumps(summary, indent=1) + "\n")
    return path


def _write_scenes(
    library: ClipLibrary, settings: SceneSettings, seed: int, out: Path, array: ArrayProfile, indices: Sequence[int]
) -> list[dict[str, Any]]:
    return [_write_scene(library, settings, seed, out, array, index) for index in indices]


def _write_scene(
    library: ClipLibrary, settings: SceneSettings, seed: int, out: Path, array: ArrayProfile, index: int
) -> dict[str, Any]:
    response: ArrayResponse = foa_array
    own = {}
    if array != IDEAL:
        profile, board = _draw_array(array, settings.array, (seed, index))
        own = {} if profile is array else {"array": asdict(profile)}
        response = capsule_response(profile, library.sample_rate_hz, Mismatch(), (seed, index), board)
    scene = make_scene(library, settings, (seed, index), response)
    name = f"scene_{index:05d}"
    soundfile.write(out / f"{name}.wav", scene.samples, library.sample_rate_hz, subtype="PCM_16")
    write_annotations(out / f"{name}.csv", scene.labels)
    return {"name": name, **scene.info, **own}


def _draw_array(array: ArrayProfile, settings: ArraySettings, seed: Seed) -> tuple[ArrayProfile, Board]:
    """Draw the array of one scene, as far as the settings leave it open, and what its board does."""
    if not array.planar:
        return array, Board()
    rng = random_stream(seed, "array")
    board = Board(rng.uniform(*settings.board_reflection), rng.uniform(*settings.case_share))
    if rng.random() < settings.planar_share:
        return draw_planar(array, settings.planar_radius_m, rng), board
    return array, board
