"""Everything that `seld-edge run` can be told: a TOML file -> `RunSettings`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from edge.audio.microphone import DEADLINE_S
from edge.audio.sources import RawFormat
from edge.events.decoder import DecodeSettings
from edge.outputs.line_file import RotationSettings
from edge.outputs.metrics import PrometheusSettings
from edge.outputs.mqtt_link import MqttSettings
from edge.runtime.governor import BudgetSettings
from edge.settings import build, read_toml

DEFAULT_MODEL = "coloc-edge"


@dataclass(frozen=True, slots=True)
class MicrophoneSettings:
    """Which device to open, and how long it may be silent."""

    device: str | None = None  # part of its name; None takes the system's default
    deadline_s: float = DEADLINE_S


@dataclass(frozen=True, slots=True)
class RunSettings:
    """Everything that `seld-edge run` can be told. `system` and `decode` override what the bundle says."""

    model: str = DEFAULT_MODEL
    source: str = "demo"
    array: str = "foa"
    sinks: tuple[str, ...] = ("jsonl:-",)
    realtime: bool = False  # play a file at the pace at which it was recorded
    stats: str | None = None  # file to write times and counts to, in the end
    metrics_minutes: float = 10.0  # between log lines of them (INFO); 0 gives none
    threads: int = 1  # of the TFLite interpreter
    blas_threads: int = 1  # of numpy's BLAS: read by edge/cli.py before numpy is imported
    budget: BudgetSettings = field(default_factory=BudgetSettings)
    system: Mapping[str, Any] = field(default_factory=dict)
    decode: Mapping[str, Any] = field(default_factory=dict)
    microphone: MicrophoneSettings = field(default_factory=MicrophoneSettings)
    stdin: RawFormat = field(default_factory=RawFormat)
    jsonl: RotationSettings = field(default_factory=RotationSettings)
    mqtt: MqttSettings = field(default_factory=MqttSettings)
    prometheus: PrometheusSettings = field(default_factory=PrometheusSettings)

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


def read_settings(path: Path) -> RunSettings:
    """`RunSettings` from a TOML file."""
    return build(RunSettings, read_toml(path), str(path))
