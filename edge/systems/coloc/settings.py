"""How the nets of CoLoC are asked, in both modes."""

from __future__ import annotations

from dataclasses import dataclass

MODES = ("streaming", "window")


@dataclass(frozen=True, slots=True)
class ColocSettings:
    """How the nets are asked. The defaults are the paper's, but for `max_overlap`, which it has as 3 or 2."""

    mode: str = "window"  # each window anew, or every frame once
    max_overlap: int = 2
    threshold: float = 0.5  # length of a direction vector above which something is there
    perturbation_deg: float = 0.0  # window mode, section 3.3: 5 there; 0 keeps the device deterministic
    window_labels: int = 50
    hop_labels: int = 10  # window mode
    look_ahead_labels: int = 5  # streaming mode: of the recurrence, as its net was exported

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise ValueError(f"got mode {self.mode!r}, wanted one of {', '.join(MODES)}")
        if not 1 <= self.max_overlap <= 3:
            raise ValueError(f"got max_overlap {self.max_overlap}, wanted 1, 2 or 3")
        if not 0 < self.hop_labels <= self.window_labels or (self.window_labels - self.hop_labels) % 2:
            raise ValueError(
                f"got window_labels {self.window_labels} and hop_labels {self.hop_labels}, "
                "wanted 0 < hop_labels <= window_labels with an even difference"
            )
        if not 0.0 < self.threshold < 1.0:
            raise ValueError(f"got threshold {self.threshold}, wanted one between 0 and 1")
        if not 0 <= self.look_ahead_labels <= 100:
            raise ValueError(f"got look_ahead_labels {self.look_ahead_labels}, wanted 0 to 100")
