"""What the tests of two-step share: a scene that its fake nets know, a bundle without files, and analytic nets."""

import functools
from dataclasses import replace

import numpy as np
from numpy.testing import assert_allclose, assert_array_equal

from edge.arrays.profile import load_array
from edge.frontend.beams import Beamformer
from edge.frontend.maps import FeatureExtractor, FeatureSettings, logmel, mel_bank
from edge.frontend.stft import StftSettings
from edge.geometry import unit_vector
from edge.nets.bundle import Bundle, Manifest
from edge.runtime.pipeline import build_pipeline, build_system
from edge.stage_clock import StageClock
from edge.systems.label_stepper import LabelStepper
from edge.systems.two_step.beams import BeamMaps
from edge.systems.two_step.settings import TwoStepSettings
from edge.systems.two_step.window import FUSED, NETS, TwoStep
from edge.types import Spectra
from tests.edge import scenes
from tests.edge.scenes import BELL, NAMES, SILENCE, STRENGTHS

TINY = StftSettings(sample_rate_hz=320, window_samples=32, hop_samples=16, nfft=32, frames_per_label=2)
SETTINGS = FeatureSettings("two_step", 3)
MEAN = np.arange(27, dtype=np.float32).reshape(3, 9) - 20
DEVIATION = 1 + np.arange(27, dtype=np.float32).reshape(3, 9) % 4
CLASSES, BANDS = ("low", "high"), 64
SHAPES = {
    "doa": {"inputs": {"features": [100, BANDS, 7]}, "outputs": {"output": [20, 6], "hidden": [20, 3]}},
    "sed": {"inputs": {"features": [100, BANDS, 2]}, "outputs": {"hidden": [20, 1]}},
    "fusion": {
        "inputs": {"features": [100, BANDS, 7], "beams": [100, BANDS, 2], "doa": [20, 3], "sed": [20, 1]},
        "outputs": {"output": [20, 18]},
    },
}
FEATURES = FeatureSettings("two_step", BANDS)


@functools.cache
def spectra(label):
    """Noise of a label frame, whose level in tenths of a decibel is the number of the label frame."""
    shape = TINY.frames_per_label, SETTINGS.channels, TINY.bins
    if label == SILENCE:
        return Spectra(np.zeros(shape, np.complex64), 0)
    turned = np.exp(2j * np.pi * np.random.default_rng(label).uniform(size=shape))
    return Spectra((10 ** (label / 200) * turned).astype(np.complex64), label * TINY.frames_per_label)


def extractor():
    return FeatureExtractor(SETTINGS, TINY, MEAN, DEVIATION)


@functools.cache
def maps(label):
    return extractor()(spectra(label)).maps


@functools.cache
def beam_maps(array, label, tracks):
    """Wanted beams of a label frame toward its tracks, computed directly and normalised as the log-mel of W."""
    beams = beamformer(array)(spectra(label).bins[:, 4:], np.array(tracks, np.float32))
    return (logmel(beams, mel_bank(SETTINGS, TINY)) - MEAN[:, :1]) / DEVIATION[:, :1]


@functools.cache
def beamformer(array):
    return Beamformer(load_array(array), TINY)


class FakeNet:
    """One net of a scene. It refuses inputs that no correct loop gives, and answers wrongly where no answer is used."""

    def __init__(self, scene, name):
        self.scene, self.name = scene, name
        self.answer = getattr(self, name)

    def __call__(self, past=None, *, features, **told):
        part = slice(7, 9) if self.name == "sed" else slice(0, 7)
        level = features[:: TINY.frames_per_label, 0, 0] - maps(0)[0, 0, part.start]
        numbers = [
            SILENCE if number < -200 else round(number) for number in (10 * level * DEVIATION[0, part.start]).tolist()
        ]
        assert_array_equal(features, np.concatenate([maps(number)[..., part] for number in numbers]))
        self.scene.calls.append((self.scene.stepped, self.name, numbers))
        return self.answer(numbers, **told)

    def doa(self, numbers):
        output = np.array([self.scene.tracks_at(number) for number in numbers], np.float32)
        return {"output": output.reshape(len(numbers), 9), "hidden": hidden("doa", numbers)}

    def sed(self, numbers):
        return {"hidden": hidden("sed", numbers), "output": None}

    def fusion(self, numbers, **told):
        assert tuple(told) == self.scene.fused
        tracks = [tuple(map(tuple, self.scene.tracks_at(number))) for number in numbers]
        for name in told:
            if name == "beams":
                heard = [beam_maps(self.scene.array, *each) for each in zip(numbers, tracks, strict=True)]
                assert_allclose(told["beams"], np.concatenate(heard), atol=1e-4)
            else:
                assert_array_equal(told[name], hidden(name, numbers))
        output = np.array([self.scene.accdoa_at(number) for number in numbers], np.float32)
        return {"output": output.reshape(len(numbers), 9 * len(NAMES))}

    def fresh(self):
        return {}


