"""An array -> the shipped bundles that were trained for it."""

from __future__ import annotations

from edge.arrays.profile import ArrayProfile
from edge.nets import bundle


def fitting_bundles(array: ArrayProfile) -> list[str]:
    """Names of the shipped bundles that were trained for an array, or for arrays like it, in alphabetical order.

    Raises:
        ValueError: The manifest of a shipped bundle is damaged.
    """
    shipped = bundle.shipped_bundles()
    return [name for name, folder in shipped.items() if array.heard_as(bundle.read_manifest(folder).arrays)]


def bundle_for(array: ArrayProfile, usual: str) -> str:
    """The name of the bundle to run with an array: `usual`, unless only others were trained for the array."""
    fitting = fitting_bundles(array)
    return usual if usual in fitting or not fitting else fitting[0]
