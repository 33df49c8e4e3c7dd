"""Settings -> a run: a source through a pipeline into sinks, until the source ends or a signal stops it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from edge.arrays.profile import ArrayProfile, load_array
from edge.audio.sources import Source, open_source
from edge.audio.stream_time import StreamTime
from edge.audio.tap import tapped
from edge.commands.introduction import chosen_bundle, introduce
from edge.commands.page import shown_pages
from edge.commands.reloader import Reloader
from edge.events.records import When
from edge.events.surroundings import surroundings_of
from edge.events.unknown import DELAY_LABELS, names_of_events
from edge.nets.bundle import Bundle
from edge.nets.fitting import fitting_bundles
from edge.outputs.clips import Clips, HeardBy
from edge.outputs.device_info import DeviceInfo
from edge.outputs.metrics import published_metrics
from edge.outputs.mqtt import MqttSink
from edge.outputs.rules import RuleSink, check_rules
from edge.outputs.sinks import SinkSettings, open_sink
from edge.run_settings import RunSettings
from edge.runtime.budget import BudgetSettings
from edge.runtime.governor import Governor
from edge.runtime.interruption import Interruption
from edge.runtime.log_limit import repeated_warnings_limited
from edge.runtime.pause import Pause
from edge.runtime.pipeline import Pipeline, build_encoder, build_pipeline, build_system, decode_settings, run
from edge.runtime.statistics import RunMonitor, StatsFile, reported
from edge.runtime.supervision import supervised, thread_errors_logged
from edge.stage_clock import StageClock
from edge.systems import System

log = logging.getLogger(__name__)


def listen(
    settings: RunSettings,
    reread: Callable[[], RunSettings] | None = None,
    config: Path | None = None,
    repeat: bool = False,
) -> None:
    """Run the loop of `seld-edge run`.

    Args:
        settings: all that it is told.
        reread: returns the settings as they are now, after SIGHUP; None where there is no file to read.
        config: the file that the settings are from, for error messages.
        repeat: whether a file begins again after its end, until a signal comes.

    Raises:
        ValueError: a setting makes no sense, a bundle, array or source cannot be used, or the source gave bad samples.
        OSError: the source failed, or a sink could not be opened or could not deliver.
    """
    if settings.source is None:
        raise ValueError("got no source, wanted mic, -, a file or demo")
    array = load_array(settings.array)
    bundle = chosen_bundle(settings, array)
    _warn_of_other_arrays(bundle, array)
    clock = StageClock(settings.budget.step_ms)
    with _naming(config):
        system = build_system(bundle, settings.threads, settings.system, array=array, clock=clock)
        decode_settings(bundle, settings.decode)
        surroundings = surroundings_of(settings.mount, settings.sector, array.planar)
    encode = build_encoder(bundle, array)  # takes seconds on a small board: done before a microphone opens
    with Interruption() as interruption, ExitStack() as stack:
        stack.enter_context(thread_errors_logged())
        stack.enter_context(repeated_warnings_limited())
        rate_hz = bundle.manifest.stft.sample_rate_hz
        source = stack.enter_context(open_settings_source(settings.source, settings, array, rate_hz, repeat))
        governor = _governor(settings.budget, source, system, bundle.manifest.stft.label_s)
        with _naming(config):
            pipeline = build_pipeline(
                bundle,
                array,
                system,
                settings.decode,
                governor=governor,
                encode=encode,
                surroundings=surroundings,
                classes=settings.classes,
                level=settings.level,
                unknown=settings.unknown,
            )
        pause = stack.enter_context(Pause())
        monitor = RunMonitor(pipeline, source.check, pause)
        sectors = tuple(sector.name for sector in settings.sector if not sector.ignore)
        device = DeviceInfo(
            bundle.manifest.name,
            array.name,
            names_of_events(bundle.manifest.class_names, settings.unknown),
            monitor.health,
            sectors,
            pause,
            None if pipeline.sound_level is None else monitor.sound_level_db,
        )
        when = StreamTime(rate_hz, source.age_s) if source.live else None
        if settings.stats is not None:
            stack.push(StatsFile(settings.stats, monitor.stats))  # written after the sinks have been closed
        with _naming(config):
            _open_sinks(settings, device, when, monitor, stack)
        clips = _open_clips(settings, bundle, array, pipeline, when, monitor, stack)
        monitor.reports |= stack.enter_context(published_metrics(settings.prometheus, monitor.stats, device))
        page = stack.enter_context(shown_pages(settings, bundle, array, source, when, pipeline, monitor, pause))
        introduce(source, array, bundle, list(monitor.sinks), pipeline.latency_s)

        def change(wanted: RunSettings) -> None:
            with _naming(config):
                pipeline.change(decode_settings(bundle, wanted.decode), wanted.budget)

        reloader = stack.enter_context(Reloader(settings, reread, change))
        heard = interruption.until_stopped(source if when is None else when.followed(source))
        blocks = reloader.between(pause.over(heard))
        blocks = tapped(blocks, [*clips, *page])
        blocks = reported(blocks, pipeline, lambda: reloader.settings.metrics_minutes, monitor.stats)
        blocks = supervised(blocks, pipeline, monitor.status, dead=monitor.dead_workers)
        run(blocks, pipeline, [monitor.counter, *monitor.sinks.values()])
        for line in monitor.stats().lines():
            log.info(line)


@contextmanager
def _naming(config: Path | None) -> Iterator[None]:
    """Name the settings file in errors about tables that are checked together with the bundle or the array."""
    try:
        yield
    except ValueError as error:
        if config is None or not str(error).startswith(
            ("system: ", "decode: ", "mount: ", "sector: ", "classes: ", "unknown: ", "rule ")
        ):
            raise
        raise ValueError(f"{config}: {error}") from None


def _warn_of_other_arrays(bundle: Bundle, array: ArrayProfile) -> None:
    """Log a warning if the model was not trained for arrays like this one, and name those that were."""
    if array.heard_as(bundle.manifest.arrays):
        return
    trained, flat = ", ".join(bundle.manifest.arrays), " is flat and" if array.planar else ""
    others = fitting_bundles(array)
    log.warning(
        "%s was trained for %s: array %s%s sounds different, so it finds fewer sources, and less accurately%s",
        bundle.manifest.name,
        trained,
        array.name,
        flat,
        f"; for such arrays there is --model {' or '.join(others)}" if others else "",
    )


def open_settings_source(
    spec: str, settings: RunSettings, array: ArrayProfile, sample_rate_hz: int, repeat: bool = False
) -> Source:
    """Open a source as the settings say: see `open_source`."""
    return open_source(
        spec,
        array.channels,
        sample_rate_hz,
        realtime=settings.realtime,
        repeat=repeat,
        raw=settings.stdin,
        device=settings.microphone.device or array.device,
        native_rate_hz=array.native_rate_hz,
        deadline_s=settings.microphone.deadline_s,
        wait=settings.microphone.wait,
        used_channels=array.channel_map,
        channel_fault_s=settings.microphone.channel_fault_s,
    )


def _governor(budget: BudgetSettings, source: Source, system: System, label_s: float) -> Governor | None:
    """Return the governor of a source that runs in real time; it only watches if the settings say so."""
    governed = source.real_time if budget.governor is None else budget.governor
    if not governed and not source.real_time:
        return None
    levels = system.levels if governed else system.levels[:1]
    return Governor(budget, levels, system.set_level, source.age_s, label_s)


def _open_sinks(
    settings: RunSettings, device: DeviceInfo, when: When | None, monitor: RunMonitor, stack: ExitStack
) -> None:
    """Open each sink once and enter it into the monitor; the stack closes them."""
    sink_settings = SinkSettings(settings.jsonl, settings.mqtt, settings.lines, settings.live, settings.history)
    for spec in dict.fromkeys(settings.sinks):
        monitor.sinks[spec] = sink = open_sink(spec, when, sink_settings, device)
        stack.callback(sink.close)
    if settings.rule:
        check_rules(settings.rule, device.class_names, device.sectors)
        publish = next((sink.publish for sink in monitor.sinks.values() if isinstance(sink, MqttSink)), None)
        monitor.sinks["rules"] = rules = RuleSink(settings.rule, when, settings.quiet, publish)
        stack.callback(rules.close)


def _open_clips(
    settings: RunSettings,
    bundle: Bundle,
    array: ArrayProfile,
    pipeline: Pipeline,
    when: When | None,
    monitor: RunMonitor,
    stack: ExitStack,
) -> list[Clips]:
    """Open the clips, if there is a folder for them, and enter them into the monitor; closed before the other sinks."""
    if settings.clips.folder is None:
        return []
    manifest = bundle.manifest
    delay_labels = decode_settings(bundle, settings.decode).delay_labels + 1
    if settings.unknown.enabled:
        delay_labels = max(delay_labels, DELAY_LABELS + 1)
    heard_by = HeardBy(
        array,
        manifest.stft.sample_rate_hz,
        names_of_events(manifest.class_names, settings.unknown),
        pipeline.latency_s + delay_labels * manifest.stft.label_s,
        settings.mount.rotation,
    )
    history = monitor.sinks.get("history:")
    clips = Clips(settings.clips, heard_by, when, getattr(history, "attach", None))
    monitor.sinks["clips"] = clips
    stack.callback(clips.close)
    return [clips]
