"""Settings of two-step on the device."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TwoStepSettings:
    """How the nets are asked. The defaults are the paper's where it states them.

    Attributes:
        max_overlap: Most sources at one time; multi-ACCDOA has three tracks.
        threshold: Length of a multi-ACCDOA vector above which its class is active.
        sure: Length of a vector of the DOA net above which its track is there (equation 3).
        unify_deg: Tracks of a class that are nearer to each other than this are one source.
        steer_deg: A direction turns toward a track of the DOA net that is nearer than this; 0: never, as in the paper.
        steer_share: How far it turns, as a share of the way between the unit vectors.
        window_labels: Label frames of a window (5 s in section 3.1).
        hop_labels: Label frames in the middle of a window that are answered.
    """

    max_overlap: int = 3
    threshold: float = 0.5
    sure: float = 0.5
    unify_deg: float = 15.0
    steer_deg: float = 0.0
    steer_share: float = 0.7
    window_labels: int = 50
    hop_labels: int = 10

    def __post_init__(self) -> None:
        if not 1 <= self.max_overlap <= 3:
            raise ValueError(f"got max_overlap {self.max_overlap}, wanted 1, 2 or 3")
        for name in ("threshold", "sure"):
            if not 0.0 < getattr(self, name) < 1.0:
                raise ValueError(f"got {name} {getattr(self, name)}, wanted one between 0 and 1")
        for name, most in (("unify_deg", 90.0), ("steer_deg", 90.0), ("steer_share", 1.0)):
            if not 0.0 <= getattr(self, name) <= most:
                raise ValueError(f"got {name} {getattr(self, name)}, wanted 0 to {most:g}")
        if not 0 < self.hop_labels <= self.window_labels:
            raise ValueError(
                f"got window_labels {self.window_labels} and hop_labels {self.hop_labels}, "
                "wanted 0 < hop_labels <= window_labels"
            )
