"""The seed of a scene and a name -> a random generator of its own, so that one effect does not shift the others."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np

Seed = int | Sequence[int]


def random_stream(seed: Seed, name: str) -> np.random.Generator:
    """Return a generator that follows from the seed of a scene and a name, independent of those of other names."""
    return np.random.default_rng([*(int(part) for part in np.atleast_1d(seed)), zlib.crc32(name.encode())])
