"""Settings of ETRI on the device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

LONGEST_FILTER_LABELS = 201


@dataclass(frozen=True, slots=True)
class EtriSettings:
    """How the nets are asked, and how their answers are filtered. The defaults are the paper's where it states them.

    Attributes:
        max_overlap: Most classes at one time (2 in DCASE 2020).
        sad_threshold: Probability of SAD above which anything sounds (section 3.3).
        sed_threshold: Probability of SED above which a class sounds (section 3.3).
        window_labels: Label frames of a window (200 frames of 20 ms in section 2).
        hop_labels: Label frames in the middle of a window that are answered (windows share 50 frames in section 2).
        post_sed: Filter the answers of SAD and SED by medians.
        post_doa: Correct directions to steady paths.
        sad_median_labels: Length of the median filter of SAD.
        sed_median_labels: Lengths of the median filters of SED by class; a class without one is not filtered. They
            follow from the mean duration of the events (section 5), so a bundle states them.
        speeds_deg_s: Speeds at which a source may move (those of DCASE 2020).
        path_labels: Label frames around each one that a path is fitted to.
        path_deg: Half of the directions must be this near to a path.
    """

    max_overlap: int = 2
    sad_threshold: float = 0.5
    sed_threshold: float = 0.5
    window_labels: int = 40
    hop_labels: int = 30
    post_sed: bool = True
    post_doa: bool = True
    sad_median_labels: int = 1
    sed_median_labels: Mapping[str, int] = field(default_factory=dict)
    speeds_deg_s: tuple[float, ...] = (0.0, 10.0, 20.0, 40.0)
    path_labels: int = 21
    path_deg: float = 30.0

    def __post_init__(self) -> None:
        if not 1 <= self.max_overlap <= 3:
            raise ValueError(f"got max_overlap {self.max_overlap}, wanted 1, 2 or 3")
        for name in ("sad_threshold", "sed_threshold"):
            if not 0.0 < getattr(self, name) < 1.0:
                raise ValueError(f"got {name} {getattr(self, name)}, wanted one between 0 and 1")
        if not 0 < self.hop_labels <= self.window_labels:
            raise ValueError(
                f"got window_labels {self.window_labels} and hop_labels {self.hop_labels}, "
                "wanted 0 < hop_labels <= window_labels"
            )
        lengths = {"sad_median_labels": self.sad_median_labels, "path_labels": self.path_labels}
        lengths |= {f"sed_median_labels of {name}": length for name, length in self.sed_median_labels.items()}
        for name, length in lengths.items():
            if not isinstance(length, int) or not 1 <= length <= LONGEST_FILTER_LABELS or length % 2 == 0:
                raise ValueError(f"got {name} {length!r}, wanted an odd number from 1 to {LONGEST_FILTER_LABELS}")
        if not self.speeds_deg_s or min(self.speeds_deg_s) < 0.0:
            raise ValueError(f"got speeds_deg_s {self.speeds_deg_s}, wanted at least one, none below 0")
        if self.path_deg <= 0.0:
            raise ValueError(f"got path_deg {self.path_deg}, wanted more than 0")
