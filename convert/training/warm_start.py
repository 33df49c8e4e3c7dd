"""A shipped bundle or another run -> the weights, statistics and classes that a training begins with."""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib import resources
from io import BytesIO
from pathlib import Path

import numpy as np

from convert.data.cache import INDEX, STATISTICS, FeatureCache, load_cache
from edge.files import write_atomically
from edge.nets.bundle import find_bundle, read_manifest


@dataclass(frozen=True, slots=True)
class WarmStart:
    """What nets begin with instead of random weights. The first that is given counts, in the order of the fields."""

    start: Path | None = None  # a run or shipped weights of the same recipe
    pretrained: Path | None = None  # a published checkpoint, for a stage that has an importer
    teacher: Path | None = None  # a run or shipped weights of CoLoC, whose convolutions are taken as far as they fit


RANDOM_WEIGHTS = WarmStart()


def shipped_weights() -> dict[str, Path]:
    """The folders of the Keras weights behind the shipped bundles, by the bundle's name."""
    root = Path(str(resources.files("convert"))) / "weights"
    return {path.parent.name: path.parent for path in sorted(root.glob(f"*/{STATISTICS}"))}


def find_start(name: str) -> Path:
    """The folder of weights by the name of a shipped bundle or the path of a run. Raises ValueError for neither."""
    start = shipped_weights().get(name, Path(name))
    if not start.is_dir():
        raise ValueError(f"start: got {name!r}, wanted {', '.join(shipped_weights())} or a training run")
    return start


def start_classes(start: Path) -> tuple[str, ...]:
    """The class names of the weights in `start`. Raises ValueError if it is neither a run nor shipped weights."""
    index = start / "cache" / INDEX
    if index.is_file():
        return tuple(json.loads(index.read_text())["described"]["class_names"])
    if start == shipped_weights().get(start.name):
        return read_manifest(find_bundle(start.name)).class_names
    raise ValueError(f"{start}: got no cache/{INDEX}, wanted a training run or shipped weights")


def adopt_statistics(cache: Path, start: Path) -> FeatureCache:
    """Give a feature cache the statistics that the weights in `start` were trained with.

    Args:
        cache: A cache on disk; its statistics are overwritten.
        start: A run or shipped weights.

    Returns:
        The cache, opened anew.

    Raises:
        ValueError: `start` has no statistics, or they are those of other features.
    """
    found = [path for path in (start / STATISTICS, start / "cache" / STATISTICS) if path.is_file()]
    if not found:
        raise ValueError(f"{start}: got no {STATISTICS}, wanted a training run or shipped weights")
    own = load_cache(cache)
    with np.load(found[0]) as statistics:
        if statistics["mean"].shape != own.mean.shape:
            raise ValueError(f"{found[0]}: got statistics of {statistics['mean'].shape}, wanted {own.mean.shape}")
        content = BytesIO()
        np.savez(content, mean=statistics["mean"], deviation=statistics["deviation"])
    write_atomically(cache / STATISTICS, content.getvalue())
    return load_cache(cache)
