"""Audio blocks -> array -> STFT -> system -> decoder -> sinks: one loop for file, pipe, microphone and evaluation."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Protocol

from edge.arrays.encoder import Encoder, foa_encoder
from edge.arrays.profile import ArrayProfile, load_array
from edge.events.decoder import Decoder, DecodeSettings
from edge.events.per_class import ClassSettings
from edge.events.sink import Sink
from edge.events.surroundings import Surroundings
from edge.events.unknown import UnknownSettings, UnknownSounds
from edge.frontend.loudness import Loudness
from edge.frontend.stft import Stft
from edge.nets.bundle import Bundle
from edge.nets.net import Net
from edge.runtime.budget import BudgetSettings
from edge.runtime.governor import Governor
from edge.runtime.sound_level import SoundLevel, SoundLevelSettings
from edge.settings import build
from edge.stage_clock import StageClock
from edge.systems import System, find_builder
from edge.types import AudioBlock, Item, Spectra, TrackFrames

log = logging.getLogger(__name__)


class Observer(Protocol):
    """Watches the loop from inside. Its time is that of the stage `observer`."""

    def answered(self, tracks: TrackFrames) -> None:
        """Take an answer of the system, before it is decoded."""

    def stepped(self, spectra: Spectra, spent_ms: float) -> None:
        """Take the spectra of a step that has ended, and the time that it took."""


class Pipeline:
    """Everything between source and sinks, behind `push` and `finish`.

    Both yield lazily: what the caller does with an item before it takes the next one is timed as the stage `sinks`.

    Attributes:
        clock: measures the stages of each step; it is the system's own clock.
        governor: is told the time of each step; None where nothing is to be watched.
        observer: watches; None by default.
        sound_level: the level of what is heard; None where it is not measured.
        answers: number of answers that the system gave.
        lost_samples: number of samples that the source reported as lost.
    """

    def __init__(
        self,
        encode: Encoder,
        stft: Stft,
        system: System,
        decoder: Decoder,
        label_samples: int = 2400,
        governor: Governor | None = None,
        loudness: Loudness | None = None,
        sound_level: SoundLevel | None = None,
        unknown: UnknownSounds | None = None,
    ) -> None:
        """Assemble the stages.

        Args:
            encode: turns the channels of the array into FOA, and into microphone signals where the features need them.
            stft: has as many channels as `encode` gives.
            system: finds the sources. Its clock becomes that of the pipeline.
            decoder: turns the tracks of the system into events.
            label_samples: number of samples of a label frame, at the rate of the model.
            governor: watches the time of the steps and sets the level of the system.
            loudness: measures label frames for the two that follow.
            sound_level: is told the power of each label frame.
            unknown: finds sounds without a class.
        """
        self._encode = encode
        self._stft = stft
        self._system = system
        self._decoder = decoder
        self._label_samples = label_samples
        self.clock = system.clock
        self.governor = governor
        self._loudness, self.sound_level, self._unknown = loudness, sound_level, unknown
        self.observer: Observer | None = None
        self.answers = 0
        self.lost_samples = 0

    @property
    def latency_s(self) -> float:
        """Longest time from a sound to the system's answer about it, without the time to compute it."""
        return self._encode.latency_s + self._system.latency_s

    def push(self, block: AudioBlock) -> Iterator[Item]:
        """Take a block of the array's channels; yield what it tells of events, and the label frames that it completes.

        An empty block with `lost` says that the source has stopped: everything heard before it is answered at once.
        One without `lost` says nothing and does nothing.

        Args:
            block: samples (n, channels) at the rate of the model, in the order of the device's channels.

        Yields:
            Events that begin, move and have ended, and rows of decoded label frames, in the order of time.
        """
        if not block.lost and not len(block.samples):  # the source waits for its device
            return
        if block.lost:
            self.lost_samples += block.lost
            log.warning("%d samples lost before sample %d", block.lost, block.start)
            if not len(block.samples):  # the source has stopped, and may stay so
                yield from self.finish()
        self.clock.begin()
        for piece in self._pieces(block):
            encoded = self._encode(piece)
            self.clock.lap("array")
            yield from self._steps(self._stft.push(encoded))

    def finish(self) -> Iterator[Item]:
        """End of stream: answer about everything heard and close open events."""
        self.clock.begin()
        for block in self._encode.finish():
            self.clock.lap("array")
            yield from self._steps(self._stft.push(block))
        yield from self._steps(self._stft.finish())
        for tracks in self._system.finish():
            yield from self._decoded(tracks)
        items = self._decoder.finish()
        yield from self._timed(items if self._unknown is None else self._unknown.finish(items))

    def reset(self) -> None:
        """Forget the past: the next block is expected at sample 0."""
        self._encode.reset()
        self._stft.reset()
        self._system.reset()
        self._decoder.reset()
        if self.sound_level is not None:
            self.sound_level.reset()
        if self._unknown is not None:
            self._unknown.reset()
        self.clock.drop()

    def change(self, decode: DecodeSettings, budget: BudgetSettings) -> None:
        """Continue with other settings. Call it between two blocks."""
        self._decoder.change(decode)
        if self._unknown is not None:
            self._unknown.least_probability = decode.off
        self.clock.change(budget.step_ms)
        if self.governor is not None:
            self.governor.change(budget)

    def _pieces(self, block: AudioBlock) -> Iterator[AudioBlock]:
        """Cut a block into pieces of a label frame, so that each step is charged for its own samples only."""
        lost = block.lost
        for at in range(0, max(1, len(block.samples)), self._label_samples):
            yield AudioBlock(block.samples[at : at + self._label_samples], block.start + at, lost)
            lost = 0

    def _steps(self, groups: Iterator[Spectra]) -> Iterator[Item]:
        for spectra in groups:
            self.clock.lap("stft")
            if self._loudness is not None:
                self._measure(self._loudness, spectra)
            answers = self.answers
            for tracks in self._system.step(spectra):
                self.clock.lap("system")  # the rest, if the system takes laps of its own
                yield from self._decoded(tracks)
            self.clock.lap("system")
            spent_ms = self.clock.end(self.answers > answers)
            if self.governor is not None:
                self.governor.step(spent_ms)
            if self.observer is not None:
                self.clock.begin()
                self.observer.stepped(spectra, spent_ms)
                self.clock.lap("observer")
        self.clock.lap("stft")

    def _measure(self, loudness: Loudness, spectra: Spectra) -> None:
        label, heard = spectra.start // len(spectra.bins), loudness(spectra.bins)
        if self.sound_level is not None:
            self.sound_level.add(label, heard.power)
        if self._unknown is not None:
            self._unknown.hear(label, heard)
        self.clock.lap("loudness")

    def _decoded(self, tracks: TrackFrames) -> Iterator[Item]:
        self.answers += 1
        if self.observer is not None:
            self.observer.answered(tracks)
            self.clock.lap("observer")
        items = self._decoder.push(tracks)
        return self._timed(items if self._unknown is None else self._unknown.join(tracks, items))

    def _timed(self, items: Iterator[Item]) -> Iterator[Item]:
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
    """Return the decoder settings of a bundle, some of them replaced.

    Raises:
        ValueError: a setting is unknown or out of its range.
    """
    return build(DecodeSettings, asdict(bundle.manifest.decode) | dict(overrides), "decode")


