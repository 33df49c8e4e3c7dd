"""The page in the browser -> what it costs the loop: `python -m bench.page [--seconds N] [--pages N ...] [--json]`.

The demo scene runs at the pace of a microphone, in turns with no page, one page and many, which a process of its own
holds open and reads. `page` is what the thread of the loop spends for pages in a step; the server is another
process.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from bench.steps import demo_sound, looped_blocks
from edge.arrays.profile import load_array
from edge.nets.bundle import Bundle, load_bundle
from edge.page.page import Page, open_page
from edge.page.settings import MOST_PAGES, PageSettings
from edge.run_settings import DEFAULT_MODEL
from edge.runtime.machine import rss_mb
from edge.runtime.pipeline import Pipeline, build_pipeline, build_system
from edge.types import AudioBlock

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

    costs: tuple[PageCost, ...]
    loop_rss_mb: float
    server_rss_mb: float


def measure_pages(bundle: Bundle, threads: int, seconds: float, counts: Sequence[int]) -> PageCosts:
    """Run the loop in real time with different numbers of open pages.

    Args:
        bundle: the model.
        threads: of the interpreter.
        seconds: of audio for each number.
        counts: numbers of pages.
    """
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
        server_mb = _rss_mb(page.server.pid)
    return PageCosts(tuple(map(_median, turns.values())), rss_mb() or 0.0, server_mb)


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


def _rss_mb(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def lines(costs: PageCosts) -> Iterator[str]:
    """Format the costs as a table."""
    yield f"{'ms per step of 100 ms':<22}{'step':>9}{'page':>10}{'server':>9}{'messages':>10}"
    for each in costs.costs:
        yield (
            f"{f'{each.pages} pages open':<22}{each.step_ms:9.3f}{each.page_ms:10.4f}"
            f"{each.server_ms:9.3f}{each.messages_per_page:10.3f}"
        )
    dropped = sum(each.dropped for each in costs.costs)
    yield f"memory: loop {costs.loop_rss_mb:.0f} MB, server {costs.server_rss_mb:.0f} MB; {dropped} messages dropped"


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m bench.page", description=__doc__)
    parser.add_argument("--model", default=DEFAULT_MODEL, metavar="NAME|DIR", help="default: %(default)s")
    parser.add_argument("--seconds", type=float, default=60.0, help="of audio for each number (default: %(default)s)")
    parser.add_argument("--pages", type=int, nargs="+", default=[0, 1, 20], help="numbers of pages (default: 0 1 20)")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args(argv)
    try:
        if not 1.0 <= args.seconds <= 1e5 or not all(0 <= count <= MOST_PAGES for count in args.pages):
            raise ValueError(f"got seconds {args.seconds:g}, pages {args.pages}, wanted 1 or more, 0 to {MOST_PAGES}")
        costs = measure_pages(load_bundle(args.model), 1, args.seconds, args.pages)
    except ValueError as error:
        print(f"bench.page: {error}", file=sys.stderr)
        return 2
    print(json.dumps(asdict(costs)) if args.json else "\n".join(lines(costs)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
