"""CoLoC in the whole pipeline, with analytic nets: formulas over the features find class and direction."""

import numpy as np

from edge.arrays.encoder import foa_encoder
from edge.arrays.profile import load_array
from edge.events.decoder import Decoder, DecodeSettings
from edge.frontend.maps import FeatureExtractor, FeatureSettings
from edge.frontend.stft import Stft, StftSettings
from edge.runtime.pipeline import Pipeline
from edge.stage_clock import StageClock
from edge.systems.coloc.settings import ColocSettings
from edge.systems.coloc.streaming import ColocStreaming
from edge.systems.coloc.window import ColocWindow
from edge.systems.label_stepper import LabelStepper


class AnalyticNet:
    """A net that is a formula over the features, in float, so that no difference is hidden by rounding."""

    def fresh(self):
        return {}


class AnalyticEncoder(AnalyticNet):
    def __call__(self, past=None, *, direction):
        return {"embedding": direction}


def analytic_localized(maps, embedding):
    """Mean intensity of label frames (labels, frames, bands, maps); zero where a direction is known already."""
    vector = maps[..., [6, 4, 5]].mean(axis=(1, 2)) / np.float32(0.75 / (12000 / 512))
    return np.where(np.any(embedding != 0, axis=-1, keepdims=True), np.float32(0), vector)


def analytic_classified(maps, embedding):
    level_db = maps[..., 0].mean(axis=1)
    low = 1 / (1 + np.exp((level_db[:, 32:].mean(axis=1) - level_db[:, :32].mean(axis=1)) / 10))
    return np.stack([low, 1 - low, 0 * low], axis=1).astype(np.float32)


class AnalyticWindow(AnalyticNet):
    def __init__(self, answer):
        self._answer = answer

    def __call__(self, past=None, *, features, embedding):
        return {"output": self._answer(features.reshape(len(embedding), -1, *features.shape[1:]), embedding)}


class AnalyticFront(AnalyticNet):
    """Gives the maps of the label frame before, as the front does."""

    def __call__(self, past=None, *, features):
        before, past["state_features"] = past["state_features"], features
        return {"shared_maps": before}

    def fresh(self):
        return {"state_features": np.zeros((5, 64, 7), np.float32)}


class AnalyticBlocks(AnalyticNet):
    """Gives the label frame two before: maps (1, 5, 64, 7), and beside them the condition of that label frame."""

    def __call__(self, past=None, *, shared_maps, condition):
        told = np.broadcast_to(condition[1], (*shared_maps.shape[:2], 3))
        answer, past["state_second"] = past["state_second"], past["state_third"]
        past["state_third"] = np.concatenate([shared_maps, told], axis=-1)[None]
        return {"shared_labels": answer}

    def fresh(self):
        return dict.fromkeys(("state_second", "state_third"), np.zeros((1, 5, 64, 10), np.float32))


class AnalyticRecurrence(AnalyticNet):
    """Nine tenths of the present answer and one tenth of the answer before."""

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


def analytic_pipeline(mode):
    stft = StftSettings()
    nets = {}
    for stage, answer in (("localizer", analytic_localized), ("classifier", analytic_classified)):
        nets |= {
            f"{stage}_encoder": AnalyticEncoder(),
            stage: AnalyticWindow(answer),
            f"{stage}_front": AnalyticFront(),
        }
        nets |= {f"{stage}_blocks": AnalyticBlocks(), f"{stage}_recurrence": AnalyticRecurrence(answer)}
    settings = ColocSettings(mode, window_labels=10, hop_labels=2, look_ahead_labels=2)
    kind = {"window": ColocWindow, "streaming": ColocStreaming}[mode]
    stepper = LabelStepper(FeatureExtractor(FeatureSettings(), stft), stft, StageClock())
    system = kind(nets, stepper, 2, settings)
    decoder = Decoder(DecodeSettings(), ("low", "high"), 0.1)
    return Pipeline(foa_encoder(load_array("foa")), Stft(stft, 4), system, decoder)
