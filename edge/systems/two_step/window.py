"""Two-step window by window: spectra -> active classes and their directions (Yu 2025).

Three nets look at windows of 5 s. The DOA net names directions of K tracks; delay-and-sum beams listen there; the SED
net hears which classes sound; the fusion net is given all that and answers with multi-ACCDOA, which is decoded. Each of
the four is done one label frame after the one before it: with hops of four label frames or more no step is longer than
the longest of them. Where the DOA net is sure of no track in the part of the window that is to be answered, the others
are not asked.

The fusion net knows best what sounds; where it sounds from, the DOA net does. A direction of the one turns toward the
nearest track of the other, if that is sure and not far (`steered`). The paper does not do so; `steer_deg` 0 leaves it
out.

The middle `hop_labels` of each window are the answer (section 3.1 has 5 s windows side by side, which on a device would
be at least 5 s late).
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edge.frontend.maps import MICROPHONES
from edge.nets.net import Net
from edge.systems.label_stepper import LabelStepper
from edge.systems.two_step.accdoa import ACCDOA_TRACKS, AXES, decode_accdoa, steered
from edge.systems.two_step.beams import BeamMaps
from edge.systems.two_step.settings import TwoStepSettings
from edge.systems.windower import StepSchedule, Window, Windower, doubled_hops
from edge.types import ComplexArray, FloatArray, Spectra, TrackFrames

DOA_MAPS, SED_MAPS = slice(0, 7), slice(7, 9)  # of the features; the fusion net is given what the DOA net is given
NETS = ("doa", "sed", "fusion")
FUSED = ("beams", "doa", "sed")
"""What a fusion net may take besides the features."""

_STEPS = 4  # of the work on a window: DOA, beams, SED, fusion


@dataclass(frozen=True, slots=True)
class _Label:
    """One label frame."""

    maps: FloatArray  # (frames, bands, maps)
    microphones: ComplexArray  # (frames, 4, bins)


class TwoStep:
    """The sequential loop over the three nets and the beams, one window at a time."""

    def __init__(
        self,
        nets: Mapping[str, Net],
        stepper: LabelStepper,
        classes: int,
        settings: TwoStepSettings,
        beam_maps: BeamMaps,
        fused: Sequence[str] = FUSED,
    ) -> None:
        """Begin a stream with label frame 0.

        Args:
            nets: At least those named by `NETS`.
            stepper: Computes the maps, without look-ahead.
            classes: How many classes the fusion net knows.
            settings: Of the system.
            beam_maps: Makes the beams, from the microphones of the array that is listened to.
            fused: What the fusion net takes besides the features, of `FUSED`.
        """
        self.settings, self.array, self.clock = settings, beam_maps.array, stepper.clock
        self._hops = doubled_hops(settings.hop_labels, settings.window_labels)
        self.levels = tuple(f"windows every {hop * stepper.label_s:.1f} s" for hop in self._hops)
        self._nets = {name: nets[name] for name in NETS}
        self._classes, self._beam_maps, self._fused = classes, beam_maps, fused
        self._stepper = stepper
        silence = _Label(stepper.silent_maps, stepper.silent_spectra.bins[:, -MICROPHONES:])
        self._windower = Windower(silence, settings.window_labels, settings.hop_labels)
        self._schedule: StepSchedule[TrackFrames] = StepSchedule()
        self._restart(0)

    @property
    def latency_s(self) -> float:
        """Longest time from a sound to the answer about it at the present level, without computing time."""
        return (self._windower.delay_labels + _STEPS - 1) * self._stepper.label_s

    def set_level(self, index: int) -> None:
        """Go on at the quality `levels[index]`. Longer hops leave less context beside the answers."""
        self._windower.set_hop(self._hops[index])

    def step(self, spectra: Spectra) -> Iterator[TrackFrames]:
        """Take one label frame; yield the answers that are decided now. See `edge.systems.System`."""
        label = self._stepper.label_of(spectra)
        if label != self._stepper.next_label:
            yield from self.finish()
            self._restart(label)
        for maps in self._stepper.push(spectra):
            yield from self._advance(self._windower.push(_Label(maps, spectra.bins[:, -MICROPHONES:])))

    def finish(self) -> Iterator[TrackFrames]:
        """End the stream: yield the answers about the rest of it, as if silence followed."""
        for window in self._windower.finish():
            yield from self._advance([window])
        yield from self._schedule.finish()
        self._restart(self._stepper.next_label)

    def reset(self) -> None:
        """Forget the past: label frame 0 comes next."""
        self._restart(0)

    def _restart(self, label: int) -> None:
        self._stepper.restart(label)
        self._windower.restart(label)
        self._schedule.clear()

    def _advance(self, windows: Iterable[Window[_Label]]) -> Iterator[TrackFrames]:
        """Begin new windows, and do the next step of each window under way."""
        for window in windows:
            self._schedule.begin(self._answer(window))
        yield from self._schedule.advance()

    def _answer(self, window: Window[_Label]) -> Generator[None, None, TrackFrames]:
        """Answer about a window in four steps: DOA, beams, SED, fusion. The answer is the generator's return value."""
        settings, labels, part = self.settings, len(window.labels), window.part
        maps = np.concatenate([label.maps for label in window.labels])
        features = maps[..., DOA_MAPS]
        doa = self._nets["doa"](features=features)
        vectors = doa["output"].reshape(labels, -1, AXES)
        self.clock.lap("doa")
        yield
        if not np.any(np.linalg.norm(vectors[part], axis=-1) > settings.sure):
            yield
            yield
            accdoa = np.zeros((part.stop - part.start, ACCDOA_TRACKS, AXES, self._classes), np.float32)
            return self._tracks(accdoa, vectors[part], window.start)
        told = {"doa": doa["hidden"]}
        if "beams" in self._fused:
            pairs = zip(window.labels, vectors, strict=True)
            told["beams"] = np.concatenate([self._beam_maps(label.microphones, toward) for label, toward in pairs])
        self.clock.lap("beams")
        yield
        if "sed" in self._fused:
            told["sed"] = self._nets["sed"](features=maps[..., SED_MAPS])["hidden"]
        self.clock.lap("sed")
        yield
        output = self._nets["fusion"](None, features=features, **{name: told[name] for name in self._fused})["output"]
        self.clock.lap("fusion")
        accdoa = output.reshape(labels, ACCDOA_TRACKS, AXES, self._classes)
        return self._tracks(accdoa[part], vectors[part], window.start)

    def _tracks(self, accdoa: FloatArray, vectors: FloatArray, start: int) -> TrackFrames:
        """Multi-ACCDOA (labels, 3, 3, classes) and vectors of the DOA net (labels, K, 3) -> tracks in slots."""
        settings = self.settings
        activity, direction = decode_accdoa(accdoa, settings.max_overlap, settings.threshold, settings.unify_deg)
        if settings.steer_deg > 0.0:
            direction = steered(direction, vectors, settings.sure, settings.steer_deg, settings.steer_share)
        self.clock.lap("accdoa")
        return TrackFrames(activity, direction, start)
