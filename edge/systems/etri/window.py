"""ETRI window by window: spectra -> active classes and their directions (Park et al., DCASE 2020 Task 3, section 3.3).

Three nets look at windows of features: SAD says when anything sounds, SED which classes do, DOAE where each of them is.
A net is asked only if the one before it found something, and one label frame after it: no step is longer than the
longest net. A window without activity costs one net.

Each of them may be an ensemble (`edge.systems.ensembles`), such as the snapshots of a training in cycles (section 7):
its nets are asked one after the other, too. Their probabilities are averaged, and of directions the unit vectors:
angles have no mean across 180 degrees.

The paper leaves open what happens where windows overlap. Here the middle of each window is the answer (`Windower`): the
gate, the classes and the directions of a label frame come from the same window, no two directions have to be averaged,
and no label frame waits for a second window.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence

import numpy as np

from edge.geometry import unit_vector
from edge.nets.net import Net
from edge.systems.ensembles import members
from edge.systems.etri.masks import mask_directions
from edge.systems.etri.post_processing import PostProcessing
from edge.systems.etri.settings import EtriSettings
from edge.systems.label_stepper import LabelStepper
from edge.systems.windower import StepSchedule, Window, Windower, doubled_hops
from edge.types import FloatArray, Spectra, TrackFrames

SED_MAPS, DOAE_MAPS = slice(0, 3), slice(3, 13)  # of the features; SAD is given what SED is given
NETS = {"sad": SED_MAPS, "sed": SED_MAPS, "doae": DOAE_MAPS}
_LEAST_LENGTH = np.float32(1e-9)

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
            nets: At least those named by `NETS`, each alone or with the further members of its ensemble.
            stepper: Computes the maps.
            class_names: Of the classes that SED and DOAE know, in their order.
            settings: Of the system.
        """
        self.settings, self.clock = settings, stepper.clock
        self._hops = doubled_hops(settings.hop_labels, settings.window_labels)
        self.levels = tuple(f"windows every {hop * stepper.label_s:.1f} s" for hop in self._hops)
        self._nets = {name: [nets[member] for member in members(name, nets)] for name in NETS}
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
        steps = sum(len(ensemble) for ensemble in self._nets.values())
        waits = self._stepper.look_ahead_labels, self._windower.delay_labels, steps - 1, self._post.delay_labels
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
        """Ask the nets about a window, one in each step. Steps of nets that need not be asked pass all the same.

        Args:
            maps: Of the window (frames, bands, maps).
            part: The label frames to answer about.

        Returns:
            The answers about `part`, as a generator's return value.
        """
        sad = _mean_output((yield from self._answers("sad", maps)))[part, 0]
        sed = np.zeros((len(sad), self._classes), np.float32)
        direction = np.zeros((*sed.shape, 3), np.float32)
        yield
        answers = yield from self._answers("sed", maps, bool(np.any(sad > self.settings.sad_threshold)))
        if answers:
            sed = _mean_output(answers)[part]
        yield
        answers = yield from self._answers("doae", maps, bool(np.any(sed > self.settings.sed_threshold)))
        if answers:
            direction = _mean_direction([self._directions(answer, maps) for answer in answers])[part]
        return sad, sed, direction

    def _directions(self, answer: Mapping[str, FloatArray], maps: FloatArray) -> FloatArray:
        """Unit vectors (labels, classes, 3) from the angles or the masks that DOAE gives."""
        if "masks" in answer:
            return mask_directions(answer["masks"], maps[..., DOAE_MAPS], self.settings.window_labels)
        angles_deg = 180.0 * answer["output"]
        azimuth_deg, elevation_deg = angles_deg[:, : self._classes], angles_deg[:, self._classes :]
        return unit_vector(azimuth_deg, np.clip(elevation_deg, -90.0, 90.0)).astype(np.float32)

    def _answers(
        self, name: str, maps: FloatArray, asked: bool = True
    ) -> Generator[None, None, list[dict[str, FloatArray]]]:
        """Ask the nets of an ensemble, one in each step; none of them answers if they are not `asked`."""
        answers = []
        for number, net in enumerate(self._nets[name]):
            if number:
                yield
            if asked:
                answers.append(net(features=maps[..., NETS[name]]))
                self.clock.lap(name)
        return answers

    def _tracks(self, activity: FloatArray, direction: FloatArray) -> Iterator[TrackFrames]:
        """Activity (labels, classes) and direction (labels, classes, 3) of the label frames that follow -> tracks."""
        slots = strongest(activity, direction, self._slots)
        self.clock.lap("post")
        if len(activity):
            start, self._answered = self._answered, self._answered + len(activity)
            yield TrackFrames(*slots, start)


def _mean_output(answers: Sequence[Mapping[str, FloatArray]]) -> FloatArray:
    """The mean of the outputs of an ensemble."""
    return np.mean([answer["output"] for answer in answers], axis=0)


def _mean_direction(vectors: Sequence[FloatArray]) -> FloatArray:
    """The mean of unit vectors (..., 3), which are zero where nothing is known, as unit vectors."""
    if len(vectors) == 1:
        return vectors[0]
    mean = np.mean(vectors, axis=0)
    return mean / np.maximum(np.linalg.norm(mean, axis=-1, keepdims=True), _LEAST_LENGTH)


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
