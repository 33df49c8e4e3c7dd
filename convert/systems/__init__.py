"""The trainable half of every system, by the names that `edge.systems` has for the device's half.

A system is imported when it is looked up: processes that make batches need no Keras. A package can bring another one:
an entry point of the group `seld_convert.systems` names a `TrainableSystem`, one of the group `seld_edge.systems` the
builder of the device's half.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from convert.systems.interface import TrainableSystem

ENTRY_POINTS = "seld_convert.systems"
SYSTEMS: Mapping[str, str] = {
    "coloc": "convert.systems.coloc.system:COLOC",
    "etri": "convert.systems.etri.system:ETRI",
    "two_step": "convert.systems.two_step.system:TWO_STEP",
}


def find_system(name: str) -> TrainableSystem:
    """The system of that name: one of `SYSTEMS`, or one that an installed package brings.

    Args:
        name: Key of `SYSTEMS`, or name of an entry point of the group `seld_convert.systems`.

    Raises:
        ValueError: No such system is installed, or the entry point names something else.
    """
    from convert.systems.interface import TrainableSystem

    if name in SYSTEMS:
        return cast(TrainableSystem, EntryPoint(name, SYSTEMS[name], ENTRY_POINTS).load())
    installed = entry_points(group=ENTRY_POINTS)
    if name not in installed.names:
        raise ValueError(f"system: got {name!r}, wanted one of {', '.join([*SYSTEMS, *sorted(installed.names)])}")
    system = installed[name].load()
    if not isinstance(system, TrainableSystem):
        raise ValueError(f"system: got {installed[name].value}, a {type(system).__name__}, wanted a TrainableSystem")
    return system
