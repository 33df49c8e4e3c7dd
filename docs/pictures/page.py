"""The demo scene through the shipped model -> pictures of the page, as Chromium draws it.

`python -m docs.pictures.page` writes docs/pictures/page-light.png, page-dark.png and page-phone.png. It needs Debian's
chromium and the Python packages playwright and pillow.
"""

from __future__ import annotations

import io
import itertools
import shutil
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, sync_playwright

from edge.arrays.profile import load_array
from edge.audio.sources import open_source
from edge.audio.tap import tapped
from edge.nets.bundle import load_bundle
from edge.page.health import health_record
from edge.page.page import Page, open_page
from edge.page.settings import PageSettings
from edge.run_settings import DEFAULT_MODEL
from edge.runtime.budget import BudgetSettings
from edge.runtime.governor import Governor
from edge.runtime.pipeline import build_pipeline, build_system
from edge.runtime.statistics import RunMonitor
from edge.stage_clock import StageClock

FOLDER = Path(__file__).parent
SECONDS = 138.2  # four times the scene and more: two events sound at that moment
STEP_S = 0.01  # for a step, so that the browser keeps up
LOOKS: dict[str, dict[str, Any]] = {
    "page-light": {"viewport": {"width": 1360, "height": 900}, "color_scheme": "light"},
    "page-dark": {"viewport": {"width": 1360, "height": 900}, "color_scheme": "dark"},
    "page-phone": {"viewport": {"width": 390, "height": 844}, "color_scheme": "light", "device_scale_factor": 2},
}
FULL = {"page-dark"}  # the whole page; of the others, what the window shows


def main() -> int:
    """Draw all pictures."""
    chromium = shutil.which("chromium")
    if chromium is None:
        print("docs.pictures.page: got no chromium, wanted it: apt-get install chromium", file=sys.stderr)
        return 2
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        for name in LOOKS:
            draw(browser, name)
        browser.close()
    return 0


def draw(browser: Browser, name: str) -> None:
    """Play the scene to a page of one look, and write its picture."""
    bundle, array = load_bundle(DEFAULT_MODEL), load_array("foa")
    stft = bundle.manifest.stft
    clock = StageClock(now_ns=time.thread_time_ns)  # what else the machine does is no part of the picture
    system = build_system(bundle, array=array, clock=clock)
    pipeline = build_pipeline(
        bundle, array, system, governor=Governor(BudgetSettings(), system.levels[:1], system.set_level)
    )
    monitor = RunMonitor(pipeline)
    began = datetime.now(UTC) - timedelta(seconds=SECONDS)
    about = {
        "source": "the demo scene",
        "live": False,
        "model": bundle.manifest.name,
        "array": array.name,
        "flat": array.planar,
        "classes": list(bundle.manifest.class_names),
        "latency_s": round(pipeline.latency_s, 2),
        "rate_hz": stft.sample_rate_hz,
        "can_pause": False,
    }

    def health(steps: Any) -> Any:
        return health_record(monitor, steps, system.levels[0])

    def when(stream_s: float) -> datetime:
        return began + timedelta(seconds=stream_s)

    with open_page(PageSettings(port=0), about, stft, when, 100.0, health) as page:
        monitor.sinks["page"] = page
        pipeline.observer = page.feed
        context = browser.new_context(**LOOKS[name])
        tab = context.new_page()
        tab.goto(page.url)
        tab.locator("[data-state=live]").wait_for()
        _play(page, pipeline, array.channels, stft.sample_rate_hz)
        tab.wait_for_timeout(4000)  # for the health, and the counts
        picture = Image.open(io.BytesIO(tab.screenshot(full_page=name in FULL)))
        picture.convert("RGB").save(FOLDER / f"{name}.png", optimize=True)
        context.close()


def _play(page: Page, pipeline: Any, channels: int, rate_hz: int) -> None:
    with open_source("demo", channels, rate_hz, repeat=True) as source:
        blocks = itertools.islice(source, round(10 * SECONDS))
        for block in tapped(blocks, [page]):
            for item in pipeline.push(block):
                page.emit(item)
            time.sleep(STEP_S)


if __name__ == "__main__":
    sys.exit(main())
