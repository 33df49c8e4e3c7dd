"""LiveFrame -> the text that programs read: a line of JSON, or what ODAS sends about the sources that it tracks.

ODAS' sink for tracked sources (introlab/odas, src/sink/snk_tracks.c) sends an object with `timeStamp`, a counter of
hops, and `src`, a list of as many places as it can track sources. A place that is free has the id 0. Its viewer, ODAS
Studio (introlab/odas_web, servers.js), splits what it receives where a line `}` is followed by a line `{`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from edge.events.records import When, distance_field, rounded, utc_text
from edge.geometry import unit_vector
from edge.types import Event, LiveFrame

FORMATS = ("seld", "odas")
ODAS_PLACES = 4  # of ODAS' own settings; ODAS Studio has no more colours

LiveText = Callable[[LiveFrame], str]
"""Formats a live frame as whole lines."""


@dataclass(frozen=True, slots=True)
class LiveSettings:
    """The live stream of what sounds now, one message for each label frame: sinks live: and `mqtt.live`."""

    format: str = "seld"  # seld: the fields of this project; odas: those that ODAS sends about tracked sources

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise ValueError(f"got format {self.format!r}, wanted {' or '.join(FORMATS)}")


def live_text(settings: LiveSettings, when: When | None) -> LiveText:
    """Make the formatter of one stream; that of ODAS remembers which source is at which place.

    Args:
        settings: The format.
        when: Converts seconds of a live stream to a time; None for a file.
    """
    if settings.format == "odas":
        return OdasText()
    return lambda frame: json.dumps(live_record(frame, when), ensure_ascii=False) + "\n"


def live_record(frame: LiveFrame, when: When | None) -> dict[str, Any]:
    """Make the record of a live frame: `frame`, `end_s`, `time` of that end, and `sources`, rounded as events are."""
    return {
        "frame": frame.frame,
        "end_s": rounded(frame.end_s, 3),
        "time": None if when is None else utc_text(when(frame.end_s)),
        "sources": [
            {
                "id": event.id,
                "class": event.name,
                "azimuth_deg": rounded(event.azimuth_deg, 2),
                "elevation_deg": rounded(event.elevation_deg, 2),
                "score": rounded(event.score, 3),
                "onset_s": rounded(event.onset_s, 3),
                "sector": event.sector,
                **distance_field(event),
            }
            for event in frame.sources
        ],
    }


class OdasText:
    """Formats live frames as ODAS does. A source keeps its place; sources beyond ODAS_PLACES wait for a free one."""

    def __init__(self) -> None:
        self._places: list[int | None] = [None] * ODAS_PLACES  # id of the event

    def __call__(self, frame: LiveFrame) -> str:
        """Format one frame. `tag` is the class and `activity` the score; ids count from 1, as 0 says free."""
        sources = {event.id: event for event in frame.sources}
        self._places = [number if number in sources else None for number in self._places]
        for number in sources:
            if number not in self._places and None in self._places:
                self._places[self._places.index(None)] = number
        places = ",\n".join(_odas_place(None if number is None else sources[number]) for number in self._places)
        return f'{{\n    "timeStamp": {frame.frame + 1},\n    "src": [\n{places}\n    ]\n}}\n'


def _odas_place(event: Event | None) -> str:
    number, tag, place, activity = 0, "", (0.0, 0.0, 0.0), 0.0
    if event is not None:
        number, tag, activity = event.id + 1, event.name, event.score
        place = tuple(unit_vector(event.azimuth_deg, event.elevation_deg or 0.0).tolist())
    x, y, z = (rounded(value, 3) for value in place)
    name = json.dumps(tag, ensure_ascii=False)
    return (
        f'        {{ "id": {number}, "tag": {name}, "x": {x:.3f}, "y": {y:.3f}, "z": {z:.3f}, '
        f'"activity": {activity:.3f} }}'
    )
