"""Claps in a room, as an array hears them that is turned, has swapped channels and uneven gains."""

import numpy as np
from scipy.signal import oaconvolve

from edge.events.surroundings import MountSettings
from edge.geometry import unit_vector
from tests.edge.device.test_check import RATE_HZ, responses


def clapping(
    profile, azimuth_deg, elevation_deg=0, *, yaw_deg=0, upside_down=False, order=(0, 1, 2, 3), gains_db=(0,) * 4,
    echoes=0, count=2, seed=0, snr_db=40.0,
):  # fmt: skip
    """What the device delivers (n, channels): the signal of capsule i is on the channel of index order[i].

    echoes: plane waves from anywhere, 4 to 150 ms after the clap, that decay by 60 dB in 0.4 s.
    """
    rng = np.random.default_rng([seed, int(azimuth_deg) % 360])
    rotation = MountSettings(yaw_deg, 0.0, upside_down).rotation
    length = round((0.4 + 0.7 * count) * RATE_HZ)
    dry = np.zeros(length)
    for n in range(count):
        start = round((0.3 + 0.7 * n) * RATE_HZ)
        burst = rng.normal(size=RATE_HZ // 50) * np.exp(-np.arange(RATE_HZ // 50) / (0.003 * RATE_HZ))
        dry[start : start + len(burst)] += burst
    directions = [unit_vector(azimuth_deg, elevation_deg)]
    delays_s, levels = [0.0], [1.0]
    for _ in range(echoes):
        directions.append(unit_vector(rng.uniform(-180, 180), np.rad2deg(np.arcsin(rng.uniform(-1, 1)))))
        delays_s.append(rng.uniform(0.004, 0.15))
        levels.append(0.5 * 10 ** (-3 * delays_s[-1] / 0.4))
    heard = np.zeros((length, 4))
    for response, delay_s, level in zip(
        responses(profile, np.array(directions) @ rotation), delays_s, levels, strict=True
    ):
        delay = round(delay_s * RATE_HZ)
        delayed = np.concatenate([np.zeros(delay), dry[: length - delay]])
        heard += level * oaconvolve(delayed[:, None], response.T, axes=0)[:length]
    heard *= 0.3 / np.abs(heard).max() * 10 ** (np.array(gains_db) / 20)
    heard += rng.normal(size=heard.shape) * np.std(heard) * 10 ** (-snr_db / 20)
    delivered = rng.normal(0, 1e-4, (length, profile.channels))
    delivered[:, np.array(profile.channel_map)[list(order)]] = heard
    return delivered.astype(np.float32)
