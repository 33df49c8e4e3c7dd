"""`seld-edge devices`: the capture devices of the machine -> one line each, with the array profile that fits."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge.commands.options import Subparsers


def add_devices_parser(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = subparsers.add_parser("devices", help="list the capture devices and the array profiles that fit them")
    parser.set_defaults(run=run_devices_command)


def run_devices_command(args: argparse.Namespace) -> int:
    """Print the list; returns 0.

    Raises:
        ValueError: PyAudio is not installed.
    """
    from edge.arrays.fitting import fitting_arrays
    from edge.audio.microphone import list_devices

    devices = list_devices()
    for device in devices:
        rates = ", ".join(str(rate) for rate in device.rates_hz) or "none of the usual rates"
        fitting = ", ".join(fitting_arrays(device))
        profile = f", array {fitting}" if fitting else ""
        print(f"{device.index}: {device.name}, {device.channels} channels, {rates} Hz{profile}")
    if not devices:
        print("no capture device found", file=sys.stderr)
    return 0
