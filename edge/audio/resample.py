"""Samples at one rate -> samples at another, streaming, delay-compensated, identical for any block sizes.

A Kaiser-windowed sinc (pass-band to 0.9 of the lower Nyquist frequency, stop-band from 1.0, 80 dB) is evaluated at
every output instant. Outputs are computed in groups of one fixed size, each a single matrix product of one fixed shape:
that is what makes the result independent of how the input was cut.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from edge.types import AudioBlock, FloatArray

MIN_RATE_HZ, MAX_RATE_HZ = 4000, 192_000

_STOPBAND_DB = 80.0
_PASSBAND = 0.9  # of the lower Nyquist frequency
_MIN_GROUP = 64  # outputs per matrix product
_MAX_PERIOD = 320  # outputs after which a ratio has to repeat for one kernel to suffice


class Resampler:
    """Rational resampler for a stream of samples (n, channels). Equal rates pass the samples through."""

    def __init__(self, rate_in: int, rate_out: int, channels: int) -> None:
        """Design the filter and begin a stream.

        Args:
            rate_in: Sample rate of what is pushed, in Hz.
            rate_out: Sample rate of what is returned, in Hz.
            channels: Channels of both.

        Raises:
            ValueError: A rate is outside MIN_RATE_HZ to MAX_RATE_HZ.
        """
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

    @property
    def latency_s(self) -> float:
        """Most time by which an output comes later than the input at the same instant."""
        return 0.0 if self._up == self._down else (self._window - self._half) / self.rate_in

    def reset(self) -> None:
        """Forget the past: the next sample pushed is the first of a new stream."""
        self._buffer = np.zeros((self._half, self.channels), np.float32)  # begins half a filter before self._first
        self._first = 0  # input index at which the next group starts
        self._received = 0  # inputs so far
        self._emitted = 0  # outputs so far

    def push(self, samples: FloatArray) -> FloatArray:
        """Take the next samples (n, channels); return the outputs (m, channels), m >= 0, that they complete."""
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
        """End the stream as if silence followed, and reset.

        Returns:
            The remaining outputs (m, channels). The whole stream of n inputs has ceil(n * rate_out / rate_in) outputs.
        """
        wanted = -(-self._received * self._up // self._down) - self._emitted
        groups = math.ceil(wanted / self._group)
        silence = math.ceil(groups * self._group * self._down / self._up) + self._window
        tail = self.push(np.zeros((silence, self.channels), np.float32))[:wanted]
        self.reset()
        return tail


class BlockResampler:
    """Resampler for blocks: their `start` and `lost` are converted too, and a gap ends the filter's memory.

    The end of a gap is rounded to a whole output sample from its absolute place, so rounding errors never add up.
    """

    def __init__(self, resampler: Resampler) -> None:
        """Begin a stream of blocks with a resampler that is at the beginning of a stream."""
        self._resampler = resampler
        self._start = self._lost = 0  # of the next block that is yielded

    def push(self, block: AudioBlock) -> Iterator[AudioBlock]:
        """Resample one block.

        Args:
            block: The next block at `rate_in`. One without samples reports a loss after which the source has stopped.

        Yields:
            The blocks at `rate_out` that it completes: none, one, or two at a gap.
        """
        rate_in, rate_out = self._resampler.rate_in, self._resampler.rate_out
        if rate_in == rate_out:
            if block.lost and block.start > self._start:  # after a change of the rate, the loss is counted in its units
                block = AudioBlock(block.samples, block.start, block.start - self._start)
            if block.lost or len(block.samples):
                self._start = block.start + len(block.samples)
            yield block
            return
        if block.lost:
            tail = self._resampler.finish()
            if len(tail):
                yield self._next(tail)
            resumed = max(self._start, -(-block.start * rate_out // rate_in))
            self._lost += resumed - self._start
            self._start = resumed
        samples = self._resampler.push(block.samples)
        if len(samples) or not len(block.samples):  # one without samples is passed on at once, with its loss
            yield self._next(samples)

    def at_rate(self, rate_in: int) -> BlockResampler:
        """Continue the stream after a gap, in which the source has changed its rate.

        Args:
            rate_in: Rate of the blocks from now on; their `start` is counted at this rate.

        Returns:
            A resampler that takes the place of this one.

        Raises:
            ValueError: The rate is outside MIN_RATE_HZ to MAX_RATE_HZ.
        """
        other = BlockResampler(Resampler(rate_in, self._resampler.rate_out, self._resampler.channels))
        other._start, other._lost = self._start, self._lost
        return other

    @property
    def rate_in(self) -> int:
        """Rate of the blocks that are pushed, in Hz."""
        return self._resampler.rate_in

    def finish(self) -> Iterator[AudioBlock]:
        """End the stream as if silence followed, and begin another one at sample 0.

        Yields:
            A block of the remaining samples, if there are any or if a loss was not passed on yet.
        """
        tail = self._resampler.finish()
        if len(tail) or self._lost:
            yield self._next(tail)
        self._start = 0

    def reset(self) -> None:
        """Forget the past: the next block pushed is the first of a new stream."""
        self._resampler.reset()
        self._start = self._lost = 0

    def _next(self, samples: FloatArray) -> AudioBlock:
        block = AudioBlock(samples, self._start, self._lost)
        self._start, self._lost = self._start + len(samples), 0
        return block


def _half_width(up: int, down: int) -> int:
    """Half the length of the filter in input samples, by Kaiser's formula."""
    transition = (1 - _PASSBAND) * np.pi * min(1.0, up / down)  # radians per input sample
    return math.ceil((_STOPBAND_DB - 7.95) / (2.285 * transition) / 2)


@lru_cache(maxsize=512)
def _kernel(up: int, down: int, outputs: int, phase: int) -> FloatArray:
    """Matrix (outputs, window) from inputs to outputs; the first output lies phase/up samples after input `half`."""
    half = _half_width(up, down)
    window = (up - 1 + (outputs - 1) * down) // up + 2 * half + 1
    instants = (phase + np.arange(outputs) * down) / up
    distance = np.arange(window) - half - instants[:, None]  # (outputs, window), input samples
    cutoff = (1 + _PASSBAND) / 2 * min(1.0, up / down)
    beta = 0.1102 * (_STOPBAND_DB - 8.7)
    taper = np.i0(beta * np.sqrt(np.clip(1 - (distance / half) ** 2, 0, None))) * (np.abs(distance) <= half)
    taps = np.sinc(cutoff * distance) * taper
    return (taps / taps.sum(axis=1, keepdims=True)).astype(np.float32)
