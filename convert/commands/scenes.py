"""`seld-convert scenes`: clip libraries -> labelled scenes, as a microphone array would record them."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TYPE_CHECKING

from convert.commands.options import parse_names

if TYPE_CHECKING:
    from convert.commands.options import Subparsers


def add_scenes_parser(subparsers: Subparsers) -> None:
    """Add the `scenes` command and its options to a command line."""
    parser = subparsers.add_parser("scenes", help="simulate labelled scenes from libraries of mono clips")
    parser.add_argument(
        "--clips", type=Path, action="append", required=True, metavar="DIR", help="a clip library; repeatable"
    )
    parser.add_argument("--split", help="use only clips of this split of clips.csv: train or test")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the scenes")
    parser.add_argument("--count", type=int, default=100, metavar="N", help="number of scenes (default: %(default)s)")
    parser.add_argument(
        "--seed", type=int, default=0, help="the same seed gives the same scenes (default: %(default)s)"
    )
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, help="number of processes (default: %(default)s)"
    )
    parser.add_argument(
        "--array", default="foa", metavar="NAME|FILE.toml", help="the microphone array (default: %(default)s)"
    )
    parser.add_argument(
        "--settings",
        metavar="NAME|FILE.toml",
        help="a preset such as home, or a file with the keys of docs/settings.md",
    )
    parser.add_argument(
        "--only-source",
        metavar="NAME,...",
        help="use only clips of these sources, as clips.csv names them or with *",
    )
    parser.add_argument("--without-source", metavar="NAME,...", help="leave out the clips of these sources")
    parser.add_argument(
        "--dask", metavar="tcp://HOST:PORT", help="a Dask scheduler whose workers make the scenes, instead of --jobs"
    )
    parser.set_defaults(run=run_scenes)


def run_scenes(args: argparse.Namespace) -> int:
    """Write the scenes; return 0.

    Raises:
        ValueError: an option, the settings or the clips are invalid.
    """
    from convert.clips.choose import choose_sources
    from convert.clips.library import load_clip_library, merge_libraries
    from convert.scenes.render import make_scenes, sample_rate_hz
    from convert.scenes.settings import SceneSettings, load_scene_settings
    from edge.arrays.profile import load_array

    settings = load_scene_settings(args.settings) if args.settings else SceneSettings()
    array = load_array(args.array)
    rate_hz = sample_rate_hz(array, settings.array)
    library = merge_libraries([load_clip_library(folder, args.split, rate_hz) for folder in args.clips])
    library = choose_sources(library, parse_names(args.only_source), parse_names(args.without_source))
    make_scenes(library, settings, args.seed, args.count, args.out, args.jobs, array, args.dask)
    return 0
