"""A scene so far and its settings -> what disturbs it, added in place: broadcast, fan and wind; self-noise and hum."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from convert.clips.library import ClipLibrary
from convert.scenes.board_noise import mains_hum, self_noise, wind
from convert.scenes.motion import draw_path
from convert.scenes.placing import place_source
from convert.scenes.rooms import ArrayResponse, Room
from convert.scenes.settings import NoiseSettings, SceneSettings
from convert.scenes.steady import draw_broadcast, draw_fan
from convert.scenes.streams import Seed, random_stream
from edge.types import FloatArray


def add_sounds(
    mix: FloatArray,
    event_db: float,
    room: Room,
    library: ClipLibrary,
    settings: SceneSettings,
    seed: Seed,
    array: ArrayResponse,
    first: int,
) -> tuple[list[str], set[str]]:
    """Add a radio or television and a fan, each at one place in the room, and wind.

    Args:
        mix: samples (n, channels); they are changed.
        event_db: mean level of the events in channel `first`.
        room: the room.
        library: the clips that a radio or television plays.
        settings: the shares and levels, in `home` and `noise`.
        seed: the seed of the scene.
        array: impulse responses of the array.
        first: the channel in which levels hold.

    Returns:
        The names of what was added, and the groups of the clips that were used.
    """
    home, noise, rate_hz = settings.home, settings.noise, library.sample_rate_hz
    added: list[str] = []
    groups: set[str] = set()

    def add(name: str, sound: FloatArray, snr_db: float) -> None:
        heard = sound[np.abs(sound[:, first]) > 0, first]
        rms = np.sqrt(np.mean(np.square(heard)) + np.float32(1e-20))
        mix[:] += sound * np.float32(10 ** ((event_db - snr_db) / 20) / rms)
        added.append(name)

    def placed(signal: FloatArray, rng: np.random.Generator) -> FloatArray:
        path = draw_path(room, replace(settings, moving_share=0.0), 0.0, False, rng)
        return place_source(signal, room, path, rate_hz, rng, array)[: len(mix)]

    rng = random_stream(seed, "broadcast")
    if rng.random() < home.broadcast_share:
        snr_db, broadcast = rng.uniform(*home.broadcast_snr_db), draw_broadcast(len(mix), library, rng)
        if broadcast is not None:
            add("broadcast", placed(broadcast[0], rng), snr_db)
            groups.update(broadcast[1])
    rng = random_stream(seed, "fan")
    if rng.random() < home.fan_share:
        snr_db = rng.uniform(*home.fan_snr_db)
        add("fan", placed(draw_fan(len(mix), rate_hz, rng), rng), snr_db)
    rng = random_stream(seed, "wind")
    if rng.random() < noise.wind_share:
        snr_db = rng.uniform(*noise.wind_snr_db)
        add("wind", wind(len(mix), mix.shape[1], rate_hz, rng), snr_db)
    return added, groups


def add_electronics(mix: FloatArray, settings: NoiseSettings, rate_hz: int, seed: Seed) -> list[str]:
    """Add self-noise and mains hum to a recording, at levels relative to full scale.

    Args:
        mix: samples (n, channels) at their final level; they are changed.
        settings: the shares and levels.
        rate_hz: sample rate.
        seed: the seed of the scene.

    Returns:
        The names of what was added.
    """
    added = []
    for name, share, level_dbfs, draw in (
        ("self-noise", settings.self_share, settings.self_dbfs, self_noise),
        ("hum", settings.hum_share, settings.hum_dbfs, mains_hum),
    ):
        rng = random_stream(seed, name)
        if rng.random() < share:
            gain = np.float32(10 ** (rng.uniform(*level_dbfs) / 20))
            mix += gain * draw(len(mix), mix.shape[1], rate_hz, rng)
            added.append(name)
    return added
