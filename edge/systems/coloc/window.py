"""CoLoC on the device, window by window, as in the paper.

The middle `hop_labels` of each window are the answer. `latency_s` is what that costs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from edge.frontend.maps import FeatureExtractor
from edge.frontend.stft import StftSettings
from edge.geometry import perturb_angles
from edge.nets.net import Net
from edge.systems.coloc.settings import ColocSettings
from edge.systems.stepping import Answers, WindowLoop
from edge.types import FloatArray

NETS = ("localizer_encoder", "localizer", "classifier_encoder", "classifier")


class ColocWindow(WindowLoop):
    """The sequential loop over the four nets of CoLoC, behind `step`, `finish` and `reset`."""

    def __init__(
        self,
        nets: Mapping[str, Net],
        extractor: FeatureExtractor,
        stft: StftSettings,
        classes: int,
        settings: ColocSettings,
    ) -> None:
        super().__init__(extractor, stft, settings.window_labels, settings.hop_labels)
        self.levels = tuple(
            f"{count} {'tracks' if count > 1 else 'track'}" for count in range(settings.max_overlap, 0, -1)
        )
        self._nets = {name: nets[name] for name in NETS}
        self._classes = classes
        self.settings = settings
        self.set_level(0)
        self._restart(0)

    @property
    def latency_s(self) -> float:
        """Most time from a sound to the answer about it, computing time aside."""
        return self._delay_labels * self._stft.label_s

    def set_level(self, index: int) -> None:
        """Work less: index into `levels`, 0 for full quality."""
        self._tracks = self.settings.max_overlap - index

    def _restart(self, label: int) -> None:
        super()._restart(label)
        self._random = np.random.default_rng(0)

    def ask(self, maps: FloatArray, part: slice) -> Iterator[Answers]:
        """All at once."""
        activity, direction = self.infer(maps)
        yield activity[part], direction[part]

    def conclude(self, *answers: FloatArray) -> tuple[FloatArray, FloatArray]:
        """They are in slots already."""
        activity, direction = answers
        return activity, direction

    def infer(self, maps: FloatArray) -> tuple[FloatArray, FloatArray]:
        """A window of maps (frames, bands, maps) -> activity (labels, slots, classes), direction (labels, slots, 3)."""
        labels, slots = self.settings.window_labels, self.settings.max_overlap
        activity = np.zeros((labels, slots, self._classes), np.float32)
        direction = np.zeros((labels, slots, 3), np.float32)
        tracks = self._localize(maps)
        self.clock.lap("localizer")
        for slot, found in enumerate(tracks):
            direction[:, slot] = found
            activity[:, slot] = self._classify(maps, found)
        self.clock.lap("classifier")
        return activity, direction

    def _localize(self, maps: FloatArray) -> list[FloatArray]:
        """Directions (labels, 3) of each stacked-track, at most `max_overlap` of them, zero where it is empty.

        Step n encodes the n directions known in a frame and averages the embeddings; where there are fewer it encodes
        the origin, and its answer there is not read: the set of that frame is complete already.
        """
        encode = self._nets["localizer_encoder"]
        live: NDArray[np.bool_] = np.ones(self.settings.window_labels, dtype=bool)
        origin = encode(direction=np.zeros((self.settings.window_labels, 3), np.float32))["embedding"]
        embedding, embedding_sum = origin, np.zeros_like(origin)
        found: list[FloatArray] = []
        for known in range(1, self._tracks + 1):
            named = self._nets["localizer"](features=maps, embedding=embedding)["output"]
            length = np.linalg.norm(named, axis=-1, keepdims=True)
            live = live & (length[:, 0] > self.settings.threshold)
            if not live.any():
                break
            direction = np.where(live[:, None], named / np.maximum(length, np.float32(1e-6)), np.float32(0.0))
            found.append(direction)
            if known < self._tracks:
                embedding_sum = embedding_sum + encode(direction=self._perturbed(direction))["embedding"]
                embedding = np.where(live[:, None], embedding_sum / np.float32(known), origin)
        return found

    def _classify(self, maps: FloatArray, direction: FloatArray) -> FloatArray:
        """Class probabilities (labels, classes) of what sounds from `direction` (labels, 3); zero where it is empty."""
        embedding = self._nets["classifier_encoder"](direction=self._perturbed(direction))["embedding"]
        probability = self._nets["classifier"](features=maps, embedding=embedding)["output"]
        return probability[:, :-1] * np.any(direction != 0, axis=-1, keepdims=True)

    def _perturbed(self, direction: FloatArray) -> FloatArray:
        most_deg = self.settings.perturbation_deg
        if most_deg == 0.0:
            return direction
        return perturb_angles(direction, most_deg, self._random)