def hidden(name, numbers):
    """The output `hidden` of a net: rows that name the net and the label frames."""
    return np.array([[number, len(name), *name.encode()[:2]] for number in numbers], np.float32)


class Scene(scenes.Scene):
    stft, net, net_names, slots = TINY, FakeNet, NETS, 3
    spectra = staticmethod(spectra)

    def __init__(self, sounds="mixed", fused=FUSED, array="foa"):
        super().__init__(sounds)
        self.fused, self.array = fused, array

    def system(self, clock=None, **changes):
        features, settings = extractor(), TwoStepSettings(**changes)
        stepper = LabelStepper(features, TINY, clock or StageClock())
        beam_maps = BeamMaps(load_array(self.array), TINY, features)
        return TwoStep(self.nets, stepper, len(NAMES), settings, beam_maps, self.fused)

    def tracks_at(self, number):
        """Vectors of three tracks. In silence there is a wrong one."""
        if number == SILENCE:
            return ((0.0, 0.9, 0.0), *((0.0, 0.0, 0.0),) * 2)
        there = [tuple((0.9 * unit_vector(*angles)).tolist()) for _, *angles in self.sounds_at(number)]
        return tuple([*there, *((0.1, -0.1, 0.3),) * 3][:3])

    def accdoa_at(self, number):
        """Multi-ACCDOA (tracks, 3, classes), with small values where nothing is active."""
        output = np.full((3, 3, len(NAMES)), 0.1)
        for track, (index, *angles) in enumerate([BELL] if number == SILENCE else self.sounds_at(number)):
            output[track, :, index] = STRENGTHS[index] * unit_vector(*angles)
        return output


def bundle(shapes=SHAPES, features=FEATURES, **changes):
    """A bundle without files: the manifest describes its nets."""
    nets = {name: {"file": f"{name}.tflite", "sha256": "", **tensors} for name, tensors in shapes.items()}
    known = {"format": 1, "name": "tiny", "system": "two_step", "precision": "float32", "class_names": CLASSES}
    asked = {"window_labels": 20, "hop_labels": 10}
    manifest = Manifest(**known, statistics_sha256="", nets=nets, features=features, settings=asked)
    statistics = [fill((BANDS, 9), np.float32) for fill in (np.zeros, np.ones)]
    return Bundle(replace(manifest, **changes), {}, *statistics)


def changed(name, kind, tensor, *shape):
    """Shapes of all nets, with one replaced, or removed if no shape is given."""
    tensors = {other: known for other, known in SHAPES[name][kind].items() if other != tensor}
    return {**SHAPES, name: {**SHAPES[name], kind: tensors | ({tensor: list(shape)} if shape else {})}}


class AnalyticNet:
    """A net that is a formula over the mean inputs of each label frame."""

    def __init__(self, answer):
        self._answer = answer

    def __call__(self, past=None, **inputs):
        means = {name: value.reshape(20, -1, *value.shape[1:]).mean(axis=1) for name, value in inputs.items()}
        return {name: value.astype(np.float32) for name, value in self._answer(**means).items()}

    def fresh(self):
        return {}


def low_against_high(levels_db):
    return levels_db[:, :32].mean(axis=1) - levels_db[:, 32:].mean(axis=1)


def analytic_located(features, sign=1):
    """Direction of the intensity where W is louder than the noise, from bands below spatial aliasing."""
    vectors = sign * features[:, :32, [6, 4, 5]].mean(axis=1)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True) + 1e-9
    loud = features[..., 0].mean(axis=1, keepdims=True) > -50.0
    return {"output": np.hstack([0.9 * vectors * loud, 0 * vectors]), "hidden": vectors}


def analytic_classified(features):
    return {"hidden": low_against_high(features[..., 0])[:, None]}


def analytic_fused(features, beams=None, *, doa, sed):
    """The class by SED and beam, if the beam is as loud as W; the direction by DOA."""
    beam, w = features[..., 0] if beams is None else beams[..., 0], features[..., 0]
    low = 1 / (1 + np.exp(-(sed[:, 0] + low_against_high(beam)) / 10))
    lengths = np.stack([low, 1 - low], axis=1) * ((beam - w).mean(axis=1, keepdims=True) > -2.0)
    output = np.zeros((20, 3, 3, len(CLASSES)))
    output[:, 1] = doa[..., None] * lengths[:, None]
    return {"output": output.reshape(20, -1)}


def analytic_pipeline(array="foa", shapes=SHAPES, **replaced):
    nets = {
        "doa": AnalyticNet(analytic_located),
        "sed": AnalyticNet(analytic_classified),
        "fusion": AnalyticNet(analytic_fused),
    } | replaced
    profile = load_array(array)
    return build_pipeline(bundle(shapes), profile, build_system(bundle(shapes), nets=nets, array=profile))
