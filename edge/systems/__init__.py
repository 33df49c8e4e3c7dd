"""Name of a system -> what builds it from a bundle: sequential inference over nets, spectra in, tracks out.

Three systems come with the package. Another one is added by a package that declares an entry point of the group
`seld_edge.systems`, which has the name of the system and loads to a `SystemBuilder`:

    [project.entry-points."seld_edge.systems"]
    my_system = "my_package.build:from_bundle"

A bundle whose manifest says `"system": "my_system"` then runs like any other.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Protocol, cast

from edge.arrays.profile import ArrayProfile
from edge.nets.bundle import Bundle, Manifest
from edge.nets.net import Net
from edge.stage_clock import StageClock
from edge.types import Spectra, TrackFrames

ENTRY_POINTS = "seld_edge.systems"

SYSTEMS: Mapping[str, str] = {
    "coloc": "edge.systems.coloc.build:from_bundle",
    "etri": "edge.systems.etri.build:from_bundle",
    "two_step": "edge.systems.two_step.build:from_bundle",
}
"""The systems of this package: where the `SystemBuilder` of each is. One is imported when it is first built."""


class SystemBuilder(Protocol):
    """Makes a system ready to run. The object that an entry point of the group `seld_edge.systems` loads to."""

    def __call__(
        self,
        bundle: Bundle,
        nets: Mapping[str, Net],
        overrides: Mapping[str, Any],
        array: ArrayProfile,
        clock: StageClock,
    ) -> System:
        """Build a system.

        Args:
            bundle: Manifest and feature statistics. Its own nets are not used.
            nets: Nets by name, usually those of the bundle; the same nets in Keras during training.
            overrides: Settings of the system that replace those of the manifest.
            array: The array that is listened to.
            clock: Takes the laps of the system's stages.

        Returns:
            The system; its stream begins with label frame 0.

        Raises:
            ValueError: A setting is unknown or out of range, a net is missing, or a tensor has another shape.
        """
        ...


class SystemSettings(Protocol):
    """The settings that every system has."""

    @property
    def max_overlap(self) -> int:
        """Most sources at one time."""
        ...


class System(Protocol):
    """Sequential inference: takes spectra label frame by label frame and yields tracks as they become known."""

    @property
    def settings(self) -> SystemSettings:
        """The settings in use: those of the bundle, with overrides applied."""
        ...

    @property
    def levels(self) -> tuple[str, ...]:
        """Descriptions of the levels of quality, from full quality down; at least one."""
        ...

    @property
    def array(self) -> ArrayProfile | None:
        """The array that the system was built for; None if the system is the same for every array."""
        ...

    @property
    def clock(self) -> StageClock:
        """The clock that the system was built with; the pipeline takes the laps of its own stages on the same one."""
        ...

    @property
    def latency_s(self) -> float:
        """Longest time from a sound to the answer about it at the present level, without computing time."""
        ...

    def step(self, spectra: Spectra) -> Iterator[TrackFrames]:
        """Take one label frame.

        Spectra that do not continue the ones before them end that stream and begin a new one.

        Args:
            spectra: Bins (frames per label, channels, bins) of one label frame.

        Yields:
            Tracks of the label frames that are decided now, in order and without gaps.
        """
        ...

    def finish(self) -> Iterator[TrackFrames]:
        """End the stream: yield tracks of all label frames heard that were not answered yet."""
        ...

    def reset(self) -> None:
        """Forget the past: label frame 0 comes next."""
        ...

    def set_level(self, index: int) -> None:
        """Go on at the quality `levels[index]`; 0 is full quality."""
        ...


def find_builder(manifest: Manifest) -> SystemBuilder:
    """Look up the system of a bundle: one of this package, or else one that an installed package adds.

    Args:
        manifest: Of the bundle; `manifest.system` is the name to look up.

    Raises:
        ValueError: No system has that name, or its entry point cannot be loaded.
    """
    name = manifest.system
    if name in SYSTEMS:
        return cast(SystemBuilder, EntryPoint(name, SYSTEMS[name], ENTRY_POINTS).load())
    added = {each.name: each for each in entry_points(group=ENTRY_POINTS)}
    if name not in added:
        known = ", ".join([*SYSTEMS, *sorted(added.keys() - SYSTEMS.keys())])
        raise ValueError(f"{manifest.name}: got system {name!r}, wanted one of {known}")
    try:
        builder = added[name].load()
    except (ImportError, AttributeError) as error:
        raise ValueError(f"{manifest.name}: system {name!r}: cannot load {added[name].value}: {error}") from error
    if not callable(builder):
        raise ValueError(f"{manifest.name}: system {name!r}: got {added[name].value}, wanted a callable")
    return cast(SystemBuilder, builder)
