"""A TOML file -> `RunSettings`, everything that can be set for `seld-edge run`.

The comment of a field says what it means; docs/settings.md is made of these comments.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from edge.arrays.profile import ArrayProfile
from edge.audio.live_check import CHANNEL_FAULT_S
from edge.audio.microphone import DEADLINE_S
from edge.audio.sources import RawFormat
from edge.events.decoder import DecodeSettings
from edge.events.live_text import LiveSettings
from edge.events.per_class import ClassSettings
from edge.events.surroundings import MountSettings, SectorSettings
from edge.events.unknown import UnknownSettings
from edge.nets.fitting import bundle_for
from edge.outputs.clip_settings import ClipSettings
from edge.outputs.history_settings import HistorySettings
from edge.outputs.line_file import LineFileSettings
from edge.outputs.line_server import LineServerSettings
from edge.outputs.metrics import PrometheusSettings
from edge.outputs.mqtt_link import MqttSettings
from edge.outputs.rules import QuietSettings, RuleSettings
from edge.page.settings import PageSettings
from edge.runtime.budget import BudgetSettings
from edge.runtime.sound_level import SoundLevelSettings
from edge.settings import build, read_toml

DEFAULT_MODEL = "coloc-edge"


@dataclass(frozen=True, slots=True)
class MicrophoneSettings:
    """The microphone that the source `mic` opens."""

    device: str | None = None  # part of its name; without it, the device of the array, or else the default device
    deadline_s: float = DEADLINE_S  # time in s without samples after which the device counts as stopped
    wait: bool = False  # whether a device that is missing at the start is waited for; `run --wait` does so, too
    # time in s after which a channel (of stdin, too) that is constant or clipped counts as faulty, 1 to 86400; 0: never
    channel_fault_s: float = CHANNEL_FAULT_S

    def __post_init__(self) -> None:
        if self.channel_fault_s != 0.0 and not 1.0 <= self.channel_fault_s <= 86400.0:
            raise ValueError(f"got channel_fault_s {self.channel_fault_s}, wanted 0 or 1 to 86400")


@dataclass(frozen=True, slots=True)
class RunSettings:
    """Everything that can be set for `seld-edge run`. Options of the command line take precedence."""

    # name of a shipped bundle, or the folder of another one; without it, a shipped one that was trained for the array,
    # or else coloc-edge
    model: str | None = None
    source: str | None = None  # what to listen to: mic, an audio file, - (raw PCM on stdin) or demo (the shipped scene)
    array: str = "foa"  # microphone array: the name of a shipped profile, or a .toml file
    # where events go: jsonl:-, jsonl:FILE, dcase:FILE, history:, mqtt:, lines:unix:PATH, lines:tcp:PORT, or null; and
    # the live stream: live:unix:PATH, live:tcp:PORT, or live:to:HOST:PORT of a program that listens; at least one
    sinks: tuple[str, ...] = ("jsonl:-",)
    realtime: bool = False  # whether a file is played at the pace at which it was recorded
    stats: str | None = None  # JSON file for counts and times of all stages, written at start and end; none without it
    metrics_minutes: float = 10.0  # minutes of audio between two log lines of counts and times (--verbose); 0: none
    threads: int = 1  # threads of the TFLite interpreter, 1 to 64
    blas_threads: int = 1  # threads of numpy's BLAS, 1 to 64; takes precedence over OPENBLAS_NUM_THREADS
    budget: BudgetSettings = field(default_factory=BudgetSettings)  # time budget of a step, and what happens without it
    system: Mapping[str, Any] = field(default_factory=dict)  # settings of the system that replace those of the bundle
    decode: Mapping[str, Any] = field(default_factory=dict)  # settings of the decoder that replace those of the bundle
    classes: tuple[ClassSettings, ...] = ()  # what is asked of some classes
    unknown: UnknownSettings = field(default_factory=UnknownSettings)  # events of sounds without a class
    level: SoundLevelSettings = field(default_factory=SoundLevelSettings)  # the sound level
    rule: tuple[RuleSettings, ...] = ()  # what is done when something sounds
    quiet: QuietSettings = field(default_factory=QuietSettings)  # quiet hours
    mount: MountSettings = field(default_factory=MountSettings)  # how the array hangs
    sector: tuple[SectorSettings, ...] = ()  # parts of the room
    microphone: MicrophoneSettings = field(default_factory=MicrophoneSettings)  # of the source mic
    stdin: RawFormat = field(default_factory=RawFormat)  # format of the source -
    jsonl: LineFileSettings = field(default_factory=LineFileSettings)  # files of the sink jsonl:FILE
    lines: LineServerSettings = field(default_factory=LineServerSettings)  # clients of the sinks lines:
    live: LiveSettings = field(default_factory=LiveSettings)  # format of the live stream
    history: HistorySettings = field(default_factory=HistorySettings)  # database of the sink history:
    clips: ClipSettings = field(default_factory=ClipSettings)  # sound files of events
    mqtt: MqttSettings = field(default_factory=MqttSettings)  # broker and topics of the sink mqtt:
    prometheus: PrometheusSettings = field(default_factory=PrometheusSettings)  # metrics of the run
    page: PageSettings = field(default_factory=PageSettings)  # the page in the browser

    def __post_init__(self) -> None:
        for name in ("threads", "blas_threads"):
            if not 1 <= getattr(self, name) <= 64:
                raise ValueError(f"got {name} {getattr(self, name)}, wanted 1 to 64")
        if self.metrics_minutes != 0.0 and not 0.01 <= self.metrics_minutes <= 1e6:
            raise ValueError(f"got metrics_minutes {self.metrics_minutes}, wanted 0 or 0.01 to 1000000")
        if not self.sinks:
            raise ValueError("got no sinks, wanted at least one")
        known = [item.name for item in fields(DecodeSettings)]
        unknown = sorted(set(self.decode) - set(known))
        if unknown:
            raise ValueError(f"decode: got unknown key {unknown[0]!r}, wanted one of {', '.join(known)}")

    def model_for(self, array: ArrayProfile) -> str:
        """The model that is named, or else a shipped one that was trained for the array."""
        return self.model or bundle_for(array, DEFAULT_MODEL)


def read_settings(path: Path) -> RunSettings:
    """Read settings from a TOML file.

    Raises:
        ValueError: the file cannot be read, or an entry is unknown, of the wrong type or out of its range; one line
            that begins with the path.
    """
    return build(RunSettings, read_toml(path), str(path))
