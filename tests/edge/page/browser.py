"""Debian's Chromium without a window, driven by Playwright."""

import shutil
import time
from contextlib import contextmanager

import pytest

playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

CHROMIUM = shutil.which("chromium")
LATEST_MS = 120_000


@contextmanager
def chromium():
    """A browser. The sandbox of Chromium needs more rights than a container gives."""
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


class Visit:
    """An open page, what went wrong on it, and what it asked for."""

    def __init__(self, browser, url, **options):
        self.problems, self.requests, self.url = [], [], url
        self.context = browser.new_context(**({"viewport": {"width": 1360, "height": 1000}} | options))
        self.context.set_default_timeout(LATEST_MS)
        self.page = self.context.new_page()
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("console", lambda said: said.type in ("error", "warning") and self.problems.append(said.text))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(url)

    def strange_requests(self):
        """Those that leave the origin."""
        return [each for each in self.requests if not each.startswith((self.url, f"blob:{self.url}", "data:"))]

    def wait(self, condition, *args):
        """Wait until an expression of JavaScript holds. Playwright's own way needs `eval`, which the page forbids."""
        end_s = time.monotonic() + LATEST_MS / 1e3
        while not self._holds(condition, *args):
            assert time.monotonic() < end_s, condition
            self.page.wait_for_timeout(50)

    def _holds(self, condition, *args):
        try:
            return self.page.evaluate(condition, *args)
        except playwright.Error as error:
            # The page is being loaded anew: it is going, or is not there as a whole.
            if not any(words in str(error) for words in ("Execution context was destroyed", "properties of null")):
                raise
            return False
