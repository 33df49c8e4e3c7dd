"""Source -> array -> STFT -> system -> decoder -> sinks: one loop for file, pipe, microphone and evaluation."""

from __future__ import annotations

import logging
import signal
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict
from types import FrameType, TracebackType
from typing import Any

from edge.arrays.profile import ArrayProfile, Encoder, foa_encoder, load_array
from edge.events.decoder import Decoder, DecodeSettings
from edge.frontend.stft import Stft
from edge.nets.bundle import Bundle
from edge.nets.net import Net
from edge.outputs.sinks import Sink
from edge.runtime.governor import BudgetSettings, Governor
from edge.settings import build
from edge.stage_clock import StageClock
from edge.systems import System, find_builder
from edge.types import AudioBlock, Event, FrameRow, Spectra, TrackFrames

log = logging.getLogger(__name__)


class Pipeline:
    """Everything between source and sinks, behind `push` and `finish`.

    What is to be done with an item is done before the next one is taken: its time is that of the sinks.
    """

    def __init__(
        self,
        encode: Encoder,
        stft: Stft,
        system: System,
        decoder: Decoder,
        label_samples: int = 2400,
    ) -> None:
        self._encode = encode
        self._stft = stft
        self._system = system
        self._decoder = decoder
        self._label_samples = label_samples
        self.clock = system.clock
        self.governor: Governor | None = None  # is told of every step
        self.answers = 0  # that the system gave
        self.lost_samples = 0

    @property
    def latency_s(self) -> float:
        """Most time from a sound to the system's answer about it, computing time aside."""
        return self._encode.latency_s + self._system.latency_s

    def push(self, block: AudioBlock) -> Iterator[Event | FrameRow]:
        """Take samples of the array's channels; yield what they decide.

        A block that only tells of a loss ends what was heard before it: all of that is answered now.
        """
        if block.lost:
            self.lost_samples += block.lost
            log.warning("%d samples lost before sample %d", block.lost, block.start)
            if not len(block.samples):  # the source has stopped, nobody knows for how long
                yield from self.finish()
        self.clock.begin()
        for piece in self._pieces(block):
            encoded = self._encode(piece)
            self.clock.lap("array")
            yield from self._steps(self._stft.push(encoded))

    def finish(self) -> Iterator[Event | FrameRow]:
        """End of stream: answer about everything heard, close open events."""
        self.clock.begin()
        for block in self._encode.finish():
            self.clock.lap("array")
            yield from self._steps(self._stft.push(block))
        yield from self._steps(self._stft.finish())
        for tracks in self._system.finish():
            yield from self._answered(tracks)
        yield from self._handed_over(self._decoder.finish())

    def reset(self) -> None:
        """Forget the past: the next block is expected at sample 0."""
        self._encode.reset()
        self._stft.reset()
        self._system.reset()
        self._decoder.reset()
        self.clock.drop()

    def change(self, decode: DecodeSettings, budget: BudgetSettings) -> None:
        """Go on by other settings, between two blocks."""
        self._decoder.change(decode)
        self.clock.change(budget.step_ms)
        if self.governor is not None:
            self.governor.change(budget)

    def _pieces(self, block: AudioBlock) -> Iterator[AudioBlock]:
        """A block cut so that every step is given the work for its own samples."""
        lost = block.lost
        for at in range(0, max(1, len(block.samples)), self._label_samples):
            yield AudioBlock(block.samples[at : at + self._label_samples], block.start + at, lost)
            lost = 0

    def _steps(self, groups: Iterator[Spectra]) -> Iterator[Event | FrameRow]:
        for spectra in groups:
            self.clock.lap("stft")
            answers = self.answers
            for tracks in self._system.step(spectra):
                self.clock.lap("system")  # what is left of its own laps, if it takes any
                yield from self._answered(tracks)
            self.clock.lap("system")
            spent_ms = self.clock.end(self.answers > answers)
            if self.governor is not None:
                self.governor.step(spent_ms)
        self.clock.lap("stft")

    def _answered(self, tracks: TrackFrames) -> Iterator[Event | FrameRow]:
        self.answers += 1
        return self._handed_over(self._decoder.push(tracks))

    def _handed_over(self, items: Iterator[Event | FrameRow]) -> Iterator[Event | FrameRow]:
        for item in items:
            self.clock.lap("decode")
            yield item
            self.clock.lap("sinks")
        self.clock.lap("decode")


def build_system(
    bundle: Bundle,
    threads: int = 1,
    overrides: Mapping[str, Any] | None = None,
    nets: Mapping[str, Net] | None = None,
    clock: StageClock | None = None,
    array: ArrayProfile | None = None,
) -> System:
    """Build the system of a bundle.

    Args:
        bundle: Manifest, statistics and nets.
        threads: Of the bundle's own nets.
        overrides: Settings of the system that replace those of the bundle.
        nets: Nets by name that replace those of the bundle: the same nets in Keras, say.
        clock: Measures the stages of the system, and of the pipeline that it becomes part of.
        array: The array that is listened to; one that delivers FOA if not given.

    Raises:
        ValueError: No system has the name that the bundle states, or the bundle does not fit it.
    """
    manifest = bundle.manifest
    return find_builder(manifest)(
        bundle,
        bundle.nets(threads) if nets is None else nets,
        overrides or {},
        array or load_array("foa"),
        clock or StageClock(),
    )


def decode_settings(bundle: Bundle, overrides: Mapping[str, Any]) -> DecodeSettings:
    """Those of a bundle with some replaced. Raises ValueError."""
    return build(DecodeSettings, asdict(bundle.manifest.decode) | dict(overrides), "decode")


def build_pipeline(
    bundle: Bundle,
    array: ArrayProfile,
    system: System,
    overrides: Mapping[str, Any] | None = None,
) -> Pipeline:
    """Assemble the loop of a bundle around its system, with the clock that the system was built with.

    Args:
        bundle: Says how sounds become features and how tracks are decoded.
        array: The array that is listened to.
        system: Built by `build_system` for that array.
        overrides: Settings of the decoder that replace those of the bundle.

    Raises:
        ValueError: A setting is unknown or out of range, or the system was built for another array.
    """
    manifest = bundle.manifest
    if system.array is not None and system.array != array:
        raise ValueError(f"{manifest.name}: got a system for array {system.array.name}, wanted one for {array.name}")
    decode = decode_settings(bundle, overrides or {})
    return Pipeline(
        foa_encoder(array, manifest.stft.sample_rate_hz, manifest.features.microphones),
        Stft(manifest.stft, manifest.features.channels),
        system,
        Decoder(decode, manifest.class_names, manifest.stft.label_s, array.planar),
        manifest.stft.label_samples,
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
