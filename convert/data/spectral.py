"""Maps of a chunk -> the same chunk at another pitch, of a narrower device, or as a mixture of several such variants.

The labels stay as they are: none of these changes when or where something sounds. They work on logarithmic maps and on
intensities alike, since each band keeps its direction; phases belong to their bands and are neither shifted nor mixed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from edge.types import FloatArray

Variant = Callable[[FloatArray], FloatArray]


def shift_bands(maps: FloatArray, map_names: Sequence[str], bands: int) -> FloatArray:
    """Shift the frequency (PSELDNets, Hu et al. 2025, and the DCASE systems before it): all channels by equal bands.

    Args:
        maps: maps (frames, bands, maps); they are not changed.
        map_names: the names of the maps. Phases depend on the frequency and stay.
        bands: bands upwards, or downwards where negative. Bands that become free are mirrored from their neighbours.

    Returns:
        New maps.
    """
    count = maps.shape[1]
    places = np.arange(count) - bands
    places = np.where(places < 0, -places - 1, np.where(places >= count, 2 * count - 1 - places, places))
    return _but_phases(maps[:, places], maps, map_names)


def crop_bands(maps: FloatArray, fill: FloatArray, lowest: int, highest: int) -> FloatArray:
    """Keep a range of bands, as a device does that hears no more: a narrow microphone, a low sample rate, a telephone.

    Args:
        maps: maps (frames, bands, maps); they are not changed.
        fill: values (bands, maps) outside of the range.
        lowest: the first band that is kept.
        highest: the band after the last one that is kept.

    Returns:
        New maps.
    """
    cropped = maps.copy()
    cropped[:, :lowest] = fill[:lowest]
    cropped[:, highest:] = fill[highest:]
    return cropped


def mix_chains(
    maps: FloatArray, map_names: Sequence[str], variants: Sequence[Variant], chains: int, rng: np.random.Generator
) -> FloatArray:
    """Mix a chunk with variants of itself (AugMix, Hendrycks et al. 2020, section 3), in its feature domain.

    Each chain applies one to three of the variants one after the other. The chains are mixed by weights of a Dirichlet
    distribution, and the mixture with the chunk by one of a beta distribution, both with all parameters 1.

    Args:
        maps: maps (frames, bands, maps); they are not changed.
        map_names: the names of the maps. Phases cannot be averaged and stay.
        variants: functions from maps to maps; each draws anew when it is called.
        chains: number of chains, 3 in the paper.
        rng: the source of randomness.

    Returns:
        New maps.
    """
    weights, share = rng.dirichlet(np.ones(chains)), rng.beta(1, 1)
    mixed = np.float32(1 - share) * maps
    for weight in weights:
        variant = maps
        for index in rng.integers(len(variants), size=int(rng.integers(1, 4))):
            variant = variants[index](variant)
        mixed += np.float32(share * weight) * variant
    return _but_phases(mixed, maps, map_names)


def _but_phases(changed: FloatArray, maps: FloatArray, map_names: Sequence[str]) -> FloatArray:
    phases = [index for index, name in enumerate(map_names) if name.startswith("phase")]
    if phases:
        changed[..., phases] = maps[..., phases]
    return changed
