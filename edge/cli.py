"""The `seld-edge` command: demo, run, file, models, devices."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from edge import __version__
from edge.array import load_array, shipped_arrays
from edge.bundle import load_bundle, read_manifest, shipped_bundles
from edge.capture import open_source
from edge.config import DEFAULT_MODEL, RunSettings, read_settings
from edge.demo import run_demo
from edge.litert import RUNTIME
from edge.microphone import list_devices
from edge.runtime import Interruption, build_pipeline, build_system, run
from edge.sinks import open_sink

log = logging.getLogger(__name__)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0, or 2 with one line on stderr for bad input."""
    args = _parser().parse_args(argv)
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO if args.verbose else logging.WARNING, format="%(levelname)s: %(message)s"
    )
    try:
        code = int(args.run(args))
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains once more at exit
        print("seld-edge: stdout: the reader has closed the pipe", file=sys.stderr)
        return 2
    except (ValueError, OSError) as error:
        print(f"seld-edge: {error}", file=sys.stderr)
        return 2
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="seld-edge", description="What sounded, when, and from where: events from a 4-channel microphone array."
    )
    parser.add_argument("--version", action="version", version=f"seld-edge {__version__} ({RUNTIME})")
    parser.add_argument("-v", "--verbose", action="store_true", help="say more on stderr")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    demo = commands.add_parser("demo", help="run the shipped model on the shipped scene and score it")
    demo.add_argument("--model", default=DEFAULT_MODEL, metavar="NAME|DIR", help="bundle (default: %(default)s)")
    demo.add_argument("--threads", type=int, default=1, help="of the interpreter (default: %(default)s)")
    demo.add_argument("--out", type=Path, metavar="DIR", help="also write scene.csv and scene.jsonl there")
    demo.set_defaults(run=lambda args: run_demo(args.model, args.threads, args.out))

    live = commands.add_parser("run", help="listen to a source until it ends or a signal comes")
    live.add_argument("--source", metavar="demo|mic|-|FILE.wav", help="default: demo; - is raw PCM on stdin")
    live.add_argument(
        "--sink", action="append", metavar="SINK", help="jsonl:-, jsonl:FILE, dcase:FILE, null; repeatable"
    )
    live.add_argument("--config", type=Path, metavar="FILE.toml", help="settings; options given here win over it")
    _add_model_options(live)
    live.set_defaults(run=_run)

    files = commands.add_parser("file", help="wav files to DIR/NAME.csv and DIR/NAME.jsonl, as fast as it can")
    files.add_argument("wavs", nargs="+", type=Path, metavar="FILE.wav")
    files.add_argument("--out", type=Path, required=True, metavar="DIR")
    _add_model_options(files)
    files.set_defaults(run=_file)

    commands.add_parser("models", help="list the shipped bundles").set_defaults(run=_models)
    devices = commands.add_parser("devices", help="list the microphones that could be used")
    devices.set_defaults(run=_devices)
    return parser


def _add_model_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", metavar="NAME|DIR", help=f"bundle (default: {DEFAULT_MODEL})")
    arrays = ", ".join(shipped_arrays())
    parser.add_argument("--array", metavar="NAME|FILE.toml", help=f"microphone array: {arrays} (default: foa)")
    parser.add_argument("--threads", type=int, help="of the interpreter (default: 1)")


def _settings(args: argparse.Namespace, base: RunSettings) -> RunSettings:
    """The base settings with those replaced that were given on the command line."""
    given = {name: getattr(args, name) for name in ("model", "array", "threads") if getattr(args, name) is not None}
    return replace(base, **given)


def _run(args: argparse.Namespace) -> int:
    settings = _settings(args, read_settings(args.config) if args.config else RunSettings())
    if args.source is not None:
        settings = replace(settings, source=args.source)
    if args.sink is not None:
        settings = replace(settings, sinks=tuple(args.sink))
    bundle = load_bundle(settings.model)
    array = load_array(settings.array)
    system = build_system(bundle, settings.threads, settings.system)
    pipeline = build_pipeline(bundle, array, system, settings.decode)
    with Interruption() as interruption, ExitStack() as stack:
        source = stack.enter_context(
            open_source(
                settings.source,
                array.channels,
                bundle.manifest.stft.sample_rate_hz,
                raw=settings.stdin,
                device=settings.microphone.device,
                deadline_s=settings.microphone.deadline_s,
            )
        )
        started_at = datetime.now(UTC) if source.live else None
        sinks = [open_sink(spec, started_at) for spec in settings.sinks]
        for sink in sinks:
            stack.callback(sink.close)
        log.info("listening to %s with %s, answers within %.1f s", source.name, settings.model, pipeline.latency_s)
        run(interruption.until_stopped(source), pipeline, sinks)
    return 0


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