def build_encoder(bundle: Bundle, array: ArrayProfile) -> Encoder:
    """Build the first stage of a pipeline: the channels of an array -> what the features of a bundle need.

    The design of its filters takes seconds on a small board.
    """
    return foa_encoder(array, bundle.manifest.stft.sample_rate_hz, bundle.manifest.features.microphones)


def build_decoder(
    bundle: Bundle,
    array: ArrayProfile,
    settings: DecodeSettings,
    surroundings: Surroundings | None = None,
    classes: Sequence[ClassSettings] = (),
) -> Decoder:
    """Build the decoder of a bundle. For a flat array, events have no elevation and rows have elevation 0."""
    manifest = bundle.manifest
    return Decoder(settings, manifest.class_names, manifest.stft.label_s, array.planar, surroundings, classes)


def build_pipeline(
    bundle: Bundle,
    array: ArrayProfile,
    system: System,
    overrides: Mapping[str, Any] | None = None,
    *,
    governor: Governor | None = None,
    encode: Encoder | None = None,
    surroundings: Surroundings | None = None,
    classes: Sequence[ClassSettings] = (),
    level: SoundLevelSettings | None = None,
    unknown: UnknownSettings | None = None,
) -> Pipeline:
    """Assemble the loop of a bundle around its system.

    Args:
        bundle: what is run.
        array: the microphone array that is heard.
        system: that of the bundle, see `build_system`, or one that stands for it.
        overrides: decoder settings that replace those of the bundle.
        governor: watches the time of the steps.
        encode: from `build_encoder`, where that was to be done earlier.
        surroundings: how the array hangs, and the sectors of the room.
        classes: what is asked of some classes.
        level: how the sound level is measured; not at all without it.
        unknown: which sounds without a class are events; none without it.

    Raises:
        ValueError: a decoder setting is unknown or out of its range, or sounds without a class are wanted of a model
            that has a class of their name.
    """
    manifest = bundle.manifest
    if system.array is not None and system.array != array:
        raise ValueError(f"{manifest.name}: got a system for array {system.array.name}, wanted one for {array.name}")
    decode = decode_settings(bundle, overrides or {})
    label_s, level = manifest.stft.label_s, level or SoundLevelSettings(every_s=0.0)
    sound_level = SoundLevel(level, label_s) if level.every_s else None
    unknown_sounds = None
    if unknown is not None and unknown.enabled:
        unknown_sounds = UnknownSounds(
            unknown, manifest.class_names, label_s, decode.off, array.planar, surroundings, level.offset_db
        )
    loudness = None
    if sound_level is not None or unknown_sounds is not None:
        loudness = Loudness(manifest.stft, directions=unknown_sounds is not None)
    return Pipeline(
        encode or build_encoder(bundle, array),
        Stft(manifest.stft, manifest.features.channels),
        system,
        build_decoder(bundle, array, decode, surroundings, classes),
        manifest.stft.label_samples,
        governor,
        loudness,
        sound_level,
        unknown_sounds,
    )


def run(blocks: Iterable[AudioBlock], pipeline: Pipeline, sinks: Sequence[Sink]) -> None:
    """Run the loop until the blocks end, then close open events.

    Args:
        blocks: of any source: a file, a pipe, a microphone, or a caller's own samples.
        pipeline: what decides.
        sinks: each is given every item, in this order.

    Raises:
        OSError: a sink could not deliver, or the source failed.
        ValueError: the source gave bad samples.
    """
    for block in blocks:
        for item in pipeline.push(block):
            for sink in sinks:
                sink.emit(item)
    for item in pipeline.finish():
        for sink in sinks:
            sink.emit(item)
