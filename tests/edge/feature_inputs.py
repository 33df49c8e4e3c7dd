"""Inputs that several tests of feature maps share: spectra and sounds."""

import numpy as np

from edge.frontend.maps import FeatureSettings
from edge.frontend.stft import Stft, StftSettings
from edge.types import AudioBlock

STFT = StftSettings()
ETRI = FeatureSettings("etri", 64)


def noisy_bins(frames=5, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(frames, 4, 513)) + 1j * rng.normal(size=(frames, 4, 513))).astype(np.complex64)


def groups_of(samples, stft=STFT):
    transform = Stft(stft, 4)
    return [*transform.push(AudioBlock(samples, 0)), *transform.finish()]


def sound(seconds=1.0, seed=0):
    """Noise that comes and goes, of other loudness in every channel."""
    random = np.random.default_rng(seed)
    count = round(24000 * seconds)
    return (random.normal(0, 0.1, (count, 4)) * np.repeat(random.random((count // 1200, 4)), 1200, 0)).astype(
        np.float32
    )
