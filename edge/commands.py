"""What the commands of `seld-edge` do: demo, run, file, models, devices. Their words are in `edge/cli.py`."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import fields, replace
from datetime import UTC, datetime

from edge.array import load_array
from edge.bundle import load_bundle, read_manifest, shipped_bundles
from edge.capture import Source, open_source
from edge.clock import StageClock
from edge.config import DEFAULT_MODEL, RunSettings, read_settings
from edge.demo import run_demo
from edge.governor import BudgetSettings, Governor
from edge.microphone import list_devices
from edge.runtime import Interruption, build_pipeline, build_system, run
from edge.sinks import open_sink
from edge.stats import StatsFile, reported, run_stats
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
    settings = _settings(args, read_settings(args.config) if args.config else RunSettings())
    bundle = load_bundle(settings.model)
    array = load_array(settings.array)
    system = build_system(bundle, settings.threads, settings.system)
    pipeline = build_pipeline(bundle, array, system, settings.decode, StageClock(settings.budget.step_ms))
    with Interruption() as interruption, ExitStack() as stack:
        source = stack.enter_context(
            open_source(
                settings.source,
                array.channels,
                bundle.manifest.stft.sample_rate_hz,
                realtime=settings.realtime,
                raw=settings.stdin,
                device=settings.microphone.device,
                deadline_s=settings.microphone.deadline_s,
            )
        )
        pipeline.governor = _governor(settings.budget, source, system, bundle.manifest.stft.label_s)
        started_at = datetime.now(UTC) if source.live else None
        sinks = [open_sink(spec, started_at) for spec in settings.sinks]
        for sink in sinks:
            stack.callback(sink.close)
        if settings.stats is not None:
            stack.push(StatsFile(settings.stats, pipeline))
        log.info("listening to %s with %s, answers within %.1f s", source.name, settings.model, pipeline.latency_s)
        blocks = reported(interruption.until_stopped(source), pipeline, settings.metrics_minutes)
        run(blocks, pipeline, sinks)
        for line in run_stats(pipeline).lines():
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
            f"{name}{default}: {manifest.system}, {manifest.precision}, {size_kb:.0f} kB, array {manifest.array}, "
            f"{len(manifest.class_names)} classes: {', '.join(manifest.class_names)}"
        )
    return 0


def _devices(args: argparse.Namespace) -> int:
    found = list_devices()
    for device in found:
        rates = ", ".join(str(rate) for rate in device.rates_hz) or "none of the usual rates"
        print(f"{device.index}: {device.name}, {device.channels} channels, {rates} Hz")
    if not found:
        print("no capture device with 4 channels or more", file=sys.stderr)
    return 0


COMMANDS: dict[str, Callable[[argparse.Namespace], int]] = {
    "demo": _demo,
    "run": _run,
    "file": _file,
    "models": _models,
    "devices": _devices,
    "bench": lambda args: int(args.run(args)),
}
