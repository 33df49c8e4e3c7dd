"""Samples at one rate -> samples at another, streaming, delay-compensated, identical for any block sizes.

A Kaiser-windowed sinc (pass-band to 0.9 of the lower Nyquist frequency, stop-band from 1.0, 80 dB) is evaluated at
every output instant. Outputs are computed in groups of one fixed size, each a single matrix product of one fixed shape:
that is what makes the result independent of how the input was cut.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from edge.types import FloatArray

MIN_RATE_HZ, MAX_RATE_HZ = 4000, 192_000

_STOPBAND_DB = 80.0
_PASSBAND = 0.9  # of the lower Nyquist frequency
_MIN_GROUP = 64  # outputs per matrix product
_MAX_PERIOD = 320  # a ratio that repeats within this many outputs gets by with one kernel


class Resampler:
    """Rational resampler for a stream of samples (n, channels). Equal rates pass the samples through."""

    def __init__(self, rate_in: int, rate_out: int, channels: int) -> None:
        """Rates in Hz. Raises ValueError if a rate is outside MIN_RATE_HZ..MAX_RATE_HZ."""
        for rate_hz in (rate_in, rate_out):
            if not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:
                raise ValueError(f"got a sample rate of {rate_hz} Hz, wanted {MIN_RATE_HZ} to {MAX_RATE_HZ}")
        common = math.gcd(rate_in, rate_out)
        self.rate_in, self.rate_out, self.channels = rate_in, rate_out, channels
        self._up, self._down = rate_out // common, rate_in // common
        self._group = self._up * math.ceil(_MIN_GROUP / self._up) if self._up <= _MAX_PERIOD else _MIN_GROUP
        self._half = _half_width(self._up, self._down)
        self._window = (self._up - 1 + (self._group - 1) * self._down) // self._up + 2 * self._half + 1
        self.reset()

    def reset(self) -> None:
        """Forget everything: the next sample pushed is the first of a new stream."""
        self._buffer = np.zeros((self._half, self.channels), np.float32)  # begins half a filter before self._first
        self._first = 0  # input index at which the next group starts
        self._received = 0  # inputs so far
        self._emitted = 0  # outputs so far

    def push(self, samples: FloatArray) -> FloatArray:
        """Take samples (n, channels), give those outputs (m, channels), m >= 0, that can be computed by now."""
        if self._up == self._down:
            return samples
        self._received += len(samples)
        self._buffer = np.concatenate([self._buffer, samples])
        pieces = []
        while len(self._buffer) >= self._window:
            phase = self._emitted * self._down % self._up
            pieces.append(_kernel(self._up, self._down, self._group, phase) @ self._buffer[: self._window])
            self._emitted += self._group
            first = self._emitted * self._down // self._up
            self._buffer = self._buffer[first - self._first :]
            self._first = first
        return np.concatenate(pieces) if pieces else np.empty((0, self.channels), np.float32)

    def finish(self) -> FloatArray:
        """Give the remaining outputs (m, channels), as if silence followed, and reset.

        Over the whole stream of n inputs there are ceil(n * rate_out / rate_in) outputs.
        """
        wanted = -(-self._received * self._up // self._down) - self._emitted
        groups = math.ceil(wanted / self._group)
        silence = math.ceil(groups * self._group * self._down / self._up) + self._window
        tail = self.push(np.zeros((silence, self.channels), np.float32))[:wanted]
        self.reset()
        return tail


def _half_width(up: int, down: int) -> int:
    """Half the length of the filter in input samples, by Kaiser's formula."""
    transition = (1 - _PASSBAND) * np.pi * min(1.0, up / down)  # radians per input sample
    return math.ceil((_STOPBAND_DB - 7.95) / (2.285 * transition) / 2)


@lru_cache(maxsize=512)
def _kernel(up: int, down: int, outputs: int, phase: int) -> FloatArray:
    """Matrix (outputs, window) from inputs to outputs, the first of which lies phase/up after input number `half`."""
    half = _half_width(up, down)
    window = (up - 1 + (outputs - 1) * down) // up + 2 * half + 1
    instants = (phase + np.arange(outputs) * down) / up
    distance = np.arange(window) - half - instants[:, None]  # (outputs, window), input samples
    cutoff = (1 + _PASSBAND) / 2 * min(1.0, up / down)
    beta = 0.1102 * (_STOPBAND_DB - 8.7)
    taper = np.i0(beta * np.sqrt(np.clip(1 - (distance / half) ** 2, 0, None))) * (np.abs(distance) <= half)
    taps = np.sinc(cutoff * distance) * taper
    return (taps / taps.sum(axis=1, keepdims=True)).astype(np.float32)
