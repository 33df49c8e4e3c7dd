"""An input device that was found -> the shipped array profiles that describe it."""

from __future__ import annotations

from edge.arrays.profile import load_array, shipped_arrays
from edge.audio.microphone import InputDevice


def fitting_arrays(device: InputDevice) -> list[str]:
    """Find the shipped profiles whose `device` is part of the name of an input device.

    Args:
        device: As `list_devices` gives it.

    Returns:
        Names of profiles. Where the device has too few channels or lacks the rate of the profile, the name is followed
        by what the profile needs.
    """
    found = []
    for name, profile in ((name, load_array(name)) for name in shipped_arrays()):
        if profile.device is None or profile.device.lower() not in device.name.lower():
            continue
        wanted = []
        if device.channels < profile.channels:
            wanted.append(f"{profile.channels} channels")
        if profile.native_rate_hz is not None and profile.native_rate_hz not in device.rates_hz:
            wanted.append(f"{profile.native_rate_hz} Hz")
        found.append(f"{name}, but it wants {' and '.join(wanted)}" if wanted else name)
    return found
