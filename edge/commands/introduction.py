"""Settings -> the model of a command; a source, an array, a model and sinks -> the line that says what it listens to.

Lines are logged, and `edge/cli.py` has them shown on stderr even without `--verbose`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from edge.arrays.profile import ArrayProfile
from edge.audio.sources import Source
from edge.nets.bundle import Bundle, load_bundle
from edge.run_settings import DEFAULT_MODEL, RunSettings

log = logging.getLogger(__name__)


def chosen_bundle(settings: RunSettings, array: ArrayProfile) -> Bundle:
    """Load the model that the settings name, or else one that was trained for the array, and log such a choice.

    Raises:
        ValueError: There is no such model, or it is damaged.
    """
    name = settings.model_for(array)
    bundle = load_bundle(name)
    if settings.model is None and name != DEFAULT_MODEL:
        trained = ", ".join(bundle.manifest.arrays)
        log.info("array %s: using %s instead of %s, as it was trained for %s", array.name, name, DEFAULT_MODEL, trained)
    return bundle


def introduce(source: Source, array: ArrayProfile, bundle: Bundle, outputs: Sequence[str], latency_s: float) -> None:
    """Log what is heard, by which model, and where the events go.

    Args:
        source: that was opened.
        array: the array that delivers the channels of the source.
        bundle: the model.
        outputs: sinks or files that get the events.
        latency_s: longest time from a sound to the answer about it.
    """
    manifest = bundle.manifest
    log.info(
        "listening to %s: %d channels at %d Hz, array %s; model %s%s, %d classes, answers within %.1f s; events to %s",
        source.name,
        array.channels,
        source.rate_hz,
        array.name,
        manifest.name,
        " (unchecked)" if manifest.unchecked else "",
        len(manifest.class_names),
        latency_s,
        ", ".join(outputs),
    )


def introduce_beam(
    source: Source, array: ArrayProfile, azimuth_deg: float, elevation_deg: float, rate_hz: int, output: str
) -> None:
    """Log what is heard from which direction, and the format of the samples that are written."""
    log.info(
        "listening to %s: array %s, toward azimuth %g, elevation %g; 16-bit little-endian, one channel, %d Hz, to %s",
        source.name,
        array.name,
        azimuth_deg,
        elevation_deg,
        rate_hz,
        "stdout" if output == "-" else output,
    )
