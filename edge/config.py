"""Settings in TOML -> frozen dataclasses. An unknown key or a value of the wrong type is an error, never ignored."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from pathlib import Path
from types import UnionType
from typing import Any, TypeVar, get_args, get_origin, get_type_hints

from edge.capture import RawFormat
from edge.decode import DecodeSettings
from edge.governor import BudgetSettings
from edge.line_file import RotationSettings
from edge.microphone import DEADLINE_S
from edge.mqtt_link import MqttSettings

Settings = TypeVar("Settings")
DEFAULT_MODEL = "coloc-edge"


@dataclass(frozen=True, slots=True)
class MicrophoneSettings:
    """Which device to open, and how long it may be silent."""

    device: str | None = None  # part of its name; None takes the system's default
    deadline_s: float = DEADLINE_S


@dataclass(frozen=True, slots=True)
class PrometheusSettings:
    """Where metrics are to be had: see edge/prometheus.py. By default nowhere."""

    port: int | None = None  # of http://ADDRESS:PORT/metrics
    address: str = "127.0.0.1"
    textfile: str | None = None  # for the textfile collector of node_exporter: its name ends with .prom
    every_s: float = 15.0  # between two writes of it

    def __post_init__(self) -> None:
        if self.port is not None and not 1 <= self.port <= 65535:
            raise ValueError(f"got port {self.port}, wanted 1 to 65535")
        if self.textfile is not None and not self.textfile.endswith(".prom"):
            raise ValueError(f"got textfile {self.textfile!r}, wanted a name that ends with .prom")
        if not 1.0 <= self.every_s <= 86400.0:
            raise ValueError(f"got every_s {self.every_s}, wanted 1 to 86400")


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


def read_toml(path: Path) -> dict[str, Any]:
    """A TOML file as a table. Raises ValueError naming the file if it cannot be read or parsed."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not valid TOML: {error}".replace("\n", " ")) from None


def read_settings(path: Path) -> RunSettings:
    """`RunSettings` from a TOML file."""
    return build(RunSettings, read_toml(path), str(path))


def build(kind: type[Settings], table: Mapping[str, Any], where: str) -> Settings:
    """A dataclass from a table. Raises ValueError beginning with `where` for unknown, missing or wrong entries."""
    types = get_type_hints(kind)
    known = {item.name: item for item in fields(kind)}  # type: ignore[arg-type]
    values = {}
    for key, value in table.items():
        if key not in known:
            raise ValueError(f"{where}: got unknown key {key!r}, wanted one of {', '.join(known)}")
        values[key] = _checked(types[key], value, f"{where}: {key}")
    for name, item in known.items():
        if name not in values and item.default is MISSING and item.default_factory is MISSING:
            raise ValueError(f"{where}: got no {name!r}, wanted one")
    try:
        return kind(**values)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None


def _checked(kind: Any, value: Any, where: str) -> Any:
    """`value` as the annotated type, or ValueError."""
    if is_dataclass(kind):
        if not isinstance(value, Mapping):
            raise ValueError(f"{where}: got {value!r}, wanted a table")
        return build(kind, value, where)  # type: ignore[arg-type]
    origin = get_origin(kind)
    if origin is UnionType:
        return None if value is None else _checked(get_args(kind)[0], value, where)
    if origin is tuple:
        return _checked_tuple(get_args(kind), value, where)
    if origin is not None:  # Mapping[str, ...]
        if not isinstance(value, Mapping):
            raise ValueError(f"{where}: got {value!r}, wanted a table")
        return dict(value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value) if abs(value) < 2**63 else math.inf
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ValueError(f"{where}: got {value!r}, wanted {kind.__name__}")
    if kind is float and not math.isfinite(value):
        raise ValueError(f"{where}: got {value}, wanted a finite number")
    return value


def _checked_tuple(kinds: tuple[Any, ...], value: Any, where: str) -> tuple[Any, ...]:
    open_ended = kinds[-1] is Ellipsis
    if not isinstance(value, list | tuple) or (not open_ended and len(value) != len(kinds)):
        raise ValueError(f"{where}: got {value!r}, wanted a list{'' if open_ended else f' of {len(kinds)}'}")
    each = [kinds[0]] * len(value) if open_ended else kinds
    return tuple(
        _checked(kind, item, f"{where}[{index}]") for index, (kind, item) in enumerate(zip(each, value, strict=True))
    )
