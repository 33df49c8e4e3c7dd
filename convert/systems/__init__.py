"""The trainable half of every system, by the names that `edge.systems` has for the device's half.

A package can bring another system: an entry point of the group `seld_convert.systems` names a `TrainableSystem`, one of
the group `seld_edge.systems` the builder of the device's half.
"""

from __future__ import annotations

from importlib.metadata import entry_points

from convert.systems.coloc.system import COLOC
from convert.systems.etri.system import ETRI
from convert.systems.interface import TrainableSystem
from convert.systems.two_step.system import TWO_STEP

ENTRY_POINTS = "seld_convert.systems"
SYSTEMS: dict[str, TrainableSystem] = {"coloc": COLOC, "etri": ETRI, "two_step": TWO_STEP}


def find_system(name: str) -> TrainableSystem:
    """The system of that name: one of `SYSTEMS`, or one that an installed package brings.

    Args:
        name: Key of `SYSTEMS`, or name of an entry point of the group `seld_convert.systems`.

    Raises:
        ValueError: No such system is installed, or the entry point names something else.
    """
    if name in SYSTEMS:
        return SYSTEMS[name]
    installed = entry_points(group=ENTRY_POINTS)
    if name not in installed.names:
        raise ValueError(f"system: got {name!r}, wanted one of {', '.join([*SYSTEMS, *sorted(installed.names)])}")
    system = installed[name].load()
    if not isinstance(system, TrainableSystem):
        raise ValueError(f"system: got {installed[name].value}, a {type(system).__name__}, wanted a TrainableSystem")
    return system
