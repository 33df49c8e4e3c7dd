"""The history on disk, and what this run has heard since its last commit -> the answers to what the page asks."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from pathlib import Path

from edge.outputs.history_reader import StoredEvent, Wanted, open_history
from edge.page.recent import HOURS, Counts, Query, Recent, Record

log = logging.getLogger(__name__)


class Stored:
    """The events of a history, with their clips."""

    def __init__(self, database: Path, clips: Path | None, recent: Recent) -> None:
        """Remember where to look; nothing is opened.

        Args:
            database: that of the sink `history:`. A database that is not there yet has no events.
            clips: folder of the clips; None where none are kept.
            recent: the events of this run.
        """
        self._database, self._clips, self._recent = database, clips, recent

    def events(self, query: Query) -> list[Record]:
        """Return the latest first, those that are not stored yet among them."""
        try:
            with open_history(self._database) as history:
                stored = [self._record(event) for event in history.events(_wanted(query), query.limit)]
        except ValueError as error:
            log.warning("page: %s", error)
            return self._recent.events(query)
        first_s = stored[0]["at_s"] if len(stored) == query.limit else 0.0
        known = {_key(record) for record in stored}
        fresh = [each for each in self._recent.events(query) if each["at_s"] >= first_s and _key(each) not in known]
        return sorted([*stored, *fresh], key=lambda record: record["at_s"], reverse=True)[: query.limit]

    def counts(self, query: Query) -> Counts:
        """Count what is stored."""
        hours: dict[str, list[int]] = {}
        try:
            with open_history(self._database) as history:
                for start_s, name, count in history.per_hour(_wanted(query)):
                    hour = int((start_s - (query.since_s or 0.0)) // 3600)
                    if 0 <= hour < HOURS:
                        hours.setdefault(name, [0] * HOURS)[hour] += count
                return Counts(hours, history.rose(_wanted(query)))
        except ValueError as error:
            log.warning("page: %s", error)
            return self._recent.counts(query)

    def clip(self, name: str) -> Path | None:
        """Return the file of a clip, if it is in the folder."""
        if self._clips is None or Path(name).name != name or name.startswith("."):
            return None
        path = self._clips / name
        return path if path.is_file() and not path.is_symlink() else None

    def _record(self, event: StoredEvent) -> Record:
        record: Record = {
            "class": event.name,
            "onset_s": event.onset_s,
            "offset_s": event.offset_s,
            "azimuth_deg": event.azimuth_deg,
            "elevation_deg": event.elevation_deg,
            "score": event.score,
            "time": datetime.fromtimestamp(event.time_s, UTC).isoformat(timespec="milliseconds"),
            "sector": event.sector or None,
            "clip": event.clip if event.clip and self.clip(event.clip) else None,
            "at_s": event.time_s,
        }
        return record if event.level_db is None else record | {"level_db": event.level_db}


def _wanted(query: Query) -> Wanted:
    return Wanted(query.since_s, query.until_s, query.name, query.sector)


def _key(record: Record) -> tuple[str, float, int]:
    """What tells an event from others, in a record as in the database."""
    return record["class"], round(record["onset_s"], 1), round(record["azimuth_deg"])
