"""Stored events -> the lines of a table, of csv, of JSON, or of label frames as DCASE has them."""

from __future__ import annotations

import csv
import heapq
import io
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import astuple
from datetime import UTC, datetime
from functools import partial

from edge.events.unknown import UNKNOWN
from edge.outputs.history_reader import StoredEvent
from edge.scoring.annotations import LABEL_FRAME_S

Printer = Callable[[Iterable[StoredEvent]], Iterator[str]]

COLUMNS = (
    "time", "class", "onset_s", "offset_s", "azimuth_deg", "elevation_deg", "score", "sector", "clip",
    "level_db",
)  # fmt: skip


def printer(kind: str, since_s: float | None, model: str | None) -> Printer:
    """Return the function that formats events.

    Args:
        kind: `table`, `csv`, `json` or `dcase`.
        since_s: Unix time of label frame 0 of `dcase`; without it, that of the first event.
        model: bundle whose classes give the numbers of `dcase`; the default one without it.

    Raises:
        ValueError: the bundle cannot be used.
    """
    if kind != "dcase":
        return {"table": _table, "csv": _csv, "json": _json}[kind]
    from edge.nets.bundle import find_bundle, read_manifest
    from edge.run_settings import DEFAULT_MODEL

    classes = read_manifest(find_bundle(model or DEFAULT_MODEL)).class_names
    return partial(_label_frames, numbers={name: number for number, name in enumerate(classes)}, since_s=since_s)


def _table(events: Iterable[StoredEvent]) -> Iterator[str]:
    heads = f"{'time':<23}  {'class':<16} {'seconds':>7} {'azimuth':>7} {'elevation':>9} {'score':>5}"
    yield f"{heads}  sector, level, clip"
    for event in events:
        when = datetime.fromtimestamp(event.time_s).astimezone()
        elevation = "" if event.elevation_deg is None else f"{event.elevation_deg:.0f}"
        level = "" if event.level_db is None else f"{event.level_db:.0f} dB"
        more = ", ".join(part for part in (event.sector, level, event.clip) if part)
        yield (
            f"{when:%Y-%m-%d %H:%M:%S}.{when.microsecond // 1000:03d}  {_printable(event.name):<16} "
            f"{event.offset_s - event.onset_s:>7.1f} {event.azimuth_deg:>7.0f} {elevation:>9} {event.score:>5.2f}  "
            f"{_printable(more)}"
        ).rstrip()


def _csv(events: Iterable[StoredEvent]) -> Iterator[str]:
    line = io.StringIO()
    writer = csv.writer(line, lineterminator="")
    writer.writerow(COLUMNS)
    yield line.getvalue()
    for event in events:
        line.seek(0)
        line.truncate()
        writer.writerow(_values(event))
        yield line.getvalue()


def _json(events: Iterable[StoredEvent]) -> Iterator[str]:
    for event in events:
        record = dict(zip(COLUMNS, _values(event), strict=True))
        ordered = {name: record[name] for name in ("class", *(name for name in COLUMNS[2:7]), "time")}
        yield json.dumps(
            ordered | {name: record[name] for name in COLUMNS[7:] if record[name] not in ("", None)}, ensure_ascii=False
        )


def _label_frames(events: Iterable[StoredEvent], numbers: dict[str, int], since_s: float | None) -> Iterator[str]:
    """Rows `frame,class,track,azimuth,elevation` in the order of time; the track is the number of the event."""
    waiting: list[tuple[int, int, int, int, int]] = []  # rows of events that may overlap with the next one
    for event in events:
        if event.name == UNKNOWN:  # it has no class
            continue
        if event.name not in numbers:
            raise ValueError(f"got class {event.name!r}, wanted one of {', '.join(numbers)}: see --model")
        since_s = event.time_s if since_s is None else since_s
        first = round((event.time_s - since_s) / LABEL_FRAME_S)
        while waiting and waiting[0][0] < first:
            yield ",".join(map(str, heapq.heappop(waiting)))
        elevation = round(event.elevation_deg or 0.0)
        for frame in range(first, first + max(1, round((event.offset_s - event.onset_s) / LABEL_FRAME_S))):
            row = (frame, numbers[event.name], event.id, round(event.azimuth_deg), elevation)
            heapq.heappush(waiting, row)
    while waiting:
        yield ",".join(map(str, heapq.heappop(waiting)))


def _values(event: StoredEvent) -> tuple[object, ...]:
    time = datetime.fromtimestamp(event.time_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return time, *astuple(event)[2:]


def _printable(text: str) -> str:
    """The text without control characters, which a terminal would obey."""
    return "".join(character if character.isprintable() else "?" for character in text)
