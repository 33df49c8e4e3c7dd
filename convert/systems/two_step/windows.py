"""Recordings -> windows of all inputs of the fusion net of two-step, with their truth, on disk.

Step 2 leaves the nets of step 1 as they are, so their answers, and the beams toward the directions that they find, are
computed once, in windows that lie side by side (section 3.1). A few hearings at a time go through three passes: maps
(in processes), nets of step 1 (here), beams (in processes).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import keras
import numpy as np
from tqdm import tqdm

from convert.data.build_cache import check_free_space
from convert.data.cache import FeatureCache
from convert.processes import process_pool
from convert.systems.recipe import Recipe
from convert.systems.two_step.recordings import Hearing, Step1Answers, hearing_maps, hearing_windows, window_type
from edge.files import write_atomically
from edge.frontend.maps import FeatureExtractor
from edge.systems.two_step.window import DOA_MAPS, SED_MAPS
from edge.types import FloatArray

INPUTS = ("features", "beams", "doa", "sed")
HEARINGS_PER_PROCESS = 4  # between two passes, in memory
_FILE, _INDEX = "windows.bin", "windows.json"


def fusion_inputs(recipe: Recipe) -> tuple[str, ...]:
    """Names of the inputs of the fusion net, of those in `INPUTS`."""
    return tuple(name for name in INPUTS if getattr(recipe.sizes, f"fuse_{name}", True))


def fusion_windows(recipe: Recipe, nets: Mapping[str, keras.Model], cache: FeatureCache, jobs: int = 1) -> np.memmap:
    """Windows of all recordings of a cache, in its folder. Those that are there are taken if they fit.

    Args:
        recipe: Sizes, STFT, and the augmentation of the hearings.
        nets: `doa` and `sed`, trained.
        cache: With a folder and, if windows have to be made, with its recordings.
        jobs: Processes.

    Returns:
        A memory-mapped array of `recordings.window_type`: the `INPUTS` of the fusion net, normalised, `tracks` (slots,
        labels, 4) and `recording`, the index of the recording.

    Raises:
        ValueError: Windows have to be made and the recordings are not at hand, or the disk has not enough room.
    """
    if cache.folder is None:
        raise ValueError("got a cache without a folder, wanted one for the windows")
    settings = recipe.augmentation
    described = {
        "nets": {name: _digest(net) for name, net in nets.items()},
        "cache": hashlib.sha256((cache.folder / "cache.json").read_bytes()).hexdigest(),
        "statistics": hashlib.sha256(cache.mean.tobytes() + cache.deviation.tobytes()).hexdigest(),
        "level_db": list(settings.level_db),
        "rotated_share": settings.rotated_share,
        "hearings": settings.hearings,
    }
    if settings.volume != (1.0, 1.0):
        described["volume"] = list(settings.volume)
    index = cache.folder / _INDEX
    if not index.is_file() or json.loads(index.read_text()) != described:
        if not cache.recordings:
            raise ValueError(f"{cache.folder}: got no windows of these nets, wanted the recordings to make them")
        index.unlink(missing_ok=True)  # a file that is half written has no index
        _write_windows(cache, recipe, nets, jobs)
        write_atomically(index, json.dumps(described))
    return load_windows(recipe, cache.folder)


def load_windows(recipe: Recipe, folder: Path) -> np.memmap:
    """The windows in a folder, whatever nets they were made with. Raises ValueError if there are none."""
    if not (folder / _INDEX).is_file():
        raise ValueError(f"{folder}: got no {_INDEX}, wanted windows that the training of the fusion net made")
    return np.memmap(folder / _FILE, window_type(recipe.sizes), "r")


def step_1_answers(nets: Mapping[str, keras.Model], maps: FloatArray) -> Step1Answers:
    """What the nets of step 1 answer to windows of maps (n, frames, bands, 9)."""
    doa = nets["doa"].predict_on_batch({"features": maps[..., DOA_MAPS]})
    sed = nets["sed"].predict_on_batch({"features": maps[..., SED_MAPS]})
    return Step1Answers(*(np.asarray(each, np.float32) for each in (doa["output"], doa["hidden"], sed["hidden"])))


def _write_windows(cache: FeatureCache, recipe: Recipe, nets: Mapping[str, keras.Model], jobs: int) -> None:
    assert cache.folder is not None
    rounds = recipe.augmentation.hearings
    labels = rounds * cache.first_labels[-1]
    size = labels // recipe.sizes.labels * window_type(recipe.sizes).itemsize
    check_free_space(cache.folder / _FILE, size, f"windows of {labels * cache.stft.label_s / 3600:.2f} hours")
    hearings = [
        Hearing(recording, number, (round_number, number), cache.class_names)
        for round_number in range(rounds)
        for number, recording in enumerate(cache.recordings)
    ]
    with (cache.folder / _FILE).open("wb") as file:
        made = _windows(hearings, cache, recipe, nets, jobs)
        for windows in tqdm(made, total=len(hearings), desc="windows", unit="scene", disable=None):
            file.write(windows.tobytes())


def _windows(
    hearings: Sequence[Hearing], cache: FeatureCache, recipe: Recipe, nets: Mapping[str, keras.Model], jobs: int
) -> Iterator[np.ndarray]:
    """The windows of each hearing, in order."""
    extractor = FeatureExtractor(cache.features, cache.stft, cache.mean, cache.deviation)
    to_maps = partial(hearing_maps, recipe=recipe, extractor=extractor)
    to_windows = partial(hearing_windows, recipe=recipe, extractor=extractor)
    with ExitStack() as stack:
        pool = stack.enter_context(process_pool(jobs)) if jobs > 1 else None
        group = HEARINGS_PER_PROCESS * jobs
        for first in range(0, len(hearings), group):
            some = hearings[first : first + group]
            maps = list(pool.map(to_maps, some) if pool else map(to_maps, some))
            answers = [step_1_answers(nets, each) for each in maps]
            yield from pool.map(to_windows, some, maps, answers) if pool else map(to_windows, some, maps, answers)


def _digest(net: keras.Model) -> str:
    return hashlib.sha256(b"".join(np.asarray(weight).tobytes() for weight in net.get_weights())).hexdigest()
