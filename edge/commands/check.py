"""`seld-edge check`: a sound heard by an array -> faults of its channels and their remedies, one line each."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge.commands.options import Subparsers


def add_check_parser(subparsers: Subparsers) -> None:
    """Add the command and its options."""
    parser = subparsers.add_parser("check", help="find dead, clipped, inverted, swapped or uneven channels of an array")
    parser.add_argument("--array", required=True, metavar="NAME|FILE.toml", help="microphone array")
    parser.add_argument(
        "--source",
        default="mic",
        metavar="mic|-|FILE",
        help="what to listen to (default: mic); - reads raw PCM from stdin, in the format of the array",
    )
    parser.add_argument("--seconds", type=float, default=10.0, metavar="N", help="how long to listen (default: 10)")
    parser.add_argument("--device", metavar="NAME", help="microphone (default: the one that the array names)")
    parser.add_argument(
        "--direction", metavar="AZ[,EL]", help="azimuth and elevation of the sound in degrees, where they are known"
    )
    parser.set_defaults(run=run_check_command)


def run_check_command(args: argparse.Namespace) -> int:
    """Print the faults; returns 0 without a fault, else 1.

    Raises:
        ValueError: an option makes no sense, or the source cannot be used.
        OSError: the device cannot be opened.
    """
    from edge.arrays.profile import load_array
    from edge.device.check import check_array, record
    from edge.geometry import unit_vector

    array = load_array(args.array)
    direction = None if args.direction is None else unit_vector(*direction_deg(args.direction))
    samples, rate_hz = record(args.source, array, args.seconds, args.device)
    findings = check_array(samples, rate_hz, array, direction)
    for finding in findings:
        print(finding)
    if not findings:
        print(f"{array.name}: no faults found in {len(samples) / rate_hz:.1f} s at {rate_hz} Hz")
    return 1 if findings else 0


def direction_deg(text: str) -> tuple[float, float]:
    """Parse `AZIMUTH` or `AZIMUTH,ELEVATION` in degrees; the elevation is 0 where it is not given.

    Raises:
        ValueError: the text is not one or two numbers within their ranges.
    """
    try:
        azimuth_deg, elevation_deg = map(float, text.split(",")) if "," in text else (float(text), 0.0)
    except ValueError:
        raise ValueError(f"got direction {text!r}, wanted AZIMUTH or AZIMUTH,ELEVATION in degrees") from None
    if not (abs(azimuth_deg) <= 360.0 and abs(elevation_deg) <= 90.0):
        raise ValueError(f"got direction {text!r}, wanted an azimuth of -360 to 360 and an elevation of -90 to 90")
    return azimuth_deg, elevation_deg
