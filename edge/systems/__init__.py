"""The three ways to find what sounds from where, by name. Each takes a bundle and gives a `System`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

from edge.arrays.profile import ArrayProfile
from edge.nets.bundle import Bundle
from edge.nets.net import Net
from edge.stage_clock import StageClock
from edge.systems.coloc.build import from_bundle as coloc_from_bundle
from edge.systems.etri.window import from_bundle as etri_from_bundle
from edge.systems.two_step.window import from_bundle as two_step_from_bundle
from edge.types import Spectra, TrackFrames


class SystemSettings(Protocol):
    """What the settings of every system have."""

    @property
    def max_overlap(self) -> int:
        """Most sources at one time."""
        ...


class System(Protocol):
    """Sequential inference: spectra in, one label frame at a time; tracks out when there is enough to say."""

    clock: StageClock  # takes the laps of its stages; idle until a pipeline puts its own there
    levels: tuple[str, ...]  # of quality, from full quality down

    @property
    def settings(self) -> SystemSettings:
        """Those of the bundle, and the user's in their place."""
        ...

    @property
    def latency_s(self) -> float:
        """Most time from a sound to the answer about it, computing time aside."""
        ...

    def set_array(self, profile: ArrayProfile) -> None:
        """Which array is heard, where that matters."""
        ...

    def step(self, spectra: Spectra) -> Iterator[TrackFrames]:
        """Take one label frame."""
        ...

    def finish(self) -> Iterator[TrackFrames]:
        """End of stream: answer about all that was heard."""
        ...

    def reset(self) -> None:
        """Forget the past."""
        ...

    def set_level(self, index: int) -> None:
        """Go on with the quality `levels[index]`."""
        ...


Builder = Callable[[Bundle, Mapping[str, Net], Mapping[str, Any]], System]

SYSTEMS: dict[str, Builder] = {
    "coloc": coloc_from_bundle,
    "etri": etri_from_bundle,
    "two_step": two_step_from_bundle,
}
