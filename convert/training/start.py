"""What a training may begin with: the weights, statistics and classes of a shipped bundle or of another run."""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path

import numpy as np

from convert.data.cache import INDEX, STATISTICS, FeatureCache, load_cache
from edge.nets.bundle import find_bundle, read_manifest


def shipped_weights() -> dict[str, Path]:
    """Folders of the Keras weights behind the shipped bundles, by name: where training can go on from."""
    root = Path(str(resources.files("convert"))) / "weights"
    return {path.parent.name: path.parent for path in sorted(root.glob(f"*/{STATISTICS}"))}


def find_start(name: str) -> Path:
    """The folder of weights by the name of a shipped bundle or the path of a run. Raises ValueError for neither."""
    start = shipped_weights().get(name, Path(name))
    if not start.is_dir():
        raise ValueError(f"start: got {name!r}, wanted {', '.join(shipped_weights())} or a training run")
    return start


def start_classes(start: Path) -> tuple[str, ...]:
    """The classes that the weights in `start` know."""
    index = start / "cache" / INDEX
    if index.is_file():
        return tuple(json.loads(index.read_text())["described"]["class_names"])
    if start == shipped_weights().get(start.name):
        return read_manifest(find_bundle(start.name)).class_names
    raise ValueError(f"{start}: got no cache/{INDEX}, wanted a training run or shipped weights")


def adopt_statistics(cache: Path, start: Path) -> FeatureCache:
    """Give a cache the statistics that the weights in `start`, a run or shipped weights, were trained with."""
    found = [path for path in (start / STATISTICS, start / "cache" / STATISTICS) if path.is_file()]
    if not found:
        raise ValueError(f"{start}: got no {STATISTICS}, wanted a training run or shipped weights")
    own = load_cache(cache)
    with np.load(found[0]) as statistics:
        if statistics["mean"].shape != own.mean.shape:
            raise ValueError(f"{found[0]}: got statistics of {statistics['mean'].shape}, wanted {own.mean.shape}")
        np.savez(cache / STATISTICS, mean=statistics["mean"], deviation=statistics["deviation"])
    return load_cache(cache)
