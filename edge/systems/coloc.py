"""CoLoC on the device: spectra -> stacked-tracks of directions with class probabilities.

Sequential set generation (Kapka, DCASE 2022 Task 3, section 2.3): the localizer names one direction after the other,
each time told which it has named already; then the classifier says what sounds from each (section 2.4).

Windows of `window_labels` follow each other every `hop_labels`; the middle `hop_labels` of each are the answer, so that
both sides have context. `latency_s` is what that costs. Before the stream and after it there is silence.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.bundle import Bundle, Manifest
from edge.config import build
from edge.features import FEATURES, FeatureExtractor
from edge.framing import Framer
from edge.geometry import perturb_angles
from edge.nets import Net
from edge.stft import StftSettings
from edge.types import FloatArray, Spectra, TrackFrames

NETS = ("localizer_encoder", "localizer", "classifier_encoder", "classifier")
CHANNELS = 4


@dataclass(frozen=True, slots=True)
class ColocSettings:
    """How the nets are asked. The defaults are the paper's, but for `max_overlap`, which it has as 3 or 2."""

    window_labels: int = 50
    hop_labels: int = 10
    max_overlap: int = 2
    threshold: float = 0.5  # length of a direction vector above which something is there
    perturbation_deg: float = 0.0  # section 3.3 has 5; 0 keeps the device deterministic

    def __post_init__(self) -> None:
        if not 1 <= self.max_overlap <= 3:
            raise ValueError(f"got max_overlap {self.max_overlap}, wanted 1, 2 or 3")
        if not 0 < self.hop_labels <= self.window_labels or (self.window_labels - self.hop_labels) % 2:
            raise ValueError(
                f"got window_labels {self.window_labels} and hop_labels {self.hop_labels}, "
                "wanted 0 < hop_labels <= window_labels with an even difference"
            )
        if not 0.0 < self.threshold < 1.0:
            raise ValueError(f"got threshold {self.threshold}, wanted one between 0 and 1")


