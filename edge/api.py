"""Blocks of samples from your own program -> sound events: the loop of the device as an object.

`docs/api.md` shows its use. Everything between the samples and the events is what `seld-edge run` and `seld-edge file`
use, so the same samples give the same events, however they are cut into blocks.
"""

from __future__ import annotations

import logging
import operator
from collections.abc import Iterator, Mapping
from typing import Any, Literal, overload

import numpy as np
from numpy.typing import NDArray

from edge.arrays.profile import ArrayProfile, load_array
from edge.audio.resample import BlockResampler, Resampler
from edge.audio.samples import check_finite
from edge.nets.bundle import load_bundle
from edge.runtime.pipeline import Pipeline, build_pipeline, build_system, decode_settings
from edge.types import AudioBlock, Event, EventUpdate, FloatArray, FrameRow, Item

__all__ = ["Event", "EventUpdate", "FrameRow", "Model", "open_model"]

Samples = NDArray[np.floating[Any]]
"""Samples (n, channels) with full scale 1, float32 or convertible to it."""

_MOST_PEAK = 1000.0  # 60 dB over full scale: such samples have another scale
_FULL_SCALE = {"int16": 2**15, "int32": 2**31}

log = logging.getLogger(__name__)


def open_model(
    name: str = "coloc-edge",
    *,
    array: str | ArrayProfile = "foa",
    sample_rate_hz: int,
    threads: int = 1,
    system: Mapping[str, Any] | None = None,
    decode: Mapping[str, Any] | None = None,
) -> Model:
    """Open a model at the beginning of a stream.

    Args:
        name: Name of a shipped model (`seld-edge models` lists them) or the path of a bundle's folder.
        array: Microphone array that delivers the samples: name of a shipped profile, path of a TOML file, or a profile.
        sample_rate_hz: Sample rate of the blocks that will be pushed, 4000 to 192000. Rates other than the model's are
            resampled.
        threads: Threads of the TFLite interpreter.
        system: Settings of the system that replace the model's, as the table `[system]` of the settings file.
        decode: Settings of the decoder that replace the model's, as the table `[decode]` of the settings file.

    Returns:
        The model.

    Raises:
        ValueError: There is no such model or array, a setting is unknown or out of range, or the rate is. One line.
    """
    bundle = load_bundle(name)
    profile = load_array(array) if isinstance(array, str) else array
    rate_hz = _whole_number("sample_rate_hz", sample_rate_hz)
    if not 1 <= _whole_number("threads", threads) <= 64:
        raise ValueError(f"got threads {threads}, wanted 1 to 64")
    resampler = Resampler(rate_hz, bundle.manifest.stft.sample_rate_hz, profile.channels)
    pipeline = build_pipeline(bundle, profile, build_system(bundle, threads, system), decode)
    if not profile.heard_as(bundle.manifest.arrays):
        trained = ", ".join(bundle.manifest.arrays)
        log.warning("%s was trained for %s and will find less with array %s", name, trained, profile.name)
    return Model(
        bundle.manifest.name,
        tuple(bundle.manifest.class_names),
        profile,
        pipeline,
        resampler,
        decode_settings(bundle, decode or {}).delay_labels * bundle.manifest.stft.label_s,
    )


