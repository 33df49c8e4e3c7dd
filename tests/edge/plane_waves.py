"""What omnidirectional capsules in free air hear of a plane wave."""

import numpy as np

SPEED_M_S = 343


def heard_by_omnis(mono, positions_m, direction, rate_hz):
    """A sound (samples,) from a direction, a unit vector, at capsules at positions (n, 3) -> (samples, n)."""
    early_s = np.asarray(positions_m) @ direction / SPEED_M_S
    turned = np.exp(2j * np.pi * np.fft.rfftfreq(len(mono), 1 / rate_hz) * early_s[:, None])
    return np.fft.irfft(np.fft.rfft(mono) * turned, len(mono)).T
