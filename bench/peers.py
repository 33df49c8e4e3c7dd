"""Other systems, side by side -> their times per second of audio: `python -m bench.peers [--float-model DIR] [--json]`.

They are this project; its model with a whole window for every answer; its nets in float32; and a published real-time
system with each of its three kinds of features, and its net.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from bench.assets import SELDNET, SELDNET_INPUT, load_asset
from bench.peer_features import HOP_S, PEER_FEATURES, SAMPLE_RATE_HZ, WINDOW_S, salsa_lite
from bench.steps import StepTimes, TimedLoop, demo_sound, naive_window_loop, take_turns
from bench.timing import measure, timing
from edge.frontend.maps import FOA_CHANNELS
from edge.frontend.stft import Stft
from edge.nets.bundle import Bundle, load_bundle
from edge.run_settings import DEFAULT_MODEL
from edge.types import AudioBlock, FloatArray

OURS, NAIVE, FLOAT = "this project", "a window for every answer", "float32"
FEATURE_REPETITIONS = 100


@dataclass(frozen=True, slots=True)
class PeerTimes:
    """The time that a second of audio takes."""

    features_ms: float
    total_ms: float | None  # None where only the features are compared
    answers_per_s: float  # how often it gives new answers

    @property
    def answer_ms(self) -> float | None:
        """The time for each new answer."""
        return None if self.total_ms is None else self.total_ms / self.answers_per_s


@dataclass(frozen=True, slots=True)
class Peers:
    """The times of all systems by name, and their ratios to this project."""

    times: Mapping[str, PeerTimes]

    def feature_ratios(self) -> dict[str, float]:
        """Return the ratios of the features, for systems with features of their own."""
        own_ms = self.times[OURS].features_ms
        return {name: peer.features_ms / own_ms for name, peer in self.times.items() if name in PEER_FEATURES}

    def total_ratios(self) -> dict[str, float]:
        """Return the ratios of the whole systems."""
        totals_ms = {name: peer.total_ms for name, peer in self.times.items() if peer.total_ms is not None}
        own_ms = totals_ms.pop(OURS)
        return {name: total_ms / own_ms for name, total_ms in totals_ms.items()}

    def to_json(self) -> dict[str, Any]:
        """Return a table for a report."""
        return {
            "per_second_of_audio": {
                name: {
                    "features_ms": round(peer.features_ms, 4),
                    "total_ms": peer.total_ms and round(peer.total_ms, 4),
                    "answers_per_s": round(peer.answers_per_s, 3),
                    "answer_ms": peer.answer_ms and round(peer.answer_ms, 4),
                }
                for name, peer in self.times.items()
            },
            "feature_ratios": {name: round(ratio, 3) for name, ratio in self.feature_ratios().items()},
            "total_ratios": {name: round(ratio, 3) for name, ratio in self.total_ratios().items()},
        }

    def lines(self) -> list[str]:
        """Format the times as a table."""
        head = ("features ms", "ratio", "total ms", "ratio", "answers", "ms each")
        rows = [f"{'per second of audio':<26}" + "".join(f"{word:>12}" for word in head)]
        for name, peer in self.times.items():
            ratios = [each.get(name) for each in (self.feature_ratios(), self.total_ratios())]
            cells = (peer.features_ms, ratios[0], peer.total_ms, ratios[1], peer.answers_per_s, peer.answer_ms)
            rows.append(f"{name:<26}" + "".join(f"{'' if cell is None else f'{cell:.2f}':>12}" for cell in cells))
        return rows


def time_peers(bundle: Bundle, threads: int, seconds: int, float_bundle: Bundle | None = None) -> Peers:
    """Measure all systems in turn.

    Args:
        bundle: the model of this project.
        threads: of the interpreter.
        seconds: of audio for each loop, with a source in every slot.
        float_bundle: the same model in float32.
    """
    sound = demo_sound(bundle)
    features_ms = _features_ms(bundle, sound)
    ours_ms = features_ms.pop(OURS)
    loops = {OURS: TimedLoop(bundle, threads, sound, live=True)}
    if (naive := naive_window_loop(bundle, threads, sound)) is not None:
        loops[NAIVE] = naive
    if float_bundle is not None:
        loops[FLOAT] = TimedLoop(float_bundle, threads, sound, live=True)
    take_turns([loop.run for loop in loops.values()], seconds)
    times = {name: _of_loop(loop.times(), ours_ms, seconds) for name, loop in loops.items()}
    if naive is not None:
        answers_per_s = 1.0 / bundle.manifest.stft.label_s
        times[NAIVE] = PeerTimes(ours_ms, naive.times().answer.p50_ms * answers_per_s, answers_per_s)
    net_ms = _seldnet_ms(threads)
    for name, spent_ms in features_ms.items():
        total_ms = (spent_ms + net_ms) / HOP_S if name == salsa_lite.__name__ else None
        times[name] = PeerTimes(spent_ms / HOP_S, total_ms, 1.0 / HOP_S)
    return Peers(times)


def _of_loop(loop: StepTimes, features_ms: float, seconds: int) -> PeerTimes:
    return PeerTimes(features_ms, loop.second.p50_ms, loop.answer.steps / seconds)


def _features_ms(bundle: Bundle, sound: FloatArray) -> dict[str, float]:
    """Median times in ms of our features for a second of audio, in steps, and of the others for one window, by name."""
    settings = bundle.manifest.stft
    stft, extractor, size = Stft(settings, FOA_CHANNELS), bundle.extractor(), settings.label_samples
    blocks = [AudioBlock(sound[at : at + size], at) for at in range(0, settings.sample_rate_hz, size)]

    def ours() -> None:
        stft.reset()
        for block in blocks:
            for spectra in stft.push(block):
                extractor(spectra)

    window = _noise()
    calls: dict[str, Callable[[], object]] = {name: partial(each, window) for name, each in PEER_FEATURES.items()}
    return {name: timing(times).p50_ms for name, times in measure(calls | {OURS: ours}, FEATURE_REPETITIONS).items()}


def _seldnet_ms(threads: int) -> float:
    """Median time of the published net for one window."""
    net = load_asset(SELDNET, threads)
    maps = salsa_lite(_noise())[: SELDNET_INPUT[0]]
    return timing(measure({SELDNET: lambda: net(features=maps)}, FEATURE_REPETITIONS)[SELDNET]).p50_ms


def _noise() -> FloatArray:
    """Return a window of noise; its content does not matter to the time."""
    random = np.random.default_rng(0)
    return random.normal(0.0, 0.1, (round(WINDOW_S * SAMPLE_RATE_HZ), FOA_CHANNELS)).astype(np.float32)


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print the table; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.peers", description=__doc__)
    parser.add_argument("--model", default=DEFAULT_MODEL, metavar="NAME|DIR", help="default: %(default)s")
    parser.add_argument("--float-model", metavar="DIR", help="the same model in float32")
    parser.add_argument("--threads", type=int, default=1, help="default: %(default)s")
    parser.add_argument("--seconds", type=int, default=30, help="seconds of audio for each loop (default: %(default)s)")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args(argv)
    try:
        float_bundle = load_bundle(args.float_model) if args.float_model else None
        peers = time_peers(load_bundle(args.model), args.threads, args.seconds, float_bundle)
    except ValueError as error:
        print(f"bench.peers: {error}", file=sys.stderr)
        return 2
    print(json.dumps(peers.to_json()) if args.json else "\n".join(peers.lines()))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
