"""Source -> array -> STFT -> system -> decoder -> sinks: one loop for file, pipe, microphone and evaluation."""

from __future__ import annotations

import logging
import signal
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict
from types import FrameType, TracebackType
from typing import Any

from edge.array import ArrayProfile, Encoder, foa_encoder
from edge.bundle import Bundle
from edge.config import build
from edge.decode import Decoder, DecodeSettings
from edge.nets import Net
from edge.sinks import Sink
from edge.stft import Stft
from edge.systems import SYSTEMS, System
from edge.types import AudioBlock, Event, FrameRow, Spectra

log = logging.getLogger(__name__)
FOA_CHANNELS = 4
STEP_TIMES_KEPT = 10_000


class Pipeline:
    """Everything between source and sinks, behind `push` and `finish`."""

    def __init__(self, encode: Encoder, stft: Stft, system: System, decoder: Decoder) -> None:
        self._encode = encode
        self._stft = stft
        self._system = system
        self._decoder = decoder
        self.answer_times_s: deque[float] = deque(maxlen=STEP_TIMES_KEPT)  # of the steps that gave an answer
        self.lost_samples = 0

    @property
    def latency_s(self) -> float:
        """Most time from a sound to the system's answer about it, computing time aside."""
        return self._encode.latency_s + self._system.latency_s

    def push(self, block: AudioBlock) -> Iterator[Event | FrameRow]:
        """Take samples of the array's channels; yield what they decide."""
        if block.lost:
            self.lost_samples += block.lost
            log.warning("%d samples lost before sample %d", block.lost, block.start)
        for spectra in self._stft.push(self._encode(block)):
            yield from self._step(spectra)

    def finish(self) -> Iterator[Event | FrameRow]:
        """End of stream: answer about everything heard, close open events."""
        for block in self._encode.finish():
            for spectra in self._stft.push(block):
                yield from self._step(spectra)
        for spectra in self._stft.finish():
            yield from self._step(spectra)
        for tracks in self._system.finish():
            yield from self._decoder.push(tracks)
        yield from self._decoder.finish()

    def reset(self) -> None:
        """Forget the past: the next block is expected at sample 0."""
        self._encode.reset()
        self._stft.reset()
        self._system.reset()
        self._decoder.reset()

    def _step(self, spectra: Spectra) -> Iterator[Event | FrameRow]:
        began = time.perf_counter()
        for tracks in self._system.step(spectra):
            self.answer_times_s.append(time.perf_counter() - began)
            yield from self._decoder.push(tracks)
            began = time.perf_counter()


def build_system(
    bundle: Bundle,
    threads: int = 1,
    overrides: Mapping[str, Any] | None = None,
    nets: Mapping[str, Net] | None = None,
) -> System:
    """The system of a bundle. `overrides` replace its settings, `nets` its nets (by Keras' own, say)."""
    manifest = bundle.manifest
    if manifest.system not in SYSTEMS:
        raise ValueError(f"{manifest.name}: got system {manifest.system!r}, wanted one of {', '.join(SYSTEMS)}")
    return SYSTEMS[manifest.system](bundle, bundle.nets(threads) if nets is None else nets, overrides or {})


def build_pipeline(
    bundle: Bundle, array: ArrayProfile, system: System, overrides: Mapping[str, Any] | None = None
) -> Pipeline:
    """Assemble the loop of a bundle around its system. `overrides` replace its decoder settings."""
    manifest = bundle.manifest
    table = asdict(manifest.decode) | dict(overrides or {})
    return Pipeline(
        foa_encoder(array, manifest.stft.sample_rate_hz),
        Stft(manifest.stft, FOA_CHANNELS),
        system,
        Decoder(build(DecodeSettings, table, "decode"), manifest.class_names, manifest.stft.label_s),
    )


def run(blocks: Iterable[AudioBlock], pipeline: Pipeline, sinks: Sequence[Sink]) -> None:
    """The loop: from blocks to sinks until the blocks end; open events are closed then."""
    for block in blocks:
        for item in pipeline.push(block):
            for sink in sinks:
                sink.emit(item)
    for item in pipeline.finish():
        for sink in sinks:
            sink.emit(item)


class _StopError(Exception):
    """Raised inside a blocked read by a signal."""


class Interruption(AbstractContextManager["Interruption"]):
    """SIGINT and SIGTERM end the stream of blocks, not the program: what was heard is still answered and written.

    A signal breaks into the wait for the next block, and nowhere else: a step under way is finished.
    """

    def __init__(self) -> None:
        self._requested = self._waiting = False
        self._restore = ExitStack()

    def __enter__(self) -> Interruption:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._restore.callback(signal.signal, number, signal.signal(number, self._handle))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore.close()

    def until_stopped(self, blocks: Iterable[AudioBlock]) -> Iterator[AudioBlock]:
        """The same blocks, ending early after a signal."""
        iterator = iter(blocks)
        while not self._requested:
            try:
                self._waiting = True
                block = next(iterator)
            except (StopIteration, _StopError):
                return
            finally:
                self._waiting = False
            yield block

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._requested = True
        log.info("stopping on %s", signal.Signals(number).name)
        if self._waiting:
            self._waiting = False
            raise _StopError
