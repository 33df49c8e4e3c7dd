"""What the commands of `seld-edge` do. Their words are in `edge/cli.py`."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import fields, replace

from edge.arrays.fitting import fitting_arrays
from edge.arrays.profile import load_array
from edge.audio.microphone import list_devices
from edge.audio.sources import Source, open_source
from edge.audio.stream_time import StreamTime
from edge.device.apply import apply, undo
from edge.device.board import load_board, recognised_board
from edge.device.check import check_array, record
from edge.device.install import carry_out, installation, removal
from edge.device.system_files import array_setting, system_files
from edge.geometry import unit_vector
from edge.nets.bundle import load_bundle, read_manifest, shipped_bundles
from edge.outputs.mqtt import Listener
from edge.outputs.prometheus import MetricsFile, MetricsServer
from edge.outputs.sinks import SinkOptions, open_sink
from edge.run_settings import DEFAULT_MODEL, RunSettings, read_settings
from edge.runtime.governor import BudgetSettings, Governor
from edge.runtime.pipeline import Interruption, build_pipeline, build_system, decode_settings, run
from edge.runtime.statistics import RunMonitor, StatsFile, reported
from edge.runtime.supervision import Reloader, supervised
from edge.scoring.demo import run_demo
from edge.stage_clock import StageClock
from edge.systems import System

log = logging.getLogger(__name__)


def _settings(args: argparse.Namespace, base: RunSettings) -> RunSettings:
    """The base settings with those replaced that were given on the command line."""
    given = {item.name: getattr(args, item.name, None) for item in fields(RunSettings)}
    if given["sinks"] is not None:
        given["sinks"] = tuple(given["sinks"])
    return replace(base, **{name: value for name, value in given.items() if value is not None})


def _demo(args: argparse.Namespace) -> int:
    settings = _settings(args, RunSettings())
    return run_demo(settings.model, settings.threads, args.out)


def _run(args: argparse.Namespace) -> int:
    def read() -> RunSettings:
        return _settings(args, read_settings(args.config) if args.config else RunSettings())

    def change(wanted: RunSettings) -> None:
        pipeline.change(decode_settings(bundle, wanted.decode), wanted.budget)

    settings = read()
    bundle = load_bundle(settings.model)
    array = load_array(settings.array)
    system = build_system(bundle, settings.threads, settings.system)
    pipeline = build_pipeline(bundle, array, system, settings.decode, StageClock(settings.budget.step_ms))
    if not array.heard_as(bundle.manifest.arrays):
        trained, flat = ", ".join(bundle.manifest.arrays), " is flat and" if array.planar else ""
        log.warning(
            "%s was trained for %s: array %s%s sounds otherwise, it will find less, and less well",
            settings.model,
            trained,
            array.name,
            flat,
        )
    with Interruption() as interruption, ExitStack() as stack:
        source = stack.enter_context(
            open_source(
                settings.source,
                array.channels,
                bundle.manifest.stft.sample_rate_hz,
                realtime=settings.realtime,
                raw=settings.stdin,
                device=settings.microphone.device or array.device,
                native_rate_hz=array.native_rate_hz,
                deadline_s=settings.microphone.deadline_s,
            )
        )
        pipeline.governor = _governor(settings.budget, source, system, bundle.manifest.stft.label_s)
        when = StreamTime(bundle.manifest.stft.sample_rate_hz, source.age_s) if source.live else None
        monitor = RunMonitor(pipeline)
        listener = Listener(bundle.manifest.name, array.name, bundle.manifest.class_names, monitor.health)
        options = SinkOptions(settings.jsonl, settings.mqtt, listener)
        for spec in dict.fromkeys(settings.sinks):
            monitor.sinks[spec] = sink = open_sink(spec, when, options)
            stack.callback(sink.close)
        if settings.stats is not None:
            stack.push(StatsFile(settings.stats, monitor.stats))
        if (metrics := settings.prometheus).port is not None:
            stack.push(MetricsServer(metrics.address, metrics.port, monitor.stats))
        if metrics.textfile is not None:
            stack.push(MetricsFile(metrics.textfile, metrics.every_s, monitor.stats))
        log.info("listening to %s with %s, answers within %.1f s", source.name, settings.model, pipeline.latency_s)
        reloader = stack.enter_context(Reloader(settings, read if args.config else None, change))
        blocks = reloader.between(interruption.until_stopped(source if when is None else when.followed(source)))
        blocks = reported(blocks, pipeline, lambda: reloader.settings.metrics_minutes, monitor.stats)
        blocks = supervised(blocks, pipeline, monitor.status)
        run(blocks, pipeline, [monitor.counter, *monitor.sinks.values()])
        for line in monitor.stats().lines():
            log.info(line)
    return 0


def _governor(budget: BudgetSettings, source: Source, system: System, label_s: float) -> Governor | None:
    """What watches a source that is heard in real time, and sets the level if the settings let it."""
    governed = source.real_time if budget.governor is None else budget.governor
    if not governed and not source.real_time:
        return None
    levels = system.levels if governed else system.levels[:1]
    return Governor(budget, levels, system.set_level, source.age_s, label_s)


def _file(args: argparse.Namespace) -> int:
    settings = _settings(args, RunSettings())
    stems = [path.stem for path in args.wavs]
    twice = {stem for stem in stems if stems.count(stem) > 1}
    if twice:
        raise ValueError(
            f"got several files named {sorted(twice)[0]}.wav, wanted different names: they share {args.out}"
        )
    bundle = load_bundle(settings.model)
    array = load_array(settings.array)
    pipeline = build_pipeline(bundle, array, build_system(bundle, settings.threads))
    args.out.mkdir(parents=True, exist_ok=True)
    for path in args.wavs:
        pipeline.reset()
        with ExitStack() as stack:
            source = stack.enter_context(open_source(str(path), array.channels, bundle.manifest.stft.sample_rate_hz))
            sinks = [
                open_sink(f"{kind}:{args.out / path.stem}.{end}")
                for kind, end in (("dcase", "csv"), ("jsonl", "jsonl"))
            ]
            for sink in sinks:
                stack.callback(sink.close)
            run(source, pipeline, sinks)
    return 0


def _models(args: argparse.Namespace) -> int:
    for name, folder in shipped_bundles().items():
        manifest = read_manifest(folder)
        size_kb = sum(path.stat().st_size for path in folder.glob("*.tflite")) / 1000
        default = " (default)" if name == DEFAULT_MODEL else ""
        print(
            f"{name}{default}: {manifest.system}, {manifest.precision}, {size_kb:.0f} kB, "
            f"arrays {', '.join(manifest.arrays)}; "
            f"{len(manifest.class_names)} classes: {', '.join(manifest.class_names)}"
        )
    return 0


def _devices(args: argparse.Namespace) -> int:
    found = list_devices()
    for device in found:
        rates = ", ".join(str(rate) for rate in device.rates_hz) or "none of the usual rates"
        fitting = ", ".join(fitting_arrays(device))
        said = f", array {fitting}" if fitting else ""
        print(f"{device.index}: {device.name}, {device.channels} channels, {rates} Hz{said}")
    if not found:
        print("no capture device with 4 channels or more", file=sys.stderr)
    return 0


def _check(args: argparse.Namespace) -> int:
    array = load_array(args.array)
    direction = None if args.direction is None else unit_vector(*_direction_deg(args.direction))
    samples, rate_hz = record(args.source, array, args.seconds, args.device)
    found = check_array(samples, rate_hz, array, direction)
    for finding in found:
        print(finding)
    if not found:
        print(f"{array.name}: nothing wrong in {len(samples) / rate_hz:.1f} s at {rate_hz} Hz")
    return 1 if found else 0


def _direction_deg(text: str) -> tuple[float, float]:
    try:
        azimuth_deg, elevation_deg = map(float, text.split(",")) if "," in text else (float(text), 0.0)
    except ValueError:
        raise ValueError(f"got direction {text!r}, wanted AZIMUTH or AZIMUTH,ELEVATION in degrees") from None
    if not (abs(azimuth_deg) <= 360.0 and abs(elevation_deg) <= 90.0):
        raise ValueError(f"got direction {text!r}, wanted an azimuth of -360 to 360 and an elevation of -90 to 90")
    return azimuth_deg, elevation_deg


def _install(args: argparse.Namespace) -> int:
    carry_out(installation(args.prefix), args.prefix, args.dry_run)
    return 0


def _uninstall(args: argparse.Namespace) -> int:
    carry_out(removal(args.prefix), args.prefix, args.dry_run)
    return 0


def _apply(args: argparse.Namespace) -> int:
    if args.undo:
        return 0 if undo(args.prefix) else 1
    if args.array is None:
        raise ValueError("got no --array, wanted the one that is to be heard: `seld-edge devices` tells")
    array = load_array(args.array)
    board = load_board(args.board) if args.board else recognised_board(args.prefix)
    apply(system_files(board, array, array_setting(args.array)), args.prefix, args.write)
    return 0


COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "demo": _demo,
    "run": _run,
    "file": _file,
    "models": _models,
    "devices": _devices,
    "check": _check,
    "install-service": _install,
    "uninstall-service": _uninstall,
    "apply": _apply,
    "bench": lambda args: int(args.run(args)),
}
