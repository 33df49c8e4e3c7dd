"""Settings of CoLoC on the device, in both modes."""

from __future__ import annotations

from dataclasses import dataclass

MODES = ("streaming", "window")


@dataclass(frozen=True, slots=True)
class ColocSettings:
    """How the nets are asked. The defaults are the paper's, except for `max_overlap`, which the paper has as 3 or 2.

    Attributes:
        mode: "window" computes overlapping windows as in the paper; "streaming" computes each label frame once.
        max_overlap: Most sources at one time.
        threshold: Length of a direction vector above which a source is there.
        perturbation_deg: Window mode: random turn of directions before they are encoded (section 3.3). The paper has
            5; 0 keeps the device deterministic.
        window_labels: Label frames of a window, also those that an encoder takes at once.
        hop_labels: Window mode: label frames in the middle of a window that are answered.
        look_ahead_labels: Streaming mode: label frames that the backward half of the recurrence looks ahead, as its net
            was exported. Of causal nets: label frames that they look ahead in all.
        causal: The nets were trained to answer all passes within one label frame; as they were exported.
        distance: The classifier tells how far away a source is, too, as its nets were exported.
    """

    mode: str = "window"
    max_overlap: int = 2
    threshold: float = 0.5
    perturbation_deg: float = 0.0
    window_labels: int = 50
    hop_labels: int = 10
    look_ahead_labels: int = 5
    causal: bool = False
    distance: bool = False

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
        if not 0.0 <= self.perturbation_deg <= 90.0:
            raise ValueError(f"got perturbation_deg {self.perturbation_deg}, wanted 0 to 90")
        if self.perturbation_deg and self.mode != "window":
            raise ValueError(
                f"got perturbation_deg {self.perturbation_deg} with mode {self.mode!r}, wanted 0, or mode 'window'"
            )
        if not 0 <= self.look_ahead_labels <= 100:
            raise ValueError(f"got look_ahead_labels {self.look_ahead_labels}, wanted 0 to 100")

    @property
    def track_levels(self) -> tuple[str, ...]:
        """Descriptions of the levels of quality that both modes have: `max_overlap` tracks, down to one."""
        return tuple(f"{count} {'tracks' if count > 1 else 'track'}" for count in range(self.max_overlap, 0, -1))
