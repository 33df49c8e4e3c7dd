"""A run and its settings -> its page in the browser, where the settings want one."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from edge import __version__
from edge.arrays.profile import ArrayProfile
from edge.audio.sources import Source
from edge.events.records import When
from edge.events.unknown import names_of_events
from edge.nets.bundle import Bundle
from edge.page.health import StepTimes, health_record
from edge.page.page import Files, Page, open_page
from edge.run_settings import RunSettings
from edge.runtime.pause import Pause
from edge.runtime.pipeline import Pipeline
from edge.runtime.statistics import RunMonitor

log = logging.getLogger(__name__)


@contextmanager
def shown_pages(
    settings: RunSettings,
    bundle: Bundle,
    array: ArrayProfile,
    source: Source,
    when: When | None,
    pipeline: Pipeline,
    monitor: RunMonitor,
    pause: Pause,
) -> Iterator[list[Page]]:
    """Serve the page of a run until the `with` block ends, and enter it into the monitor as a sink.

    Args:
        settings: of the run.
        bundle: the model.
        array: the array that is heard.
        source: what is heard.
        when: gives the time of day for seconds of a live source; None for a file.
        pipeline: gets the page as its observer.
        monitor: observes the run.
        pause: pauses the run where a page asks for it.

    Yields:
        The page; nothing where the settings want none.

    Raises:
        ValueError: as `open_page`.
        OSError: as `open_page`.
    """
    if not settings.page.enabled:
        yield []
        return
    best_level = None if pipeline.governor is None else pipeline.governor.stats().level

    def health(steps: StepTimes | None) -> Mapping[str, Any]:
        return health_record(monitor, steps, best_level)

    about = {
        "version": __version__,
        "source": source.name,
        "live": source.live,
        "model": bundle.manifest.name,
        "array": array.name,
        "flat": array.planar,
        "channels": array.channels,
        "classes": list(names_of_events(bundle.manifest.class_names, settings.unknown)),
        "latency_s": round(pipeline.latency_s, 2),
        "rate_hz": bundle.manifest.stft.sample_rate_hz,
        "budget_ms": settings.budget.step_ms,
        "clips": settings.clips.folder is not None,
        "can_pause": True,
        "sectors": [asdict(sector) for sector in settings.sector],
    }

    def asked(message: Mapping[str, Any]) -> None:
        if message["kind"] == "pause":
            pause.set(message["paused"])

    database = settings.history.database if "history:" in settings.sinks else None
    files = Files(database, settings.clips.folder)
    stft, budget_ms = bundle.manifest.stft, settings.budget.step_ms
    with open_page(settings.page, about, stft, when, budget_ms, health, files, asked) as page:
        monitor.sinks["page"] = page
        pipeline.observer = page.feed
        log.warning("page: open %s in a browser", page.url)
        yield [page]
