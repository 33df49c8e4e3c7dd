"""ETRI window by window: spectra -> active classes and their directions (Park et al., DCASE 2020 Task 3, section 3.3).

Three nets look at windows of features: SAD says when anything sounds, SED which classes do, DOAE where each of them is.
A net is asked only if the one before it found something, and one label frame after it: no step is longer than the
longest net. A window without activity costs one net.

The paper leaves open what happens where windows overlap. Here the middle of each window is the answer (`Windower`): the
gate, the classes and the directions of a label frame come from the same window, no two directions have to be averaged,
and no label frame waits for a second window.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence

import numpy as np

from edge.geometry import unit_vector
from edge.nets.net import Net
from edge.systems.etri.masks import mask_directions
from edge.systems.etri.post_processing import PostProcessing
from edge.systems.etri.settings import EtriSettings
from edge.systems.label_stepper import LabelStepper
from edge.systems.windower import StepSchedule, Window, Windower, doubled_hops
from edge.types import FloatArray, Spectra, TrackFrames

SED_MAPS, DOAE_MAPS = slice(0, 3), slice(3, 13)  # of the features; SAD is given what SED is given
NETS = {"sad": SED_MAPS, "sed": SED_MAPS, "doae": DOAE_MAPS}

Answers = tuple[FloatArray, FloatArray, FloatArray]
"""SAD (labels,), SED (labels, classes) and unit vectors (labels, classes, 3), zero where nothing is known."""


class Etri:
    """The sequential loop over the three nets of ETRI, one window at a time."""

    array = None  # the features are of FOA, whichever array it is from

    def __init__(
        self,
        nets: Mapping[str, Net],
        stepper: LabelStepper,
        class_names: Sequence[str],
        settings: EtriSettings,
    ) -> None:
        """Begin a stream with label frame 0.

        Args:
            nets: At least those named by `NETS`.
            stepper: Computes the maps.
            class_names: Of the classes that SED and DOAE know, in their order.
            settings: Of the system.
        """
        self.settings, self.clock = settings, stepper.clock
        self._hops = doubled_hops(settings.hop_labels, settings.window_labels)
        self.levels = tuple(f"windows every {hop * stepper.label_s:.1f} s" for hop in self._hops)
        self._nets = {name: nets[name] for name in NETS}
        self._classes = len(class_names)
        self._slots = min(settings.max_overlap, self._classes)
        self._stepper = stepper
        self._windower = Windower(stepper.silent_maps, settings.window_labels, settings.hop_labels)
        self._schedule: StepSchedule[Answers] = StepSchedule()
        self._post = PostProcessing(settings, class_names, stepper.label_s)
        self._restart(0)

    @property
    def latency_s(self) -> float:
        """Longest time from a sound to the answer about it at the present level, without computing time."""
        waits = self._stepper.look_ahead_labels, self._windower.delay_labels, len(NETS) - 1, self._post.delay_labels
        return sum(waits) * self._stepper.label_s

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
            yield from self._advance(self._windower.push(maps))

    def finish(self) -> Iterator[TrackFrames]:
        """End the stream: yield the answers about the rest of it, as if silence followed."""
        for maps in self._stepper.finish():
            yield from self._advance(self._windower.push(maps))
        for window in self._windower.finish():
            yield from self._advance([window])
        for answers in self._schedule.finish():
            yield from self._tracks(*self._post.push(*answers))
        yield from self._tracks(*self._post.finish())
        self._restart(self._stepper.next_label)

    def reset(self) -> None:
        """Forget the past: label frame 0 comes next."""
        self._restart(0)

    def _restart(self, label: int) -> None:
        self._stepper.restart(label)
        self._windower.restart(label)
        self._schedule.clear()
        self._post.reset()
        self._answered = label

    def _advance(self, windows: Iterable[Window[FloatArray]]) -> Iterator[TrackFrames]:
        """Begin new windows, and do the next step of each window under way."""
        for window in windows:
            self._schedule.begin(self._ask(np.concatenate(window.labels), window.part))
        for answers in self._schedule.advance():
            yield from self._tracks(*self._post.push(*answers))

    def _ask(self, maps: FloatArray, part: slice) -> Generator[None, None, Answers]:
        """Ask the three nets about a window, one in each step.

        Args:
            maps: Of the window (frames, bands, maps).
            part: The label frames to answer about.

        Returns:
            The answers about `part`, as a generator's return value.
        """
        sad = self._answer("sad", maps)["output"][part, 0]
        sed = np.zeros((len(sad), self._classes), np.float32)
        direction = np.zeros((*sed.shape, 3), np.float32)
        yield
        if np.any(sad > self.settings.sad_threshold):
            sed = self._answer("sed", maps)["output"][part]
        yield
        if np.any(sed > self.settings.sed_threshold):
            direction = self._directions(maps)[part]
        return sad, sed, direction

    def _directions(self, maps: FloatArray) -> FloatArray:
        """Unit vectors (labels, classes, 3) from the angles or the masks that DOAE gives."""
        answer = self._answer("doae", maps)
        if "masks" in answer:
            return mask_directions(answer["masks"], maps[..., DOAE_MAPS], self.settings.window_labels)
        angles_deg = 180.0 * answer["output"]
        azimuth_deg, elevation_deg = angles_deg[:, : self._classes], angles_deg[:, self._classes :]
        return unit_vector(azimuth_deg, np.clip(elevation_deg, -90.0, 90.0)).astype(np.float32)

    def _answer(self, name: str, maps: FloatArray) -> dict[str, FloatArray]:
        answer = self._nets[name](features=maps[..., NETS[name]])
        self.clock.lap(name)
        return answer

    def _tracks(self, activity: FloatArray, direction: FloatArray) -> Iterator[TrackFrames]:
        """Activity (labels, classes) and direction (labels, classes, 3) of the label frames that follow -> tracks."""
        slots = strongest(activity, direction, self._slots)
        self.clock.lap("post")
        if len(activity):
            start, self._answered = self._answered, self._answered + len(activity)
            yield TrackFrames(*slots, start)


def strongest(activity: FloatArray, direction: FloatArray, slots: int) -> tuple[FloatArray, FloatArray]:
    """Put the strongest classes of each label frame into slots, the strongest first.

    A slot has the activity of its own class only, because its direction is that of one class.

    Args:
        activity: Of classes (labels, classes), zero where one is not active.
        direction: Of classes (labels, classes, 3).
        slots: How many there are.

    Returns:
        Activity (labels, slots, classes) and direction (labels, slots, 3), zero in slots that are left.
    """
    order = np.argsort(-activity, axis=1, kind="stable")[:, :slots, None]
    most = np.take_along_axis(activity[..., None], order, axis=1)  # (labels, slots, 1)
    alone = np.zeros((len(activity), slots, activity.shape[1]), np.float32)
    np.put_along_axis(alone, order, most, axis=2)
    return alone, np.take_along_axis(direction, order, axis=1) * (most > 0)