class Coloc:
    """The sequential loop over the four nets of CoLoC, behind `step`, `finish` and `reset`."""

    def __init__(
        self,
        nets: Mapping[str, Net],
        extractor: FeatureExtractor,
        stft: StftSettings,
        classes: int,
        settings: ColocSettings,
    ) -> None:
        missing = [name for name in NETS if name not in nets]
        if missing:
            raise ValueError(f"got nets {', '.join(sorted(nets))}, wanted also {', '.join(missing)}")
        self._nets = nets
        self._extractor = extractor
        self._stft = stft
        self._classes = classes
        self._settings = settings
        self._look_ahead = (settings.window_labels - settings.hop_labels) // 2
        per_label = stft.frames_per_label
        self._framer = Framer(
            settings.window_labels * per_label,
            settings.hop_labels * per_label,
            (extractor.bands, len(extractor.map_names)),
        )
        self._silence = extractor(Spectra(np.zeros((per_label, CHANNELS, stft.bins), np.complex64), 0)).maps
        self._random = np.random.default_rng(0)
        self._restart(0)

    @property
    def latency_s(self) -> float:
        """Most time from a sound to the answer about it, computing time aside."""
        return (self._look_ahead + self._settings.hop_labels) * self._stft.label_s

    def step(self, spectra: Spectra) -> Iterator[TrackFrames]:
        """Take one label frame; yield the answers it completes: none, or `hop_labels` label frames of them.

        Spectra that do not continue the ones before them close the stream and begin a new one.
        """
        label = spectra.start // self._stft.frames_per_label
        if label != self._heard:
            yield from self.finish()
            self._restart(label)
        self._heard += 1
        yield from self._push(self._extractor(spectra).maps)

    def finish(self) -> Iterator[TrackFrames]:
        """End of stream: answer about everything heard, as if silence followed."""
        while self._answered < self._heard:
            yield from self._push(self._silence)
        self._restart(self._heard)

    def reset(self) -> None:
        """Forget the past: the next label frame is expected to be number 0."""
        self._restart(0)

    def _restart(self, label: int) -> None:
        self._framer.reset()
        for _ in range(self._look_ahead):
            list(self._framer.push(self._silence))  # completes no window: those are longer
        self._random = np.random.default_rng(0)
        self._heard = self._answered = label

    def _push(self, maps: FloatArray) -> Iterator[TrackFrames]:
        for window in self._framer.push(maps):
            activity, direction = self.infer(window)
            count = min(self._settings.hop_labels, self._heard - self._answered)
            middle = slice(self._look_ahead, self._look_ahead + count)
            start, self._answered = self._answered, self._answered + count
            yield TrackFrames(activity[middle], direction[middle], start)

    def infer(self, maps: FloatArray) -> tuple[FloatArray, FloatArray]:
        """A window of maps (frames, bands, maps) -> activity (labels, slots, classes), direction (labels, slots, 3)."""
        labels, slots = self._settings.window_labels, self._settings.max_overlap
        activity = np.zeros((labels, slots, self._classes), np.float32)
        direction = np.zeros((labels, slots, 3), np.float32)
        for slot, found in enumerate(self._localize(maps)):
            direction[:, slot] = found
            activity[:, slot] = self._classify(maps, found)
        return activity, direction

    def _localize(self, maps: FloatArray) -> list[FloatArray]:
        """Directions (labels, 3) of each stacked-track, at most `max_overlap` of them, zero where it is empty.

        Step n encodes the n directions known in a frame and averages the embeddings; where there are fewer it encodes
        the origin, and its answer there is not read: the set of that frame is complete already.
        """
        encode = self._nets["localizer_encoder"]
        live: NDArray[np.bool_] = np.ones(self._settings.window_labels, dtype=bool)
        origin = encode(direction=np.zeros((self._settings.window_labels, 3), np.float32))["embedding"]
        embedding, embedding_sum = origin, np.zeros_like(origin)
        found: list[FloatArray] = []
        for known in range(1, self._settings.max_overlap + 1):
            named = self._nets["localizer"](features=maps, embedding=embedding)["output"]
            length = np.linalg.norm(named, axis=-1, keepdims=True)
            live = live & (length[:, 0] > self._settings.threshold)
            if not live.any():
                break
            direction = np.where(live[:, None], named / np.maximum(length, np.float32(1e-6)), np.float32(0.0))
            found.append(direction)
            if known < self._settings.max_overlap:
                embedding_sum = embedding_sum + encode(direction=self._perturbed(direction))["embedding"]
                embedding = np.where(live[:, None], embedding_sum / np.float32(known), origin)
        return found

    def _classify(self, maps: FloatArray, direction: FloatArray) -> FloatArray:
        """Class probabilities (labels, classes) of what sounds from `direction` (labels, 3); zero where it is empty."""
        embedding = self._nets["classifier_encoder"](direction=self._perturbed(direction))["embedding"]
        probability = self._nets["classifier"](features=maps, embedding=embedding)["output"]
        return probability[:, :-1] * np.any(direction != 0, axis=-1, keepdims=True)

    def _perturbed(self, direction: FloatArray) -> FloatArray:
        most_deg = self._settings.perturbation_deg
        if most_deg == 0.0:
            return direction
        return perturb_angles(direction, most_deg, self._random)


def from_bundle(bundle: Bundle, nets: Mapping[str, Net], overrides: Mapping[str, Any]) -> Coloc:
    """The system of a bundle, with `nets` in place of its own where they are Keras', and settings overridden."""
    manifest = bundle.manifest
    settings = build(ColocSettings, {**manifest.settings, **overrides}, "system")
    _check_shapes(manifest, settings)
    return Coloc(nets, bundle.extractor(), manifest.stft, len(manifest.class_names), settings)


def _check_shapes(manifest: Manifest, settings: ColocSettings) -> None:
    """Raise ValueError if the nets that the manifest describes are not of the sizes that its settings ask for."""
    labels = settings.window_labels
    maps = len(FEATURES[manifest.features.kind][1])
    features = [labels * manifest.stft.frames_per_label, manifest.features.bands, maps]
    outputs = {"localizer": 3, "classifier": len(manifest.class_names) + 1}
    for name, outputs_wanted in outputs.items():
        if not {name, f"{name}_encoder"} <= manifest.nets.keys():
            continue  # nets of another kind: they check themselves
        net, encoder = manifest.nets[name], manifest.nets[f"{name}_encoder"]
        embedding = encoder["outputs"].get("embedding")
        for got, wanted in (
            (encoder["inputs"], {"direction": [labels, 3]}),
            (net["inputs"], {"features": features, "embedding": embedding}),
            (net["outputs"], {"output": [labels, outputs_wanted]}),
        ):
            if dict(got) != wanted:
                raise ValueError(f"{manifest.name}: {name}: got tensors {dict(got)}, wanted {wanted} by the settings")
