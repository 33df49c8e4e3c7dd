"""CoLoC in the whole pipeline, with nets that have ears."""

import numpy as np

from edge.arrays.encoder import foa_encoder
from edge.arrays.profile import load_array
from edge.events.decoder import Decoder, DecodeSettings
from edge.frontend.maps import FeatureExtractor, FeatureSettings
from edge.frontend.stft import Stft, StftSettings
from edge.runtime.pipeline import Pipeline
from edge.systems.coloc.settings import ColocSettings
from edge.systems.coloc.streaming import ColocStreaming
from edge.systems.coloc.window import ColocWindow


class Ear:
    """Nets made of sums over the features, in float: nothing is hidden by rounding."""

    def fresh(self):
        return {}


class EarEncoder(Ear):
    def __call__(self, past=None, *, direction):
        return {"embedding": direction}


def ear_localized(maps, embedding):
    """Mean intensity of label frames (labels, frames, bands, maps), and nothing where a direction is known already."""
    vector = maps[..., [6, 4, 5]].mean(axis=(1, 2)) / np.float32(0.75 / (12000 / 512))
    return np.where(np.any(embedding != 0, axis=-1, keepdims=True), np.float32(0), vector)


def ear_classified(maps, embedding):
    level_db = maps[..., 0].mean(axis=1)
    low = 1 / (1 + np.exp((level_db[:, 32:].mean(axis=1) - level_db[:, :32].mean(axis=1)) / 10))
    return np.stack([low, 1 - low, 0 * low], axis=1).astype(np.float32)


class EarWindow(Ear):
    def __init__(self, answer):
        self._answer = answer

    def __call__(self, past=None, *, features, embedding):
        return {"output": self._answer(features.reshape(len(embedding), -1, *features.shape[1:]), embedding)}


class EarFront(Ear):
    """The label frame before."""

    def __call__(self, past=None, *, features):
        before, past["state_features"] = past["state_features"], features
        return {"shared_maps": before}

    def fresh(self):
        return {"state_features": np.zeros((5, 64, 7), np.float32)}


class EarBlocks(Ear):
    """Two label frames before: maps (1, 5, 64, 7), and what was told about them beside the maps."""

    def __call__(self, past=None, *, shared_maps, condition):
        told = np.broadcast_to(condition[1], (*shared_maps.shape[:2], 3))
        answer, past["state_second"] = past["state_second"], past["state_third"]
        past["state_third"] = np.concatenate([shared_maps, told], axis=-1)[None]
        return {"shared_labels": answer}

    def fresh(self):
        return dict.fromkeys(("state_second", "state_third"), np.zeros((1, 5, 64, 10), np.float32))


class EarRecurrence(Ear):
    """Nine parts of what is there, one part of what was there before."""

    def __init__(self, answer):
        self._answer = answer

    def __call__(self, past=None, *, shared_labels):
        maps, embedding = shared_labels[:2, ..., :7], shared_labels[:2, 0, 0, 7:]
        answers = self._answer(maps, embedding)
        before = np.concatenate([past["state_forward"][0], answers[:-1]])
        past["state_forward"] = answers[None]
        return {"output": np.float32(0.9) * answers + np.float32(0.1) * before}

    def fresh(self):
        return {"state_forward": np.zeros((1, 1, 3), np.float32)}


def pipeline_with_ears(mode):
    stft = StftSettings()
    nets = {}
    for stage, answer in (("localizer", ear_localized), ("classifier", ear_classified)):
        nets |= {f"{stage}_encoder": EarEncoder(), stage: EarWindow(answer), f"{stage}_front": EarFront()}
        nets |= {f"{stage}_blocks": EarBlocks(), f"{stage}_recurrence": EarRecurrence(answer)}
    settings = ColocSettings(mode, window_labels=10, hop_labels=2, look_ahead_labels=2)
    kind = {"window": ColocWindow, "streaming": ColocStreaming}[mode]
    system = kind(nets, FeatureExtractor(FeatureSettings(), stft), stft, 2, settings)
    decoder = Decoder(DecodeSettings(), ("low", "high"), 0.1)
    return Pipeline(foa_encoder(load_array("foa")), Stft(stft, 4), system, decoder)
