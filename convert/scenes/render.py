"""A clip library -> synthetic scenes with known truth: recordings of an array and the labels of every 100 ms frame.

A scene is one random room with a microphone array, labelled events (some of them moving), now and then sounds without
labels, diffuse ambience and sensor noise. Everything follows from the seed, whatever the number of processes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray
from scipy import fft
from scipy.signal import oaconvolve
from tqdm import tqdm

from convert.clips.library import HOP_S, INTERFERER, ClipLibrary
from convert.processes import process_pool
from convert.scenes.ambience import draw_ambience
from convert.scenes.capsules import Mismatch, capsule_response
from convert.scenes.events import Event, SceneSettings, draw_events, level_db, moving_share
from convert.scenes.rooms import (
    ArrayResponse,
    Room,
    early_response,
    foa_array,
    image_sources,
    join_parts,
    late_response,
    random_room,
    reach_m,
)
from edge.arrays.profile import ArrayProfile, load_array, shipped_arrays
from edge.geometry import SPEED_OF_SOUND_M_S, azimuth_elevation_deg, unit_vector
from edge.scoring.annotations import LABEL_FRAME_S, Label, write_annotations
from edge.types import FloatArray

_STEP_S = 0.15  # a moving source has one response every so often, cross-faded
_HOPS_PER_LABEL = round(LABEL_FRAME_S / HOP_S)
_ACTIVE_HOPS = 3  # of a label frame, for it to be labelled
_PEAK = 0.95
IDEAL = load_array("foa")


@dataclass(frozen=True, slots=True)
class Scene:
    """One recording and its truth. A label's track is its lane, 0 to max_overlap - 1, with one event at a time."""

    samples: FloatArray  # (n, channels), peak at most 0.95
    labels: list[Label]
    info: dict[str, Any]  # seed, rt60_s, snr_db, room_m, groups and more, fit for JSON


def make_scene(
    library: ClipLibrary,
    settings: SceneSettings,
    seed: int | Sequence[int],
    array: ArrayResponse = foa_array,
) -> Scene:
    """Draw one scene from the seed; scene i of `make_scenes(seed=s)` has the seed (s, i).

    Raises ValueError for a library without labelled clips, an unreadable clip, or distances that fit into no room.
    """
    if not library.class_names or not any(clip.class_name != INTERFERER for clip in library.clips):
        raise ValueError(f"got a library with the classes {library.class_names}, wanted at least one labelled clip")
    rng = np.random.default_rng(np.random.SeedSequence(seed))
    rate_hz = library.sample_rate_hz
    hop = round(HOP_S * rate_hz)
    frames = int(np.ceil(settings.duration_s / LABEL_FRAME_S))
    room = random_room(rng, settings.rt60_s)
    events = draw_events(library, settings, rng)
    hearing = np.any(array(np.eye(3)) != 0, axis=(0, 2))  # of the channels of a device, those that are microphones
    first = int(np.argmax(hearing))
    mix = np.zeros((round(settings.duration_s * rate_hz), len(hearing)), np.float32)
    labels: list[Label] = []
    levels_db = []
    for event in events:
        share = moving_share(event.class_name, settings)
        path = _path(room, settings, len(event.sound.samples) / rate_hz, rng.random() < share, rng)
        signal = event.sound.samples * np.float32(10 ** (rng.uniform(*settings.source_db) / 20))
        image = _render(signal, room, path, rate_hz, rng, array)
        start = event.onset_hop * hop
        stretch = image[: len(mix) - start]
        mix[start : start + len(stretch)] += stretch
        if event.class_name == INTERFERER:
            continue
        found = _labels(event, path - room.microphone_m, library.class_names.index(event.class_name), frames)
        if found:
            labels += found
            levels_db.append(level_db(stretch[: len(event.sound.active) * hop, first], event.sound.active, hop))
    event_db = float(np.mean(levels_db)) if levels_db else float(np.mean(settings.source_db))
    snr_db, sensor_snr_db = rng.uniform(*settings.snr_db), rng.uniform(*settings.sensor_snr_db)
    kind, ambience = draw_ambience(len(mix), library, rng, array, first)
    mix += ambience * np.float32(10 ** ((event_db - snr_db) / 20))
    mix += rng.standard_normal(mix.shape, np.float32) * np.float32(10 ** ((event_db - sensor_snr_db) / 20))
    mix *= np.float32(10 ** (rng.uniform(*settings.gain_db) / 20))
    mix *= np.float32(min(1.0, _PEAK / float(np.max(np.abs(mix)))))
    info = {
        "seed": [int(part) for part in np.atleast_1d(seed)],
        "rt60_s": round(room.rt60_s, 3),
        "snr_db": round(snr_db, 1),
        "sensor_snr_db": round(sensor_snr_db, 1),
        "ambience": kind,
        "room_m": room.size_m.round(2).tolist(),
        "microphone_m": room.microphone_m.round(2).tolist(),
        "events": sum(event.class_name != INTERFERER for event in events),
        "interferers": sum(event.class_name == INTERFERER for event in events),
        "groups": sorted({event.sound.group for event in events}),
    }
    return Scene(mix, sorted(labels, key=lambda label: (label.frame, label.track)), info)


