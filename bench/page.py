"""The page in the browser -> what it costs the loop, and the memory of a run with everything on.

The demo scene runs at the pace of a microphone, in turns with no page, one page and many, which a process of its own
holds open and reads. `page_ms` is what the thread of the loop spends for pages in a step; the server is another
process.
"""

from __future__ import annotations

import itertools
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from bench.everything import MOST_MB, ProcessMemory, everything_memory
from bench.steps import demo_sound, looped_blocks
from edge.arrays.profile import load_array
from edge.nets.bundle import Bundle, load_bundle
from edge.page.page import Page, open_page
from edge.page.settings import MOST_PAGES, PageSettings
from edge.runtime.pipeline import Pipeline, build_pipeline, build_system
from edge.types import AudioBlock

MOST_SHARE = 0.1
"""What an open page may cost, as a share of a step."""

TURNS = 3
SETTLING_STEPS = 50


@dataclass(frozen=True, slots=True)
class PageCost:
    """What a number of open pages costs: ms of a processor per step of 100 ms, so that other programs do not count."""

    pages: int
    step_ms: float  # mean, like all times; the median of the turns
    page_ms: float  # of that, for the page
    server_ms: float
    messages_per_page: float  # that each page got per step
    dropped: int  # messages that the server did not take in time


@dataclass(frozen=True, slots=True)
class PageCosts:
    """The result."""

    costs: tuple[PageCost, ...]  # without a page, with one, and with many
    share_per_page: float  # what the first page adds to a step, as a share of the step without it
    memory: tuple[ProcessMemory, ...]  # with everything on, and as many pages


def measure_pages(model: str, threads: int, seconds: float, most: int) -> PageCosts:
    """Measure what open pages cost, and the memory of a run with everything on.

    Args:
        model: name or folder of the bundle.
        threads: of the interpreter.
        seconds: of audio for each number of pages.
        most: largest number of pages.

    Raises:
        ValueError: the page needs a package that is missing, or a run with everything on fails.
    """
    costs = _page_costs(load_bundle(model), threads, seconds, sorted({0, 1, most}))
    share = (costs[1].page_ms - costs[0].page_ms) / costs[0].step_ms
    return PageCosts(costs, share, everything_memory(model, threads, most, seconds))


def _page_costs(bundle: Bundle, threads: int, seconds: float, counts: Sequence[int]) -> tuple[PageCost, ...]:
    """Run the loop in real time with different numbers of open pages."""
    stft, array = bundle.manifest.stft, load_array("foa")
    pipeline = build_pipeline(bundle, array, build_system(bundle, threads, array=array))
    sound = looped_blocks(demo_sound(bundle), stft.label_samples)
    steps = max(1, round(seconds / TURNS / stft.label_s))
    turns: dict[int, list[PageCost]] = {count: [] for count in counts}
    settings = PageSettings(port=0, max_pages=MOST_PAGES)
    with open_page(settings, {}, stft, None, 100.0, lambda times: {"problems": []}) as page:
        pipeline.observer = watched = _Watched(page)
        _run(pipeline, watched, sound, SETTLING_STEPS, 0.0)
        for _, count in itertools.product(range(TURNS), counts):
            turns[count].append(_turn(pipeline, watched, count, sound, steps, stft.label_s))
    return tuple(map(_median, turns.values()))


def _turn(
    pipeline: Pipeline, watched: _Watched, count: int, sound: Iterator[AudioBlock], steps: int, label_s: float
) -> PageCost:
    """Continue for a number of steps with a number of open pages."""
    page = watched.page
    with _open_pages(page, count) as reader:
        before_ms, before = _processor_ms(page.server.pid), page.dropped
        watched.spent_ns = 0
        step_ms = _run(pipeline, watched, sound, steps, label_s)
        server_ms, dropped = _processor_ms(page.server.pid) - before_ms, page.dropped - before
        messages = int(reader.communicate("")[0].split()[-1]) if reader else 0
    page_ms = watched.spent_ns / 1e6 / steps
    return PageCost(count, step_ms, page_ms, server_ms / steps, messages / max(1, count) / steps, dropped)


def _run(pipeline: Pipeline, watched: _Watched, sound: Iterator[AudioBlock], steps: int, label_s: float) -> float:
    """Push so many blocks, each when it is due, or without a wait if `label_s` is 0; returns the mean ms of a step."""
    began_s, spent_ns = time.monotonic(), 0
    for number, block in enumerate(itertools.islice(sound, steps), start=1):
        time.sleep(max(0.0, began_s + number * label_s - time.monotonic()))
        begun_ns = time.thread_time_ns()
        watched.hear(block)
        for item in pipeline.push(block):
            watched.emit(item)
        spent_ns += time.thread_time_ns() - begun_ns
    return spent_ns / 1e6 / steps


class _Watched:
    """A page, and the processor time that it has taken in the loop."""

    def __init__(self, page: Page) -> None:
        self.page, self.spent_ns = page, 0
        self.hear, self.emit = self._timed(page.hear), self._timed(page.emit)
        self.answered, self.stepped = self._timed(page.feed.answered), self._timed(page.feed.stepped)

    def _timed(self, call: Callable[..., None]) -> Callable[..., None]:
        def timed(*args: Any) -> None:
            begun_ns = time.thread_time_ns()
            call(*args)
            self.spent_ns += time.thread_time_ns() - begun_ns

        return timed


def _median(turns: Sequence[PageCost]) -> PageCost:
    """The medians of some turns; drops are added."""
    middle = {item.name: statistics.median(getattr(turn, item.name) for turn in turns) for item in fields(PageCost)}
    return PageCost(**middle | {"pages": turns[0].pages, "dropped": sum(turn.dropped for turn in turns)})


@contextmanager
def _open_pages(page: Page, count: int) -> Iterator[subprocess.Popen[str] | None]:
    """Open pages in a process of its own, which reads them."""
    if not count:
        yield None
        return
    port = page.url.rstrip("/").rpartition(":")[2]
    words = [sys.executable, "-m", "bench.page_reader", port, str(count)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as reader:
        assert reader.stdout is not None
        reader.stdout.readline()
        while page.server.pages != count:
            time.sleep(0.01)
        try:
            yield reader
        finally:
            reader.kill()
    while page.server.pages:
        time.sleep(0.01)


def _processor_ms(pid: int) -> float:
    """Processor time of a process."""
    words = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return 1e3 * (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


def lines(costs: Mapping[str, Any]) -> Iterator[str]:
    """Format `PageCosts` as JSON has them as lines of text."""
    yield f"{'ms per step of 100 ms':<26}{'step':>9}{'page':>10}{'server':>9}{'messages':>10}"
    for each in costs["costs"]:
        yield (
            f"{str(each['pages']) + ' pages open':<26}{each['step_ms']:9.3f}{each['page_ms']:10.4f}"
            f"{each['server_ms']:9.3f}{each['messages_per_page']:10.3f}"
        )
    dropped = sum(each["dropped"] for each in costs["costs"])
    yield (
        f"one open page costs {100 * costs['share_per_page']:.1f} % of a step (bound: {100 * MOST_SHARE:.0f} %), "
        f"{dropped} messages dropped"
    )
    memory = ", ".join(f"{each['name']} {each['rss_mb']:.0f} MB" for each in costs["memory"])
    resident, shared = (sum(each[key] for each in costs["memory"]) for key in ("rss_mb", "pss_mb"))
    yield f"with everything on: {memory}, together {resident:.0f} MB (bound: {MOST_MB:.0f}), PSS {shared:.0f} MB"
