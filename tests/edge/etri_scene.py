"""What the tests of ETRI share: a scene that its fake nets know, a bundle without files, and analytic nets."""

from dataclasses import replace

import numpy as np

from edge.arrays.encoder import foa_encoder
from edge.arrays.profile import load_array
from edge.events.decoder import Decoder, DecodeSettings
from edge.frontend.maps import FeatureSettings
from edge.frontend.stft import Stft, StftSettings
from edge.geometry import azimuth_elevation_deg
from edge.nets.bundle import Bundle, Manifest
from edge.runtime.pipeline import Pipeline, build_system
from edge.stage_clock import StageClock
from edge.systems.etri.settings import EtriSettings
from edge.systems.etri.window import NETS, Etri
from edge.systems.label_stepper import LabelStepper
from edge.types import FeatureFrames, Spectra
from tests.edge import scenes
from tests.edge.scenes import NAMES, SILENCE, STRENGTHS

TINY = StftSettings(sample_rate_hz=40, window_samples=4, hop_samples=2, nfft=4, frames_per_label=2)  # labels of 0.1 s
MAPS = 13
CLASSES, BANDS = ("low", "high"), 64


class Numbers:
    """In place of the features: all maps of a label frame hold its number, which the spectra encode."""

    channels, bands, map_names = 4, 3, tuple(str(number) for number in range(MAPS))

    def __init__(self, look_ahead_labels):
        self.look_ahead_labels = look_ahead_labels
        self.reset()

    def push(self, spectra):
        self._late.append(spectra)
        if len(self._late) > self.look_ahead_labels:
            yield self._features(self._late.pop(0))

    def finish(self):
        yield from (self._features(spectra) for spectra in self._late)
        self.reset()

    def reset(self):
        self._late = []

    def _features(self, spectra):
        number = round(float(spectra.bins[0, 0, 0].real)) - 1  # zero bins are silence
        return FeatureFrames(np.full((TINY.frames_per_label, self.bands, MAPS), number, np.float32), spectra.start)


class FakeNet:
    """One net of a scene. It answers wrongly where its answer must not be used, so that a use is noticed."""

    def __init__(self, scene, name):
        self.scene, self.name = scene, name
        self.answer = getattr(self, name)

    def __call__(self, past=None, *, features):
        assert features.shape[1:] == (3, 10 if self.name == "doae" else 3)
        numbers = [round(number) for number in features[:: TINY.frames_per_label, 0, 0].tolist()]
        self.scene.calls.append((self.scene.stepped, self.name, numbers))
        return {"output": np.array([self.answer(self.sounds(number)) for number in numbers], np.float32)}

    def sounds(self, number):
        return [] if number == SILENCE else self.scene.sounds_at(number)

    def sad(self, sounds):
        return [0.95 if sounds else 0.05]

    def sed(self, sounds):
        output = np.full(len(NAMES), 0.1 if sounds else 0.99)  # wrong about silence
        for index, _, _ in sounds:
            output[index] = STRENGTHS[index]
        return output

    def doae(self, sounds):
        output = np.full((2, len(NAMES)), 0.3)
        for index, *angles in sounds:
            output[:, index] = np.array(angles) / 180.0
        return output.ravel()

    def fresh(self):
        return {}


class Replaced(FakeNet):
    """A net that answers with a function of the numbers of the label frames."""

    def __init__(self, scene, name, answer):
        self.scene, self.name = scene, name
        self.sounds, self.answer = lambda number: number, answer


class Scene(scenes.Scene):
    stft, net, net_names, slots = TINY, FakeNet, NETS, 2

    def system(self, look_ahead_labels=1, **changes):
        stepper = LabelStepper(Numbers(look_ahead_labels), TINY, StageClock())
        system = Etri(self.nets, stepper, NAMES, EtriSettings(**changes))
        self.calls.clear()
        return system

    @staticmethod
    def spectra(label):
        bins = np.full((TINY.frames_per_label, 4, TINY.bins), label + 1, np.complex64)
        return Spectra(bins, label * TINY.frames_per_label)


def bundle(**changes):
    """A bundle without files: the manifest describes its nets."""
    inputs = {"sad": 3, "sed": 3, "doae": 10}
    outputs = {"sad": 1, "sed": len(CLASSES), "doae": 2 * len(CLASSES)}
    nets = {
        name: {
            "file": f"{name}.tflite",
            "sha256": "",
            "inputs": {"features": [200, BANDS, inputs[name]]},
            "outputs": {"output": [40, outputs[name]]},
        }
        for name in NETS
    }
    manifest = Manifest(
        format=1,
        name="tiny",
        system="etri",
        precision="float32",
        class_names=CLASSES,
        statistics_sha256="",
        nets=nets,
        features=FeatureSettings("etri", BANDS),
        settings={"sed_median_labels": {"low": 5}, "speeds_deg_s": [0, 10.0, 20.0], "path_labels": 11},
    )
    return Bundle(
        replace(manifest, **changes), {}, np.zeros((BANDS, MAPS), np.float32), np.ones((BANDS, MAPS), np.float32)
    )


class AnalyticNet:
    """A net that is a formula over the mean features of each label frame."""

    def __init__(self, answer):
        self._answer = answer

    def __call__(self, past=None, *, features):
        return {"output": self._answer(features.reshape(40, 5, BANDS, -1).mean(axis=1)).astype(np.float32)}

    def fresh(self):
        return {}


def squashed(values):
    return 1 / (1 + np.exp(-values))


def analytic_heard(maps):
    """Whether something is louder than the noise, by the mean log-mel in dB."""
    return squashed((maps[..., 0].mean(axis=1, keepdims=True) + 50.0) / 2)


def analytic_classified(maps):
    low = squashed((maps[:, :32, 0].mean(axis=1) - maps[:, 32:, 0].mean(axis=1)) / 5)
    return np.stack([low, 1 - low], axis=1)


def analytic_located(maps):
    """Direction of the mean active intensity, the same for both classes."""
    azimuth_deg, elevation_deg = azimuth_elevation_deg(maps[..., [6, 4, 5]].mean(axis=1))
    return np.stack([azimuth_deg, azimuth_deg, elevation_deg, elevation_deg], axis=1) / 180.0


def analytic_pipeline(**changes):
    nets = {
        "sad": AnalyticNet(analytic_heard),
        "sed": AnalyticNet(analytic_classified),
        "doae": AnalyticNet(analytic_located),
    }
    system = build_system(bundle(), nets=nets, overrides=changes)
    return Pipeline(
        foa_encoder(load_array("foa")), Stft(StftSettings(), 4), system, Decoder(DecodeSettings(), CLASSES, 0.1)
    )
