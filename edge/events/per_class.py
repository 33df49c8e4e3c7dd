"""`[decode]` and `[[classes]]` of the settings -> what the decoder asks of each class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class ClassSettings:
    """What is asked of one class in place of what `[decode]` asks of all."""

    name: str  # of the class, as the model has it
    enabled: bool = True  # whether the class is heard at all
    on: float | None = None  # probability at which an event begins; by default that of [decode]
    off: float | None = None  # probability below which it ends; by default that of [decode]
    min_duration_labels: int | None = None  # shorter events are dropped; by default as in [decode]
    cooldown_s: float = 0.0  # time after an event of the class in which no other one begins, 0 to 86400

    def __post_init__(self) -> None:
        if not 0.0 <= self.cooldown_s <= 86400.0:
            raise ValueError(f"got cooldown_s {self.cooldown_s}, wanted 0 to 86400")
        if self.min_duration_labels is not None and not 1 <= self.min_duration_labels <= 600:
            raise ValueError(f"got min_duration_labels {self.min_duration_labels}, wanted 1 to 600")


class CommonThresholds(Protocol):
    """What `DecodeSettings` asks of all classes."""

    @property
    def on(self) -> float: ...  # noqa: D102

    @property
    def off(self) -> float: ...  # noqa: D102

    @property
    def min_duration_labels(self) -> int: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class ClassThresholds:
    """What is asked of one class."""

    on: float
    off: float
    min_duration_labels: int
    cooldown_labels: int = 0
    enabled: bool = True


def thresholds_of(
    common: CommonThresholds, classes: Sequence[ClassSettings], class_names: Sequence[str], label_s: float
) -> list[ClassThresholds]:
    """Combine what is asked of all classes with what is asked of some.

    Args:
        common: What is asked of all.
        classes: What is asked of some instead.
        class_names: Names of the classes of the model.
        label_s: Length of a label frame.

    Returns:
        The thresholds of each class, in the order of the names.

    Raises:
        ValueError: A name is no class of the model or comes twice, or `off` is above `on`.
    """
    given = {each.name: each for each in classes}
    if len(given) != len(classes):
        raise ValueError(f"classes: got the names {', '.join(each.name for each in classes)}, wanted each once")
    if unknown := sorted(given.keys() - set(class_names)):
        raise ValueError(f"classes: got name {unknown[0]!r}, wanted one of {', '.join(class_names)}")
    return [_thresholds(common, given.get(name, ClassSettings(name)), label_s) for name in class_names]


def _thresholds(common: CommonThresholds, own: ClassSettings, label_s: float) -> ClassThresholds:
    on = common.on if own.on is None else own.on
    off = common.off if own.off is None else own.off
    if not 0.0 < off <= on < 1.0:
        raise ValueError(f"classes: {own.name}: got on {on} and off {off}, wanted 0 < off <= on < 1")
    least = common.min_duration_labels if own.min_duration_labels is None else own.min_duration_labels
    return ClassThresholds(on, off, least, round(own.cooldown_s / label_s), own.enabled)
