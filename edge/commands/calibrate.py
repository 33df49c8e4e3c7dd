"""`seld-edge calibrate`: claps from told directions -> mounting, order and gains of the channels, shown or written."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge.arrays.profile import ArrayProfile
    from edge.commands.options import Subparsers
    from edge.device.calibrate import ToldClaps

_TRIES = 2  # of a direction from which no clap was heard
_MOST_DIRECTIONS = 24
_FAULTS = {"DEAD", "COPIED", "INVERTED", "UNRELATED"}  # with these, nothing can be fitted

log = logging.getLogger(__name__)


def add_calibrate_parser(subparsers: Subparsers) -> None:
    """Add the command and its options."""
    parser = subparsers.add_parser(
        "calibrate", help="fit mounting, swapped channels and gains to claps from told directions"
    )
    parser.add_argument("--array", required=True, metavar="NAME|FILE.toml", help="microphone array")
    parser.add_argument("--device", metavar="NAME", help="microphone (default: the one that the array names)")
    parser.add_argument(
        "--directions", type=int, default=4, metavar="N", help="how many directions to clap from (default: 4)"
    )
    parser.add_argument(
        "--seconds", type=float, default=5.0, metavar="N", help="how long to listen to each (default: 5)"
    )
    parser.add_argument(
        "--recording", action="append", default=[], metavar="FILE", help="claps from one direction; one --azimuth each"
    )
    parser.add_argument(
        "--azimuth",
        action="append",
        default=[],
        metavar="AZ[,EL]",
        help="where the claps of a recording came from, in degrees; --azimuth=-90,20 for a negative one with elevation",
    )
    parser.add_argument("--upside-down", choices=("yes", "no"), help="how the array hangs (default: it is fitted)")
    parser.add_argument(
        "--config",
        type=Path,
        default=Path("/etc/seld-edge/config.toml"),
        metavar="FILE",
        help="settings file that gets [mount] (default: /etc/seld-edge/config.toml)",
    )
    parser.add_argument(
        "--profile",
        type=Path,
        metavar="FILE.toml",
        help="profile that gets channel_map and gains (default: that of the array, or one beside the settings)",
    )
    parser.add_argument("--write", action="store_true", help="change the files")
    parser.set_defaults(run=run_calibrate_command)


def run_calibrate_command(args: argparse.Namespace) -> int:
    """Fit, and show or write the changes; returns 0, or 1 where the fit is not sure and nothing is written.

    Raises:
        ValueError: an option makes no sense, a recording cannot be used, or too few claps were heard.
        OSError: the device cannot be opened, or a file cannot be written.
    """
    from edge.arrays.profile import load_array
    from edge.device.apply import print_diff
    from edge.device.calibrate import calibrate
    from edge.device.calibrate_report import advice, report, wanted_files
    from edge.files import write_atomically

    array = load_array(args.array)
    if args.profile is not None and args.profile.suffix != ".toml":
        raise ValueError(f"got profile {args.profile}, wanted a .toml file")
    told = list(_recorded(args, array) if args.recording or args.azimuth else _asked(args, array))
    upside_down = None if args.upside_down is None else args.upside_down == "yes"
    calibration = calibrate(told, array, upside_down)
    for line in report(calibration, told, array):
        print(line)
    if not calibration.is_sure:
        log.warning("%s; nothing is written", advice(calibration))
        return 1
    files = wanted_files(calibration, array, args.array, args.config, args.profile)
    for path, texts in files.items():
        present, wanted = (text.encode() for text in texts)
        print_diff(path, present if path.exists() else None, wanted)
    if not files:
        log.warning("nothing to change")
    elif not args.write:
        log.warning("nothing is written yet: use --write to write these changes")
    else:
        for path, (_, wanted_text) in files.items():  # the profile first: the settings name it
            write_atomically(path.resolve(), wanted_text, sync=True)
    return 0


def _recorded(args: argparse.Namespace, array: ArrayProfile) -> Iterator[ToldClaps]:
    """Claps of recordings."""
    from edge.commands.check import direction_deg
    from edge.device.check import MAX_SECONDS

    if len(args.recording) != len(args.azimuth):
        raise ValueError(
            f"got {len(args.recording)} --recording and {len(args.azimuth)} --azimuth, wanted one for each"
        )
    for recording, direction in zip(args.recording, [direction_deg(each) for each in args.azimuth], strict=True):
        yield _heard(recording, array, direction, MAX_SECONDS)


def _asked(args: argparse.Namespace, array: ArrayProfile) -> Iterator[ToldClaps]:
    """Claps that the user is asked for."""
    from edge.device.calibrate_report import named_direction

    if not 2 <= args.directions <= _MOST_DIRECTIONS:
        raise ValueError(f"got directions {args.directions}, wanted 2 to {_MOST_DIRECTIONS}")
    for index in range(args.directions):
        azimuth_deg = 360.0 * index / args.directions
        for _ in range(_TRIES):
            print(f"clap three times from {named_direction(azimuth_deg)}, at the height of the array, 1 to 2 m away")
            waits = sys.stdin.isatty()
            print(f"  {'Enter begins; then ' if waits else ''}there are {args.seconds:g} s", flush=True)
            if waits:
                sys.stdin.readline()
            told = _heard("mic", array, (azimuth_deg, 0.0), args.seconds, args.device)
            if told.claps is not None:
                break
            print("  no clap heard")
        yield told


def _heard(
    source: str, array: ArrayProfile, direction_deg: tuple[float, float], seconds: float, device: str | None = None
) -> ToldClaps:
    """Record claps from one direction. Raises ValueError if the channels have faults that no fit can repair."""
    from edge.device.calibrate import hear_claps
    from edge.device.check import check_array, record

    samples, rate_hz = record(source, array, seconds, device)
    told = hear_claps(samples, rate_hz, array, *direction_deg)
    if told.claps is not None:
        for finding in check_array(samples, rate_hz, array):
            if finding.fault.name in _FAULTS:
                raise ValueError(f"{source}: {finding}")
    return told