def make_scenes(
    library: ClipLibrary,
    settings: SceneSettings,
    seed: int,
    count: int,
    out_dir: Path | str,
    jobs: int = 1,
    array: ArrayProfile = IDEAL,
) -> Path:
    """Write `count` scenes as `scene_00000.wav` (PCM16) and `.csv` (DCASE), and `scenes.json`, whose path is returned.

    The wavs hold the channels of `array`, whose capsules, if it has any, are a little off in each scene anew. The files
    are the same for any number of `jobs` (processes; with more than one a calling script needs a main guard).
    Raises ValueError for a bad count or number of jobs, and what `make_scene` raises.
    """
    if count < 1 or jobs < 1:
        raise ValueError(f"got count {count} and jobs {jobs}, wanted at least 1 of each")
    out = Path(out_dir)
    out.mkdir(parents=True, exist_ok=True)
    write = partial(_write_scene, library, settings, seed, out, array)
    if jobs == 1:
        scenes = list(tqdm(map(write, range(count)), total=count, desc="scenes", unit="scene", disable=None))
    else:
        with process_pool(jobs) as pool:
            scenes = list(
                tqdm(pool.map(write, range(count), chunksize=2), total=count, desc="scenes", unit="scene", disable=None)
            )
    summary = {
        "class_names": list(library.class_names),
        "sample_rate_hz": library.sample_rate_hz,
        "seed": seed,
        "array": array.name if array.name in shipped_arrays() and load_array(array.name) == array else asdict(array),
        "settings": asdict(settings),
        "sources": library.sources(),
        "scenes": scenes,
    }
    path = out / "scenes.json"
    path.write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    return path


def _write_scene(
    library: ClipLibrary, settings: SceneSettings, seed: int, out: Path, array: ArrayProfile, index: int
) -> dict[str, Any]:
    response = foa_array
    if array != IDEAL:
        response = capsule_response(array, library.sample_rate_hz, Mismatch(), (seed, index))
    scene = make_scene(library, settings, (seed, index), response)
    name = f"scene_{index:05d}"
    soundfile.write(out / f"{name}.wav", scene.samples, library.sample_rate_hz, subtype="PCM_16")
    write_annotations(out / f"{name}.csv", scene.labels)
    return {"name": name, **scene.info}


