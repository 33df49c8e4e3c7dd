"""The distributions that scenes are drawn from, as a settings file or a preset gives them.

What the tables `replay`, `home`, `noise` and `array` add is off by default. Each of them draws from random streams of
its own, so that switching one on leaves everything else of a scene as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

from edge.settings import build, read_toml

Range = tuple[float, float]

PRESETS = Path(__file__).parent / "presets"


def _check_settings(settings: Any) -> None:
    """Check pairs and shares, and turn what JSON or TOML gives instead of tuples and dataclasses into these."""
    for field in fields(settings):
        name, value = field.name, getattr(settings, field.name)
        if is_dataclass(field.default) and isinstance(value, Mapping):
            object.__setattr__(settings, name, build(type(field.default), value, name))
        elif isinstance(value, list | tuple):
            object.__setattr__(settings, name, tuple(value))
            if len(value) != 2 or value[0] > value[1]:
                raise ValueError(f"got {name} {value}, wanted a lower and an upper end")
        elif name.endswith("_share") and not 0 <= value <= 1:
            raise ValueError(f"got {name} {value}, wanted 0 to 1")


@dataclass(frozen=True, slots=True)
class ReplaySettings:
    """What happens to the sound of an event before it is placed in the room."""

    loudspeaker_share: float = 0.0  # share of events that come from a small loudspeaker: narrow, resonant, compressed
    codec_share: float = 0.0  # share of events whose sound went through a lossy codec (Opus)

    def __post_init__(self) -> None:
        _check_settings(self)


@dataclass(frozen=True, slots=True)
class HomeSettings:
    """What a home adds to a room: other sources without labels, a door that is open, people who walk."""

    broadcast_share: float = 0.0  # share of scenes in which a radio or television plays, without a label
    broadcast_snr_db: Range = (0.0, 20.0)  # mean level of the events relative to the radio or television
    fan_share: float = 0.0  # share of scenes with a fan: flow noise and tones of its blades, from one place
    fan_snr_db: Range = (5.0, 30.0)  # mean level of the events relative to the fan
    next_room_share: float = 0.0  # share of events in the next room: dull sound from an open door, labelled
    next_room_db: Range = (-15.0, -3.0)  # level of the sound at the door, relative to the source itself there
    walking_share: float = 0.0  # share of the moving events that walk straight through the room instead of around
    walking_m_s: Range = (0.4, 1.5)  # speed of those

    def __post_init__(self) -> None:
        _check_settings(self)
        if self.walking_m_s[0] < 0 or self.walking_m_s[1] > 10:
            raise ValueError(f"got walking_m_s {self.walking_m_s}, wanted 0 to 10")


@dataclass(frozen=True, slots=True)
class NoiseSettings:
    """Noise of the microphones themselves. Levels in dBFS are those in the finished recording, before it is rounded."""

    self_share: float = 0.0  # share of scenes with self-noise of the capsules: white, and more of it below 300 Hz
    self_dbfs: Range = (-88.0, -65.0)  # RMS of one channel
    hum_share: float = 0.0  # share of scenes with mains hum of the electronics, almost equal in all channels
    hum_dbfs: Range = (-85.0, -55.0)  # RMS of one channel
    wind_share: float = 0.0  # share of scenes with wind: gusts below some 300 Hz that differ from capsule to capsule
    wind_snr_db: Range = (-5.0, 20.0)  # mean level of the events relative to the wind

    def __post_init__(self) -> None:
        _check_settings(self)


@dataclass(frozen=True, slots=True)
class ArraySettings:
    """How the array of a scene deviates from its profile, beside the spread of gains, phases and positions."""

    native_rate: bool = False  # record at the rate of the device, if its profile names a lower one than 24 kHz
    board_reflection: Range = (0.0, 0.0)  # of a flat array: 1 doubles sound from above at high frequencies
    case_share: Range = (
        0.0,
        0.0,
    )  # of a flat array: how far its case bends sound, 1 as a rigid sphere does
    planar_share: float = 0.0  # share of scenes that have a planar array of their own instead, named in scenes.json
    planar_radius_m: Range = (0.015, 0.05)  # distance of the capsules of such an array from its middle

    def __post_init__(self) -> None:
        _check_settings(self)
        for name in ("board_reflection", "case_share"):
            low, high = getattr(self, name)
            if low < 0 or high > 1:
                raise ValueError(f"got {name} {(low, high)}, wanted 0 to 1")
        if self.planar_radius_m[0] < 0.01 or self.planar_radius_m[1] > 0.2:
            raise ValueError(f"got planar_radius_m {self.planar_radius_m}, wanted 0.01 to 0.2")


@dataclass(frozen=True, slots=True)
class SceneSettings:
    """The distributions that scenes are drawn from. Pairs are the ends of a uniform one; levels are of channel 0."""

    duration_s: float = 60.0  # length of a scene
    max_overlap: int = 3  # largest number of simultaneous labelled events
    density: Range = (
        0.7,
        1.2,
    )  # at 1, the lanes are busy 80 %, 40 %, 20 % of the time, pauses included
    quiet_per_minute: float = 1.0  # number of stretches without any event, labelled or not
    quiet_s: Range = (2.0, 5.0)  # length of such a stretch
    max_event_s: float = 6.0  # longest event
    balance: float = 0.5  # 0: equally many events of each class; 1: equal total duration of each class
    source_balance: float = 0.0  # in a class, 0: each group of clips as likely as any other; 1: each source
    moving_share: float = 0.3  # share of the events that move
    speed_deg_s: Range = (10.0, 50.0)  # speed of a moving event
    rt60_s: Range = (0.15, 0.9)  # reverberation time of the room
    distance_m: Range = (0.8, 5.0)  # distance of an event from the array
    elevation_deg: Range = (-45.0, 45.0)  # elevation of an event
    source_db: Range = (-36.0, -20.0)  # RMS of the direct sound at 1 m over the active part
    replay_speed: Range = (1.0, 1.0)  # playback speed of the clips of an event; changes pitch and tempo
    colour_db: float = 0.0  # standard deviation of a random gain at each octave, for the clips of an event
    interferer_share: float = 0.3  # share of scenes with unlabelled sounds
    interferer_time: float = 0.3  # share of the time that unlabelled sounds take in such a scene
    snr_db: Range = (6.0, 35.0)  # mean level of the events relative to the ambience
    sensor_snr_db: Range = (30.0, 55.0)  # mean level of the events relative to the sensor noise
    gain_db: Range = (-8.0, 6.0)  # gain of the whole scene
    replay: ReplaySettings = ReplaySettings()
    home: HomeSettings = HomeSettings()
    noise: NoiseSettings = NoiseSettings()
    array: ArraySettings = ArraySettings()

    def __post_init__(self) -> None:
        _check_settings(self)
        for name in ("balance", "source_balance", "interferer_time"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"got {name} {getattr(self, name)}, wanted 0 to 1")
        if self.duration_s < 1 or self.max_overlap < 1 or self.max_event_s < 0.1:
            raise ValueError(
                f"got duration_s {self.duration_s}, max_overlap {self.max_overlap}, max_event_s {self.max_event_s}, "
                "wanted at least 1, 1 and 0.1"
            )
        if not 0.5 <= self.replay_speed[0] <= self.replay_speed[1] <= 2.0 or not 0 <= self.colour_db <= 12:
            raise ValueError(
                f"got replay_speed {self.replay_speed} and colour_db {self.colour_db}, wanted 0.5 to 2 and 0 to 12"
            )


def scene_presets() -> dict[str, Path]:
    """List the settings of scenes that come with the package: paths of TOML files by name."""
    return {path.stem: path for path in sorted(PRESETS.glob("*.toml"))}


def load_scene_settings(name: str) -> SceneSettings:
    """Load settings.

    Args:
        name: a preset of the package, or the path of a TOML file with fields of `SceneSettings`.

    Raises:
        ValueError: there is no such preset or file, or a value is out of range.
    """
    presets = scene_presets()
    path = presets.get(name, Path(name))
    if name not in presets and not path.is_file():
        raise ValueError(f"--settings: got {name!r}, wanted one of {', '.join(presets)} or a TOML file")
    return build(SceneSettings, read_toml(path), str(path))
