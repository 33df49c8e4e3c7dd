"""`seld-edge listen`: a source -> the sound from one direction, as raw samples on stdout, in a file or in a pipe."""

from __future__ import annotations

import argparse
import sys
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from edge.commands.options import add_array_option, with_options

if TYPE_CHECKING:
    from edge.commands.options import Subparsers
    from edge.run_settings import RunSettings

RATE_HZ = 24000


def add_listen_parser(subparsers: Subparsers) -> None:
    """Add the command and its options."""
    parser = subparsers.add_parser(
        "listen",
        help="play the sound from one direction to a pipe or file, as raw samples",
        description=f"Writes 16-bit integers, little-endian, one channel, {RATE_HZ} Hz: "
        f"seld-edge listen --azimuth 30 | aplay -t raw -f S16_LE -c 1 -r {RATE_HZ}",
    )
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--azimuth", type=float, metavar="DEG", help="counter-clockwise from the front")
    where.add_argument("--sector", dest="sector_name", metavar="NAME", help="the middle of a sector of the settings")
    parser.add_argument("--elevation", type=float, default=0.0, metavar="DEG", help="up from the horizon (default: 0)")
    parser.add_argument("--seconds", type=float, metavar="N", help="end after so much sound")
    parser.add_argument("--out", default="-", metavar="FILE|-", help="file or pipe to write to (default: stdout)")
    parser.add_argument(
        "--source", metavar="mic|-|FILE|demo", help="what to listen to (default: that of the settings, or mic)"
    )
    parser.add_argument(
        "--realtime", action="store_true", default=None, help="play a file at the pace at which it was recorded"
    )
    parser.add_argument("--config", type=Path, metavar="FILE.toml", help="settings file; options take precedence")
    add_array_option(parser)
    parser.set_defaults(run=run_listen_command)


def run_listen_command(args: argparse.Namespace) -> int:
    """Write the beam until the source ends or a signal comes; returns 0.

    Raises:
        ValueError: an option makes no sense, or the array or source cannot be used.
        OSError: the microphone cannot be opened, or the output cannot be written.
    """
    from edge.arrays.profile import load_array
    from edge.audio.wav import to_pcm16
    from edge.commands.introduction import introduce_beam
    from edge.commands.live import open_settings_source
    from edge.frontend.beam_stream import Listener
    from edge.geometry import unit_vector
    from edge.run_settings import RunSettings, read_settings
    from edge.runtime.interruption import Interruption

    if args.seconds is not None and not 0.0 < args.seconds <= 1e7:
        raise ValueError(f"got --seconds {args.seconds:g}, wanted more than 0, at most 10000000")
    settings = with_options(read_settings(args.config) if args.config else RunSettings(), args)
    azimuth_deg, elevation_deg = _direction_deg(args, settings)
    array = load_array(settings.array)
    beam = Listener(array, RATE_HZ).toward(unit_vector(azimuth_deg, elevation_deg) @ settings.mount.rotation)
    left = sys.maxsize if args.seconds is None else round(args.seconds * RATE_HZ)
    with Interruption() as interruption, ExitStack() as stack:
        source = stack.enter_context(open_settings_source(settings.source or "mic", settings, array, RATE_HZ))
        out = sys.stdout.buffer if args.out == "-" else stack.enter_context(Path(args.out).open("wb"))
        introduce_beam(source, array, azimuth_deg, elevation_deg, RATE_HZ, args.out)
        for block in chain(map(beam, interruption.until_stopped(source)), beam.finish()):
            samples = block.samples[:left]
            out.write(to_pcm16(samples).tobytes())
            out.flush()
            left -= len(samples)
            if left == 0:
                break
    return 0


def _direction_deg(args: argparse.Namespace, settings: RunSettings) -> tuple[float, float]:
    """Azimuth and elevation, in the room, that the options ask for."""
    if args.sector_name is not None:
        sectors = {sector.name: sector for sector in settings.sector}
        if args.sector_name not in sectors:
            raise ValueError(f"got --sector {args.sector_name!r}, wanted one of {', '.join(sectors) or 'the settings'}")
        return sectors[args.sector_name].middle_deg
    if not (abs(args.azimuth) <= 360.0 and abs(args.elevation) <= 90.0):
        raise ValueError(
            f"got direction {args.azimuth:g},{args.elevation:g}, wanted an azimuth of -360 to 360 and an elevation of "
            "-90 to 90"
        )
    return args.azimuth, args.elevation
