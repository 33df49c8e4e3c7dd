"""A clip library and a seed -> one scene: samples of a microphone array and the labels of every 100 ms frame.

A scene is one random room with a microphone array, labelled events (some of them moving), sometimes sounds without
labels, diffuse ambience, sensor noise, and what else the settings switch on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convert.clips.library import HOP_S, INTERFERER, ClipLibrary
from convert.scenes.ambience import draw_ambience
from convert.scenes.disturb import add_electronics, add_sounds
from convert.scenes.doorway import draw_door, through_door
from convert.scenes.events import Event, draw_events, level_db, moving_share
from convert.scenes.motion import STEP_S, draw_path, draw_walk
from convert.scenes.placing import place_source
from convert.scenes.replay import replay
from convert.scenes.rooms import ArrayResponse, foa_array, random_room
from convert.scenes.settings import SceneSettings
from convert.scenes.streams import Seed, random_stream
from edge.geometry import azimuth_elevation_deg
from edge.scoring.annotations import LABEL_FRAME_S, Label
from edge.types import FloatArray

ACTIVE_HOPS = 3  # a label frame with this many active hops of 10 ms is labelled
_HOPS_PER_LABEL = round(LABEL_FRAME_S / HOP_S)
_PEAK = 0.95


@dataclass(frozen=True, slots=True)
class Scene:
    """One recording and its labels. The track number of a label is the lane of its event, 0 to max_overlap - 1."""

    samples: FloatArray  # (n, channels), peak at most 0.95
    labels: list[Label]
    info: dict[str, Any]  # seed, rt60_s, snr_db, room_m, groups, event_sources and more, in JSON types


def make_scene(
    library: ClipLibrary,
    settings: SceneSettings,
    seed: Seed,
    array: ArrayResponse = foa_array,
) -> Scene:
    """Draw one scene.

    Args:
        library: the clips to use.
        settings: what to draw from.
        seed: the scene follows from it; scene i of `make_scenes(seed=s)` has the seed (s, i).
        array: impulse responses of the microphone array.

    Raises:
        ValueError: the library has no labelled clips, a clip cannot be read, or no distance fits into the room.
    """
    if not library.class_names or not any(clip.class_name != INTERFERER for clip in library.clips):
        raise ValueError(f"got a library with the classes {library.class_names}, wanted at least one labelled clip")
    rng = np.random.default_rng(np.random.SeedSequence(seed))
    rate_hz = library.sample_rate_hz
    hop = round(HOP_S * rate_hz)
    frames = int(np.ceil(settings.duration_s / LABEL_FRAME_S))
    room = random_room(rng, settings.rt60_s)
    replay_rng, walk_rng, door_rng = (random_stream(seed, name) for name in ("replay", "walk", "door"))
    door = draw_door(room, settings, door_rng) if settings.home.next_room_share else None
    events = draw_events(library, settings, rng)
    connected = np.any(array(np.eye(3)) != 0, axis=(0, 2))  # a device may have channels without a microphone
    first = int(np.argmax(connected))
    mix = np.zeros((round(settings.duration_s * rate_hz), len(connected)), np.float32)
    labels: list[Label] = []
    levels_db, spans = [], []
    for event in events:
        share = moving_share(event.class_name, settings)
        path = draw_path(room, settings, len(event.sound.samples) / rate_hz, rng.random() < share, rng)
        sound = replay(event.sound, settings.replay, rate_hz, replay_rng)
        signal = sound.samples * np.float32(10 ** (rng.uniform(*settings.source_db) / 20))
        if len(path) > 1 and walk_rng.random() < settings.home.walking_share:
            walk = draw_walk(room, settings, len(signal) / rate_hz, walk_rng)
            path = path if walk is None else walk
        if door is not None and door_rng.random() < settings.home.next_room_share:
            path, signal = door, through_door(signal, door_rng.uniform(*settings.home.next_room_db), rate_hz, door_rng)
        image = place_source(signal, room, path, rate_hz, rng, array)
        start = event.onset_hop * hop
        stretch = image[: len(mix) - start]
        mix[start : start + len(stretch)] += stretch
        if event.class_name == INTERFERER:
            continue
        found = _labels(event, path - room.microphone_m, library.class_names.index(event.class_name), frames)
        if found:
            labels += found
            spans.append({"track": event.lane, "frames": [found[0].frame, found[-1].frame], "source": sound.source})
            levels_db.append(level_db(stretch[: len(sound.active) * hop, first], sound.active, hop))
    event_db = float(np.mean(levels_db)) if levels_db else float(np.mean(settings.source_db))
    snr_db, sensor_snr_db = rng.uniform(*settings.snr_db), rng.uniform(*settings.sensor_snr_db)
    kind, ambience = draw_ambience(len(mix), library, rng, array, first)
    mix += ambience * np.float32(10 ** ((event_db - snr_db) / 20))
    mix += rng.standard_normal(mix.shape, np.float32) * np.float32(10 ** ((event_db - sensor_snr_db) / 20))
    effects, groups = add_sounds(mix, event_db, room, library, settings, seed, array, first)
    mix *= np.float32(10 ** (rng.uniform(*settings.gain_db) / 20))
    mix *= np.float32(min(1.0, _PEAK / float(np.max(np.abs(mix)))))
    effects += add_electronics(mix, settings.noise, rate_hz, seed)
    info = {
        "seed": [int(part) for part in np.atleast_1d(seed)],
        "rt60_s": round(room.rt60_s, 3),
        "snr_db": round(snr_db, 1),
        "sensor_snr_db": round(sensor_snr_db, 1),
        "ambience": kind,
        "effects": effects,
        "room_m": room.size_m.round(2).tolist(),
        "microphone_m": room.microphone_m.round(2).tolist(),
        "events": sum(event.class_name != INTERFERER for event in events),
        "interferers": sum(event.class_name == INTERFERER for event in events),
        "groups": sorted({event.sound.group for event in events} | groups),
        "event_sources": spans,
    }
    return Scene(mix, sorted(labels, key=lambda label: (label.frame, label.track)), info)


def _labels(event: Event, offsets_m: NDArray[np.float64], class_index: int, frames: int) -> list[Label]:
    """Label the frames in which an event is active; its source is at offsets (k, 3), `STEP_S` apart, from the array."""
    hops = np.zeros(frames * _HOPS_PER_LABEL, bool)
    active = event.sound.active[: len(hops) - event.onset_hop]
    hops[event.onset_hop : event.onset_hop + len(active)] = active
    counts = hops.reshape(frames, _HOPS_PER_LABEL).sum(axis=1)
    labelled = np.flatnonzero(counts >= min(ACTIVE_HOPS, max(int(counts.max()), 1)))
    step = ((labelled + 0.5) * LABEL_FRAME_S - event.onset_hop * HOP_S) / STEP_S
    step = np.clip(step, 0, len(offsets_m) - 1)
    before = np.minimum(step.astype(int), max(len(offsets_m) - 2, 0))
    weight = (step - before)[:, None]
    vectors = (1 - weight) * offsets_m[before] + weight * offsets_m[np.minimum(before + 1, len(offsets_m) - 1)]
    azimuths, elevations = (np.rint(angles).astype(int) for angles in azimuth_elevation_deg(vectors))
    azimuths = np.where(azimuths == -180, 180, azimuths)
    distances_cm = np.rint(100 * np.linalg.norm(vectors, axis=-1)).astype(int)
    return [
        Label(int(frame), class_index, event.lane, int(azimuth), int(elevation), int(distance_cm))
        for frame, azimuth, elevation, distance_cm in zip(labelled, azimuths, elevations, distances_cm, strict=True)
    ]