def _path(
    room: Room, settings: SceneSettings, seconds: float, moving: bool, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Positions (k, 3) in metres, `_STEP_S` apart, or a single one. Moving sources turn around the microphone."""
    low, high = settings.elevation_deg
    for trial in range(400):
        azimuth_deg, elevation_deg = rng.uniform(-180, 180), rng.uniform(low, high)
        speed_deg_s, tilt = rng.uniform(*settings.speed_deg_s) * rng.choice([-1, 1]), rng.uniform(-0.5, 0.5)
        steps = int(np.ceil(seconds / _STEP_S)) + 1 if moving and trial < 200 else 1
        turned_deg = speed_deg_s * _STEP_S * np.arange(steps)
        climb = np.abs(
            (elevation_deg + turned_deg * np.sin(tilt) - low + high - low) % (2 * (high - low) or 1) - (high - low)
        )
        elevations_deg = low + climb if steps > 1 else np.full(1, elevation_deg)  # folded back into the range
        azimuths_deg = azimuth_deg + np.cumsum(
            np.diff(turned_deg, prepend=0) * np.cos(tilt) / np.cos(np.deg2rad(elevations_deg))
        )
        directions = unit_vector(azimuths_deg, elevations_deg)
        limits = reach_m(room, directions)
        if limits[0] >= settings.distance_m[0] and limits.min() >= 0.5 * settings.distance_m[0]:
            farthest_m = min(limits[0], settings.distance_m[1])
            distance_m = np.exp(rng.uniform(np.log(settings.distance_m[0]), np.log(farthest_m)))
            return room.microphone_m + directions * np.minimum(distance_m, limits)[:, None]
    raise ValueError(
        f"got distances of {settings.distance_m} m at elevations of {settings.elevation_deg} degrees, "
        f"wanted some that fit into a room of {room.size_m.round(1).tolist()} m"
    )


def _render(
    signal: FloatArray,
    room: Room,
    path: NDArray[np.float64],
    rate_hz: int,
    rng: np.random.Generator,
    array: ArrayResponse,
) -> FloatArray:
    """What the array picks up (n + reverberation, channels), in time with the signal: the way there is left out."""
    earlies, onsets = [], []
    for images in image_sources(room, path):
        onsets.append(max(0, round(images.distances_m.min() / SPEED_OF_SOUND_M_S * rate_hz) - 16))
        earlies.append(early_response(room, images, rate_hz, array))
    middle = len(path) // 2
    late = late_response(room, earlies[middle], rng, rate_hz, array)[onsets[middle] :]
    if len(path) == 1:
        return oaconvolve(signal[:, None], join_parts(earlies[0][onsets[0] :], late), axes=0).astype(np.float32)
    image = oaconvolve(signal[:, None], late, axes=0).astype(np.float32)
    step = round(_STEP_S * rate_hz)
    size = fft.next_fast_len(2 * step + len(earlies[0]), real=True)
    window = np.bartlett(2 * step + 1)[:-1].astype(np.float32)
    padded = np.pad(signal, (step, step * (len(path) + 1) - len(signal)))
    image = np.pad(image, ((step, max(0, step * len(path) + size - step - len(image))), (0, 0)))
    for index, (early, onset) in enumerate(zip(earlies, onsets, strict=True)):
        piece = padded[index * step : (index + 2) * step] * window
        spectrum = fft.rfft(piece, size)[:, None] * fft.rfft(early[onset:], size, axis=0)
        image[index * step : index * step + size] += fft.irfft(spectrum, size, axis=0)
    return image[step:]


def _labels(event: Event, offsets_m: NDArray[np.float64], class_index: int, frames: int) -> list[Label]:
    """Labels of an event whose source is at offsets (k, 3) from the microphone, `_STEP_S` apart."""
    hops = np.zeros(frames * _HOPS_PER_LABEL, bool)
    active = event.sound.active[: len(hops) - event.onset_hop]
    hops[event.onset_hop : event.onset_hop + len(active)] = active
    counts = hops.reshape(frames, _HOPS_PER_LABEL).sum(axis=1)
    heard = np.flatnonzero(counts >= min(_ACTIVE_HOPS, max(int(counts.max()), 1)))
    step = ((heard + 0.5) * LABEL_FRAME_S - event.onset_hop * HOP_S) / _STEP_S
    step = np.clip(step, 0, len(offsets_m) - 1)
    before = np.minimum(step.astype(int), max(len(offsets_m) - 2, 0))
    weight = (step - before)[:, None]
    vectors = (1 - weight) * offsets_m[before] + weight * offsets_m[np.minimum(before + 1, len(offsets_m) - 1)]
    azimuths, elevations = (np.rint(angles).astype(int) for angles in azimuth_elevation_deg(vectors))
    azimuths = np.where(azimuths == -180, 180, azimuths)
    distances_cm = np.rint(100 * np.linalg.norm(vectors, axis=-1)).astype(int)
    return [
        Label(int(frame), class_index, event.lane, int(azimuth), int(elevation), int(distance_cm))
        for frame, azimuth, elevation, distance_cm in zip(heard, azimuths, elevations, distances_cm, strict=True)
    ]
