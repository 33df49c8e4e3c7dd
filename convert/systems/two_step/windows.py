"""Recordings through step 1 -> windows of all that the fusion net of two-step is given, with their truth, on disk.

Step 2 leaves the nets of step 1 as they are, so what they say and the beams of the directions that they name can be
computed once, in windows that lie side by side (section 3.1). `two_step_hearing` hears the recordings, in processes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import keras
import numpy as np
from tqdm import tqdm

from convert.data.augment import Augmentation
from convert.data.build_cache import check_free_space
from convert.data.cache import FeatureCache
from convert.processes import conversations
from convert.systems.two_step.recordings import Hearing, Told, heard_windows, window_type
from edge.frontend.maps import FeatureExtractor
from edge.systems.two_step.window import DOA_MAPS, SED_MAPS
from edge.types import FloatArray

if TYPE_CHECKING:
    from convert.training.recipes import Recipe

INPUTS = ("features", "beams", "doa", "sed")
_FILE, _INDEX = "windows.bin", "windows.json"


def fusion_windows(
    recipe: Recipe,
    nets: Mapping[str, keras.Model],
    cache: FeatureCache,
    settings: Augmentation,
    jobs: int = 1,
) -> np.memmap:
    """Windows of all recordings of a cache, as the recipe and the nets of step 1 have them.

    Structured and memory-mapped, in the folder of the cache: the `INPUTS` of the fusion net, normalised, `tracks`
    (slots, labels, 4) and `recording`, the index of the recording. What is there is taken if it was made of the same.

    Raises ValueError if they have to be made and the recordings are not at hand.
    """
    if cache.folder is None:
        raise ValueError("got a cache without a folder, wanted one for the windows")
    described = {
        "nets": {name: _digest(net) for name, net in nets.items()},
        "cache": hashlib.sha256((cache.folder / "cache.json").read_bytes()).hexdigest(),
        "statistics": hashlib.sha256(cache.mean.tobytes() + cache.deviation.tobytes()).hexdigest(),
        "level_db": list(settings.level_db),
        "rotated_share": settings.rotated_share,
        "hearings": settings.hearings,
    }
    index = cache.folder / _INDEX
    if not index.is_file() or json.loads(index.read_text()) != described:
        if not cache.recordings:
            raise ValueError(f"{cache.folder}: got no windows of these nets, wanted the recordings to make them")
        index.unlink(missing_ok=True)  # of windows before these: what is half filled has no index
        _write(cache, recipe, nets, settings, jobs)
        index.write_text(json.dumps(described))
    return load_windows(recipe, cache.folder)


def load_windows(recipe: Recipe, folder: Path) -> np.memmap:
    """Those in a folder, whatever nets they were made with. Raises ValueError if there are none."""
    if not (folder / _INDEX).is_file():
        raise ValueError(f"{folder}: got no {_INDEX}, wanted windows that the training of the fusion net made")
    return np.memmap(folder / _FILE, window_type(recipe.sizes), "r")


def _write(
    cache: FeatureCache, recipe: Recipe, nets: Mapping[str, keras.Model], settings: Augmentation, jobs: int
) -> None:
    assert cache.folder is not None
    labels = settings.hearings * cache.first_labels[-1]
    size = labels // recipe.sizes.labels * window_type(recipe.sizes).itemsize
    check_free_space(cache.folder / _FILE, size, f"windows of {labels * cache.stft.label_s / 3600:.2f} hours")
    extractor = FeatureExtractor(cache.features, cache.stft, cache.mean, cache.deviation)
    hearings = [
        Hearing(recording, number, (round_number, number), cache.class_names)
        for round_number in range(settings.hearings)
        for number, recording in enumerate(cache.recordings)
    ]
    hear = partial(heard_windows, recipe=recipe, extractor=extractor, settings=settings)
    with (cache.folder / _FILE).open("wb") as file:
        made = conversations(hear, hearings, partial(step_1, nets), jobs)
        for windows in tqdm(made, total=len(hearings), desc="windows", unit="scene", disable=None):
            file.write(windows.tobytes())


def step_1(nets: Mapping[str, keras.Model], maps: FloatArray) -> Told:
    """What the nets of step 1 say of windows of maps (n, frames, bands, 9)."""
    doa = nets["doa"].predict_on_batch({"features": maps[..., DOA_MAPS]})
    sed = nets["sed"].predict_on_batch({"features": maps[..., SED_MAPS]})
    return Told(*(np.asarray(told, np.float32) for told in (doa["output"], doa["hidden"], sed["hidden"])))


def _digest(net: keras.Model) -> str:
    return hashlib.sha256(b"".join(np.asarray(weight).tobytes() for weight in net.get_weights())).hexdigest()