class Model:
    """An open model and the stream of samples that is pushed through it. `open_model` makes one.

    Not safe for use by several threads at the same time. Leaving a `with` closes it.

    Attributes:
        name: Name of the model.
        class_names: Names of the classes, in the order of `FrameRow.class_index`.
        array: Profile of the microphone array.
        sample_rate_hz: Sample rate of the blocks to push.
        channels: Channels of the blocks to push.
        latency_s: Most time of the stream, computing time aside, from the beginning of a label frame of 100 ms to its
            rows (`FrameRow`), and from the end of an event to the `Event`.
    """

    def __init__(
        self,
        name: str,
        class_names: tuple[str, ...],
        array: ArrayProfile,
        pipeline: Pipeline,
        resampler: Resampler,
        decoder_delay_s: float,
    ) -> None:
        """Combine the parts of a model; use `open_model` instead.

        Args:
            name: Name of the model.
            class_names: Names of the classes.
            array: Microphone array whose channels are pushed.
            pipeline: Loop at the model's own sample rate.
            resampler: From the rate of the blocks to that of the pipeline.
            decoder_delay_s: Time by which the decoder decides later than the system answers.
        """
        self.name, self.class_names, self.array = name, class_names, array
        self.sample_rate_hz, self.channels = resampler.rate_in, array.channels
        self.latency_s = resampler.latency_s + pipeline.latency_s + decoder_delay_s
        self._pipeline: Pipeline | None = pipeline
        self._blocks = BlockResampler(resampler)
        self._next_sample = 0

    def __enter__(self) -> Model:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @overload
    def push(
        self, block: Samples, *, lost_samples: int = 0, rows: Literal[False] = False, updates: Literal[False] = False
    ) -> list[Event]: ...

    @overload
    def push(
        self, block: Samples, *, lost_samples: int = 0, rows: Literal[True], updates: Literal[False] = False
    ) -> list[Event | FrameRow]: ...

    @overload
    def push(
        self, block: Samples, *, lost_samples: int = 0, rows: Literal[False] = False, updates: Literal[True]
    ) -> list[Event | EventUpdate]: ...

    @overload
    def push(
        self, block: Samples, *, lost_samples: int = 0, rows: Literal[True], updates: Literal[True]
    ) -> list[Item]: ...

    def push(self, block: Samples, *, lost_samples: int = 0, rows: bool = False, updates: bool = False) -> list[Any]:
        """Take the next samples of the stream.

        Args:
            block: Samples (n, channels), n >= 1 of any length, float32 with full scale 1. float64 is converted; the
                array need not be contiguous and is not kept.
            lost_samples: Samples that the recorder lost between the block before and this one.
            rows: Whether the rows of decoded label frames are returned too.
            updates: Whether it is also told that events begin, move, or turn out to be too short.

        Returns:
            The events that ended and were decided with this block, in the order of decision; with `rows`, also the rows
            of the label frames that were decided; with `updates`, also what is known of events before they end. Often
            empty.

        Raises:
            ValueError: The block has another layout or type, or no samples, or samples that are NaN, infinite or of
                another scale; or the model is closed. One line. The stream is as it was before.
        """
        pipeline = self._opened()
        samples = self._checked(block)
        lost = _whole_number("lost_samples", lost_samples)
        if lost < 0:
            raise ValueError(f"got lost_samples {lost}, wanted 0 or more")
        start = self._next_sample + lost
        self._next_sample = start + len(samples)
        return _collected(self._through(pipeline, AudioBlock(samples, start, lost)), rows, updates)

    @overload
    def finish(self, *, rows: Literal[False] = False, updates: Literal[False] = False) -> list[Event]: ...

    @overload
    def finish(self, *, rows: Literal[True], updates: Literal[False] = False) -> list[Event | FrameRow]: ...

    @overload
    def finish(self, *, rows: Literal[False] = False, updates: Literal[True]) -> list[Event | EventUpdate]: ...

    @overload
    def finish(self, *, rows: Literal[True], updates: Literal[True]) -> list[Item]: ...

    def finish(self, *, rows: bool = False, updates: bool = False) -> list[Any]:
        """End the stream as if silence followed, and begin another one at 0 s.

        Args:
            rows: Whether the rows of decoded label frames are returned too.
            updates: Whether it is also told that events begin, move, or turn out to be too short.

        Returns:
            The events (and rows, and updates) that were not decided yet; events that still sound end here.

        Raises:
            ValueError: The model is closed.
        """
        pipeline = self._opened()
        items = _collected(self._rest(pipeline), rows, updates)
        self.reset()
        return items

    def reset(self) -> None:
        """Forget the past: the next block is the beginning of a new stream at 0 s.

        Raises:
            ValueError: The model is closed.
        """
        self._opened().reset()
        self._blocks.reset()
        self._next_sample = 0

    def close(self) -> None:
        """Release the nets; a second call does no harm. Events that were not decided are lost: see `finish`."""
        self._pipeline = None

    def _opened(self) -> Pipeline:
        if self._pipeline is None:
            raise ValueError(f"model {self.name!r}: closed, wanted an open one")
        return self._pipeline

    def _through(self, pipeline: Pipeline, block: AudioBlock) -> Iterator[Item]:
        for resampled in self._blocks.push(block):
            yield from pipeline.push(resampled)

    def _rest(self, pipeline: Pipeline) -> Iterator[Item]:
        for resampled in self._blocks.finish():
            yield from pipeline.push(resampled)
        yield from pipeline.finish()

    def _checked(self, block: NDArray[Any]) -> FloatArray:
        """The samples of a block as float32. Raises ValueError."""

        def refused(got: str, remedy: str = "") -> ValueError:
            wanted = f"wanted float32 of shape (samples, {self.channels}) with full scale 1"
            return ValueError(f"block: got {got}, {wanted}{remedy and f': {remedy}'}")

        if not isinstance(block, np.ndarray):
            raise refused(type(block).__name__, "numpy.asarray(block, numpy.float32)")
        if block.ndim != 2 or block.shape[1] != self.channels:
            transposed = block.ndim == 2 and block.shape[0] == self.channels
            raise refused(f"shape {block.shape}", "transpose it, block.T" if transposed else "")
        if not len(block):
            raise refused("no samples")
        if block.dtype.kind != "f":
            scale = _FULL_SCALE.get(block.dtype.name)
            raise refused(block.dtype.name, f"block.astype(numpy.float32) / {scale}" if scale else "")
        with np.errstate(over="ignore"):  # values too large for float32 become infinite
            samples: FloatArray = np.ascontiguousarray(block, np.float32)
        check_finite(samples, self._next_sample, "block")
        if (peak := float(np.abs(samples).max())) > _MOST_PEAK:
            raise refused(f"a peak of {peak:g}", "divide it by 32768 if it was int16")
        return samples


def _collected(items: Iterator[Item], rows: bool, updates: bool) -> list[Any]:
    wanted = (Event, *([FrameRow] if rows else []), *([EventUpdate] if updates else []))
    return [item for item in items if isinstance(item, wanted)]


def _whole_number(name: str, value: object) -> int:
    """An int from anything that is one, numpy's included. Raises ValueError."""
    try:
        return operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        if isinstance(value, float) and value.is_integer():  # 48000.0
            return int(value)
        raise ValueError(f"got {name} {value!r}, wanted a whole number") from None
