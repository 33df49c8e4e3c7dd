"""Nets -> nets that are timed, and nets that find a source in every slot, the most that a system can have to do."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from edge.geometry import unit_vector
from edge.nets.bundle import Manifest
from edge.nets.net import Net, Past, Raw
from edge.systems.two_step.accdoa import ACCDOA_TRACKS, AXES


class TimedNet:
    """A net that records how long each of its calls takes, in `times_s`."""

    def __init__(self, net: Net) -> None:
        self._net = net
        self.times_s: list[float] = []

    def __call__(self, past: Past | None = None, **inputs: Raw) -> dict[str, Raw]:
        """Return the answer of the net."""
        began = time.perf_counter()
        answer = self._net(past, **inputs)
        self.times_s.append(time.perf_counter() - began)
        return answer

    def fresh(self) -> Past:
        """Return the initial state of the net."""
        return self._net.fresh()


class ForcedNet:
    """A net that takes its usual time, but whose `output` is replaced by given values, in turn."""

    def __init__(self, net: Net, outputs: Iterator[Raw]) -> None:
        self._net = net
        self._outputs = outputs

    def __call__(self, past: Past | None = None, **inputs: Raw) -> dict[str, Raw]:
        """Return the answer of the net with another `output`."""
        answer = self._net(past, **inputs)
        return answer | {"output": np.broadcast_to(next(self._outputs), answer["output"].shape)}

    def fresh(self) -> Past:
        """Return the initial state of the net."""
        return self._net.fresh()


def force_live(nets: Mapping[str, Net], manifest: Manifest, slots: int) -> dict[str, Net]:
    """Make the nets of a bundle find a source in every slot, whatever they hear, in their usual time.

    Args:
        nets: of the bundle, by name.
        manifest: of the bundle.
        slots: number of sources that the system can follow at one time.

    Raises:
        ValueError: there are no such answers for this system.
    """
    if manifest.system not in _LIVE:
        raise ValueError(f"{manifest.name}: got system {manifest.system!r}, wanted one of {', '.join(_LIVE)}")
    answers = _LIVE[manifest.system](len(manifest.class_names), slots)
    forced = dict(nets)
    for name, net in nets.items():
        if "output" in manifest.nets[name]["outputs"]:
            forced[name] = ForcedNet(net, itertools.cycle(answers[name.partition("_")[0]]))
    return forced


def _coloc_answers(classes: int, slots: int) -> dict[str, list[Raw]]:
    """Answers of CoLoC: the localizer, asked for one slot after the other, gives directions 360 / slots degrees apart.

    The classifier is sure of the first class.
    """
    directions = [unit_vector(360.0 * slot / slots, 0.0).astype(np.float32) for slot in range(slots)]
    return {"localizer": directions, "classifier": [np.eye(1, classes + 1, dtype=np.float32)[0]]}


def _etri_answers(classes: int, slots: int) -> dict[str, list[Raw]]:
    """Answers of ETRI: a sound is there, it is of the first classes, and these are 360 / slots degrees apart."""
    sounds = np.arange(classes) < slots
    azimuth = np.arange(classes) * 2.0 / slots % 2.0 - 1.0
    return {
        "sad": [np.ones(1, np.float32)],
        "sed": [sounds.astype(np.float32)],
        "doae": [np.concatenate([azimuth, np.zeros(classes)]).astype(np.float32)],
    }


def _two_step_answers(classes: int, slots: int) -> dict[str, list[Raw]]:
    """Answers of two-step: all tracks are there, and the first class sounds in up to three places."""
    places = np.zeros((ACCDOA_TRACKS, AXES, classes), np.float32)
    for slot in range(slots):
        places[slot, :, 0] = unit_vector(360.0 * slot / slots, 0.0)
    return {"doa": [np.ones(1, np.float32)], "sed": [np.ones(1, np.float32)], "fusion": [places.reshape(-1)]}


_LIVE: dict[str, Callable[[int, int], dict[str, list[Raw]]]] = {
    "coloc": _coloc_answers,
    "etri": _etri_answers,
    "two_step": _two_step_answers,
}
