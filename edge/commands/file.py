"""`seld-edge file`: audio files -> a DCASE csv and JSON lines for each, as fast as the machine can."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from edge.commands.options import add_array_option, add_model_options, with_options

if TYPE_CHECKING:
    from edge.commands.options import Subparsers

OUTPUTS = (("dcase", "csv"), ("jsonl", "jsonl"))  # kind of sink, ending of its file


def add_file_parser(subparsers: Subparsers) -> None:
    """Add the command and its options."""
    parser = subparsers.add_parser("file", help="write the events of audio files to DIR/NAME.csv and DIR/NAME.jsonl")
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="audio file with the channels of the array")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write to; made if missing")
    add_model_options(parser)
    add_array_option(parser)
    parser.set_defaults(run=run_file_command)


def run_file_command(args: argparse.Namespace) -> int:
    """Process the files one after the other; returns 0.

    Raises:
        ValueError: two files would be written to the same outputs, or a file, model or array cannot be used.
        OSError: an output cannot be written.
    """
    from contextlib import ExitStack

    from edge.arrays.profile import load_array
    from edge.audio.sources import open_source
    from edge.commands.introduction import chosen_bundle, introduce
    from edge.outputs.sinks import open_sink
    from edge.run_settings import RunSettings
    from edge.runtime.pipeline import build_pipeline, build_system, run

    settings = with_options(RunSettings(), args)
    check_stems(args.files, args.out)
    array = load_array(settings.array)
    bundle = chosen_bundle(settings, array)
    pipeline = build_pipeline(bundle, array, build_system(bundle, settings.threads, array=array))
    args.out.mkdir(parents=True, exist_ok=True)
    for path in args.files:
        pipeline.reset()
        targets = {kind: args.out / f"{path.stem}.{ending}" for kind, ending in OUTPUTS}
        with ExitStack() as stack:
            rate_hz = bundle.manifest.stft.sample_rate_hz
            source = stack.enter_context(
                open_source(str(path), array.channels, rate_hz, used_channels=array.channel_map)
            )
            introduce(source, array, bundle, [str(target) for target in targets.values()], pipeline.latency_s)
            sinks = [open_sink(f"{kind}:{target}", replace=True) for kind, target in targets.items()]
            for sink in sinks:
                stack.callback(sink.close)
            run(source, pipeline, sinks)
    return 0


def check_stems(files: list[Path], out: Path) -> None:
    """Refuse files whose outputs would be the same.

    Raises:
        ValueError: two files have the same name, without folder and ending.
    """
    stems = [path.stem for path in files]
    for path in files:
        if stems.count(path.stem) > 1:
            same = ", ".join(str(each) for each in files if each.stem == path.stem)
            raise ValueError(f"got {same}, wanted different names: all would be written to {out / path.stem}.csv")
