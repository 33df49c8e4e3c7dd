"""Recordings through step 1 -> windows of all that the fusion net of two-step is given, with their truth, on disk.

Step 2 leaves the nets of step 1 as they are, so what they say and the beams of the directions that they name can be
computed once, in windows that lie side by side (section 3.1). Beams take spectra, which a feature cache does not hold:
so it begins with the wavs, and what is varied is varied in them. Each recording is heard several times, at another
level, cut into windows at other places and, if it is FOA, turned another way.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from tqdm import tqdm

from convert.augment import Augmentation, rotate_samples
from convert.capsules import encode
from convert.datasets import FeatureCache, Recording, check_room, read_samples
from convert.tracks import SLOTS, label_tracks
from edge.accdoa import AXES
from edge.array import ArrayProfile
from edge.features import MICROPHONES, FeatureExtractor
from edge.stft import Stft
from edge.systems.two_step import DOA_MAPS, SED_MAPS, BeamMaps
from edge.types import AudioBlock, FloatArray

if TYPE_CHECKING:
    from convert.recipes import Recipe

INPUTS = ("features", "beams", "doa", "sed")
_FILE, _INDEX = "windows.bin", "windows.json"


def fusion_windows(
    recipe: Recipe,
    nets: Mapping[str, keras.Model],
    cache: FeatureCache,
    settings: Augmentation,
) -> np.ndarray:
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
        _write(cache, recipe, nets, settings)
        index.write_text(json.dumps(described))
    return load_windows(recipe, cache.folder)


def load_windows(recipe: Recipe, folder: Path) -> np.ndarray:
    """Those in a folder, whatever nets they were made with. Raises ValueError if there are none."""
    if not (folder / _INDEX).is_file():
        raise ValueError(f"{folder}: got no {_INDEX}, wanted windows that the training of the fusion net made")
    return np.memmap(folder / _FILE, window_type(recipe), "r")


def window_type(recipe: Recipe) -> np.dtype[Any]:
    """One window."""
    sizes = recipe.sizes
    return np.dtype(
        [
            ("features", np.float16, (sizes.frames, sizes.bands, 7)),
            ("beams", np.float16, (sizes.frames, sizes.bands, sizes.tracks)),
            ("doa", np.float16, (sizes.labels, sizes.doa_hidden)),
            ("sed", np.float16, (sizes.labels, sizes.sed_hidden)),
            ("tracks", np.float32, (SLOTS, sizes.labels, 4)),
            ("recording", np.int32),
        ]
    )


def _write(cache: FeatureCache, recipe: Recipe, nets: Mapping[str, keras.Model], settings: Augmentation) -> None:
    assert cache.folder is not None
    labels = settings.hearings * cache.first_labels[-1]
    size = labels // recipe.sizes.labels * window_type(recipe).itemsize
    check_room(cache.folder / _FILE, size, f"windows of {labels * cache.stft.label_s / 3600:.2f} hours")
    rng = np.random.default_rng(0)
    extractor = FeatureExtractor(cache.features, cache.stft, cache.mean, cache.deviation)
    makers: dict[ArrayProfile, BeamMaps] = {}
    rounds = [item for _ in range(settings.hearings) for item in enumerate(cache.recordings)]
    with (cache.folder / _FILE).open("wb") as file:
        for number, recording in tqdm(rounds, desc="windows", unit="scene", disable=None):
            array = recording.array
            if array not in makers:
                makers[array] = BeamMaps(array, cache.stft, extractor)
            samples, tracks = _heard(recording, cache, settings, recipe.sizes.labels, rng)
            encoded = encode(samples, array, cache.stft.sample_rate_hz, microphones=True)
            windows = windows_of(encoded, recipe, nets, extractor, makers[array])
            windows["recording"] = number
            windows["tracks"] = np.stack(
                np.split(tracks[:, : len(windows) * recipe.sizes.labels], len(windows), axis=1)
            )
            file.write(windows.tobytes())


def windows_of(
    encoded: FloatArray, recipe: Recipe, nets: Mapping[str, keras.Model], extractor: FeatureExtractor, beams: BeamMaps
) -> np.ndarray:
    """FOA and microphones (n, 8) -> whole windows, side by side, of what the device gives its fusion net.

    `tracks` and `recording` are left empty.
    """
    sizes, transform = recipe.sizes, Stft(recipe.stft, encoded.shape[1])
    spectra = [*transform.push(AudioBlock(encoded, 0)), *transform.finish()]
    count = len(spectra) // sizes.labels
    spectra = spectra[: count * sizes.labels]
    extractor.reset()
    maps = np.stack([extractor(each).maps for each in spectra]).reshape(count, sizes.frames, sizes.bands, -1)
    doa = nets["doa"].predict_on_batch({"features": maps[..., DOA_MAPS]})
    vectors = np.asarray(doa["output"]).reshape(len(spectra), sizes.tracks, AXES)
    heard = [beams(each.bins[:, -MICROPHONES:], told) for each, told in zip(spectra, vectors, strict=True)]
    windows = np.zeros(count, window_type(recipe))
    windows["features"] = maps[..., DOA_MAPS]
    windows["beams"] = np.stack(heard).reshape(count, sizes.frames, sizes.bands, -1)
    windows["doa"] = doa["hidden"]
    windows["sed"] = nets["sed"].predict_on_batch({"features": maps[..., SED_MAPS]})["hidden"]
    return windows


def _heard(
    recording: Recording, cache: FeatureCache, settings: Augmentation, window_labels: int, rng: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """A recording as it may be heard: channels (n, channels), stacked-tracks (slots, labels, 4)."""
    stft = cache.stft
    samples = read_samples(recording, stft.sample_rate_hz)
    labels = len(samples) // stft.label_samples
    tracks = label_tracks(recording.labels(cache.class_names), labels, len(cache.class_names))
    samples = samples * np.float32(10.0 ** (rng.uniform(*settings.level_db) / 20.0))
    if recording.array.kind == "foa" and rng.random() < settings.rotated_share:
        samples, tracks[..., :3] = rotate_samples(samples, tracks[..., :3], int(rng.integers(16)))
    first = int(rng.integers(min(window_labels, labels - window_labels + 1)))
    return samples[first * stft.label_samples :], tracks[:, first:]


def _digest(net: keras.Model) -> str:
    return hashlib.sha256(b"".join(np.asarray(weight).tobytes() for weight in net.get_weights())).hexdigest()
