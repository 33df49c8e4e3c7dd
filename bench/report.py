"""A bundle -> everything that a bench measures, as one JSON object and as text."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from bench.assets import ASSETS, MOBILENET_V2
from bench.boards import STEP_BUDGET_MS, board_times, read_references, result_of
from bench.fresh import start_up
from bench.machine import machine_record, throttling
from bench.pace import Pace
from bench.page import PageCosts
from bench.page import lines as page_lines
from bench.soak import Soak
from bench.steps import StepTimes, TimedLoop, demo_sound, naive_window_loop, quiet_sound, take_turns
from bench.timing import as_json, measure, timing
from edge.nets.bundle import Bundle
from edge.nets.interpreter import Interpreter
from edge.runtime.machine import temperature_c
from edge.stderr import silent_stderr

YARDSTICK_CALLS_PER_SECOND = 4


@dataclass(frozen=True, slots=True)
class BenchSettings:
    """What to measure."""

    model: str
    threads: int = 1
    seconds: int = 60  # of audio for each loop

    def __post_init__(self) -> None:
        if not 1 <= self.threads <= 64:
            raise ValueError(f"got threads {self.threads}, wanted 1 to 64")
        if self.seconds < 1:
            raise ValueError(f"got seconds {self.seconds}, wanted at least 1")


def bench(bundle: Bundle, settings: BenchSettings, say: Callable[[str], None] = lambda line: None) -> dict[str, Any]:
    """Measure all but peers, soak and pace.

    Args:
        bundle: the model.
        settings: what to measure.
        say: is given a line about each measurement when it begins.

    Returns:
        The report, ready for JSON.

    Raises:
        ValueError: a reference file cannot be used, or a fresh process fails.
    """
    references = read_references()
    threads, seconds = settings.threads, settings.seconds
    machine = machine_record()
    sound = demo_sound(bundle)
    say("start-up in a fresh process")
    started = start_up(settings.model, threads)
    yardstick = Yardstick(threads)
    loops = {
        "live": TimedLoop(bundle, threads, sound, live=True),
        "silent": TimedLoop(bundle, threads, np.zeros_like(sound)),
        "quiet": TimedLoop(bundle, threads, quiet_sound(len(sound))),
    }
    say("MobileNetV2-224 int8, the yardstick; all tracks live; silence; in turn")
    take_turns([yardstick.run, *(loop.run for loop in loops.values())], seconds)
    live, silent, quiet = (loop.times() for loop in loops.values())
    say("a window for every answer")
    naive = naive_window_loop(bundle, threads, sound)
    if naive is not None:
        naive.run(seconds)
    machine |= {"temperature_after_c": temperature_c(), "throttling": throttling()}
    report: dict[str, Any] = {
        "model": bundle.manifest.name,
        "precision": bundle.manifest.precision,
        "settings": dict(bundle.manifest.settings),
        "threads": threads,
        "seconds": seconds,
        "mobilenet_v2_ms": round(yardstick.p50_ms, 4),
        "model_per_mobilenet_v2": round(live.answer.p50_ms / yardstick.p50_ms, 4),
        "step_p95_per_mobilenet_v2": round(live.step.p95_ms / yardstick.p50_ms, 4),
        "silence_per_step": round(silent.real_time_factor / live.real_time_factor, 4),
        "step_ms": as_json(live.step),
        "answer_ms": as_json(live.answer),
        "silence_step_ms": as_json(silent.step),
        "quiet_step_ms": as_json(quiet.step),
        "stages_ms": {name: as_json(times) for name, times in live.stages.items()},
        "nets_ms": {
            name: as_json(net.call) | {"calls_per_step": round(net.calls_per_step, 3)}
            for name, net in live.nets.items()
        },
        "real_time_factor": round(live.real_time_factor, 5),
        "latency_s": round(live.latency_s, 4),
        "rss_mb": started.rss_mb,
        "startup_s": round(started.startup_s, 3),
        "naive_window": None if naive is None else _naive_json(naive.times(), live),
        "machine": machine,
    }
    report["boards"] = [asdict(times) for times in board_times(result_of(report), references)]
    return report


def pace_json(pace: Pace) -> dict[str, Any]:
    """Return a run in real time as a table for a report."""
    table = asdict(pace)
    del table["step"]
    return _rounded(table | {"step_ms": as_json(pace.step)})


def soak_json(soak: Soak) -> dict[str, Any]:
    """Return a soak as a table for a report."""
    return _rounded(asdict(soak))


def page_json(costs: PageCosts) -> dict[str, Any]:
    """Return what pages cost as a table for a report."""
    return _rounded(asdict(costs))


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(each) for each in value]
    return round(value, 5) if isinstance(value, float) else value


def lines(report: dict[str, Any]) -> Iterator[str]:
    """Format a report as lines of text."""
    machine = report["machine"]
    yield (
        f"{report['model']} ({report['precision']}), {report['threads']} threads, {machine['runtime']}, "
        f"on {machine['board']}, {machine['cores']} cores"
    )
    told = {key: machine[key] for key in ("governor", "max_mhz", "temperature_after_c", "throttling", "load")}
    yield ", ".join(f"{key} {value}" for key, value in told.items() if value is not None)
    yield f"{'ms':<26}{'p50':>9}{'p95':>9}{'p99':>9}{'max':>9}"
    yield _row("step, all tracks live", report["step_ms"])
    yield _row("step with an answer", report["answer_ms"])
    yield _row("step, digital silence", report["silence_step_ms"])
    yield _row("step, noise of -60 dBFS", report["quiet_step_ms"])
    if report["naive_window"] is not None:
        yield _row("a window for every answer", report["naive_window"]["step_ms"])
    for name, times in report["stages_ms"].items():
        yield _row(f"stage {name}", times)
    for name, times in report["nets_ms"].items():
        yield _row(f"net {name}", times) + f"  x {times['calls_per_step']:g} per step"
    yield (
        f"real-time factor {report['real_time_factor']:.4f}, latency {report['latency_s']:.2f} s, "
        f"{report['rss_mb']:.0f} MB, start-up {report['startup_s']:.2f} s"
    )
    yield (
        f"MobileNetV2-224 int8 takes {report['mobilenet_v2_ms']:.2f} ms here, "
        f"an answer of the model {report['model_per_mobilenet_v2']:.2f} times that (p95 of a step "
        f"{report['step_p95_per_mobilenet_v2']:.2f}); silence costs {report['silence_per_step']:.2f} of a step"
    )
    for board in report["boards"]:
        p50, p99, factor = (board[key] for key in ("step_p50_ms", "step_p99_ms", "real_time_factor"))
        yield (
            f"{board['kind']}: {board['board']}: step p50 {p50[0]:.0f} to {p50[1]:.0f} ms, p99 {p99[0]:.0f} to "
            f"{p99[1]:.0f} ms of {STEP_BUDGET_MS:.0f}, real-time factor {factor[0]:.2f} to {factor[1]:.2f} "
            f"({board['source']})"
        )
    yield from _more_lines(report)


def _more_lines(report: dict[str, Any]) -> Iterator[str]:
    if (pace := report.get("realtime")) is not None:
        yield (
            f"in real time, {pace['seconds']:.0f} s: {pace['cpu_percent']:.1f} % of one core, {pace['lost_samples']} "
            f"samples lost, step p50 {pace['step_ms']['p50']:.2f}, p99 {pace['step_ms']['p99']:.2f} ms, "
            f"{pace['late_steps']} steps late, at most {pace['most_late_ms']:.1f} ms after the sound"
        )
        if pace["busy"]:
            back = "never" if pace["full_after_s"] is None else f"{pace['full_after_s']:.1f} s after they ended"
            yield (
                f"{pace['busy']} busy processes beside it from {pace['busy_s'][0]:.0f} to {pace['busy_s'][1]:.0f} s: "
                f"{len(pace['changes'])} changes of quality, full quality {back}"
            )
    if (soak := report.get("soak")) is not None:
        yield (
            f"soak of {soak['hours']:.2f} h of sound in {soak['wall_s'] / 3600.0:.2f} h: "
            f"{soak['lost_samples']} samples lost, memory {soak['rss_mb_per_hour']:+.3f} MB/h, "
            f"{soak['least_descriptors']} to {soak['most_descriptors']} descriptors "
            f"({soak['descriptors_per_hour']:+.4f} per h), "
            f"step p50 {soak['p50_ms']:.2f} ms ({soak['p50_ms_per_hour']:+.4f} per h), "
            f"p99 {soak['p99_ms']:.2f} ms ({soak['p99_ms_per_hour']:+.4f} per h)"
        )
    if (costs := report.get("page")) is not None:
        yield from page_lines(costs)


def _row(name: str, times: dict[str, float]) -> str:
    return f"{name:<26}{times['p50']:9.3f}{times['p95']:9.3f}{times['p99']:9.3f}{times['max']:9.3f}"


def _naive_json(naive: StepTimes, live: StepTimes) -> dict[str, Any]:
    """The times of a loop that computes a whole window in every step."""
    return {
        "step_ms": as_json(naive.answer),
        "real_time_factor": round(naive.answer.p50_ms / STEP_BUDGET_MS, 5),
        "times_step": round(naive.answer.p50_ms / live.step.p50_ms, 3),
    }


class Yardstick:
    """MobileNetV2-224 int8: the time of an invocation without its inputs and outputs, as published for boards."""

    def __init__(self, threads: int) -> None:
        with silent_stderr():
            interpreter = Interpreter(model_content=(ASSETS / MOBILENET_V2).read_bytes(), num_threads=threads)
            interpreter.allocate_tensors()
        (image,) = interpreter.get_input_details()
        interpreter.set_tensor(image["index"], np.random.default_rng(0).integers(-128, 128, image["shape"], np.int8))
        self._invoke = interpreter.invoke
        self._times_s: list[float] = []

    def run(self, seconds: int) -> None:
        """Measure a number of invocations for each of these seconds of audio; the first one is not timed."""
        times = measure({MOBILENET_V2: self._invoke}, YARDSTICK_CALLS_PER_SECOND * seconds)
        self._times_s += times[MOBILENET_V2]

    @property
    def p50_ms(self) -> float:
        """Median time of all invocations."""
        return timing(self._times_s).p50_ms
