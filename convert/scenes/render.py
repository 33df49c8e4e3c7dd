"""A clip library, settings and a seed -> a folder of labelled scenes: wav and csv files and `scenes.json`."""

from __future__ import annotations

import json
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import soundfile
from tqdm import tqdm

from convert.clips.library import ClipLibrary
from convert.processes import process_pool
from convert.scenes.capsules import Mismatch, capsule_response
from convert.scenes.rooms import foa_array
from convert.scenes.scene import make_scene
from convert.scenes.settings import SceneSettings
from edge.arrays.profile import ArrayProfile, load_array, shipped_arrays
from edge.files import write_atomically
from edge.scoring.annotations import write_annotations

IDEAL = load_array("foa")


def make_scenes(
    library: ClipLibrary,
    settings: SceneSettings,
    seed: int,
    count: int,
    out_dir: Path | str,
    jobs: int = 1,
    array: ArrayProfile = IDEAL,
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

    Returns:
        The path of `scenes.json`.

    Raises:
        ValueError: `count` or `jobs` is below 1, or `make_scene` raises it.
    """
    if count < 1 or jobs < 1:
        raise ValueError(f"got count {count} and jobs {jobs}, wanted at least 1 of each")
    out = Path(out_dir)
    out.mkdir(parents=True, exist_ok=True)
    write = partial(_write_scene, library, settings, seed, out, array)
    progress = partial(tqdm, total=count, desc="scenes", unit="scene", disable=None)
    if jobs == 1:
        scenes = list(progress(map(write, range(count))))
    else:
        with process_pool(jobs) as pool:
            scenes = list(progress(pool.map(write, range(count), chunksize=2)))
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


def _write_scene(
    library: ClipLibrary, settings: SceneSettings, seed: int, out: Path, array: ArrayProfile, index: int
) -> dict[str, Any]:
    response = foa_array
    if array != IDEAL:
        response = capsule_response(array, library.sample_rate_hz, Mismatch(), (seed, index))
    scene = make_scene(library, settings, (seed, index), response)
    name = f"scene_{index:05d}"
    soundfile.write(out / f"{name}.wav", scene.samples, library.sample_rate_hz, subtype="PCM_16")
    write_annotations(out / f"{name}.csv", scene.labels)
    return {"name": name, **scene.info}
