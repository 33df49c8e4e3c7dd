"""The page in a real browser: served messages of a test, and the demo."""

import base64
import subprocess
import time

import numpy as np
import pytest

pytest.importorskip("uvicorn", reason="uvicorn is not installed")
axe_playwright = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed")

from edge.audio.wav import write_wav  # noqa: E402
from edge.outputs.history_store import Row, insert, open_store  # noqa: E402
from tests.edge.command_line import SELD_EDGE  # noqa: E402
from tests.edge.page.browser import CHROMIUM, Visit, chromium  # noqa: E402
from tests.edge.page.served import ABOUT, served  # noqa: E402

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium here")

SECTORS = [{"name": "door", "azimuth_deg": [20, 75]}, {"name": "tv", "azimuth_deg": [150, -150], "ignore": True}]
HEALTH = {
    "step_ms": [1.1, 1.9], "budget_ms": 100.0, "level": "2 tracks", "best_level": "2 tracks", "late_steps": 0,
    "lost_samples": 0, "repaired_samples": 0, "faulty_channels": "none", "temperature_c": 51.2, "rss_mb": 118.2,
    "outputs": [{"name": "jsonl:-", "works": True, "dropped": 0}, {"name": "mqtt:", "works": False, "dropped": 0}],
    "problems": ["The output mqtt: does not work: see the log."], "live": [7],
}  # fmt: skip
SERIOUS = {"serious", "critical"}
ONLY = "name => [...document.querySelectorAll('#events tr')].map(each => each.dataset.class).join() === name"
NOTE_MOVES = """() => {
    const places = new Map();
    new MutationObserver(() => {
        for (const dot of document.querySelectorAll("circle.dot")) {
            const { id } = dot.dataset, place = dot.getAttribute("cx");
            window.moved ||= places.has(id) && places.get(id) !== place;
            places.set(id, place);
        }
    }).observe(document.body, { childList: true, subtree: true });
}"""


@pytest.fixture(scope="module")
def browser():
    with chromium() as made:
        yield made


@pytest.fixture(scope="module")
def page():
    with served(about=ABOUT | {"sectors": SECTORS}) as made:
        yield made


def play(page, visit, seconds, first_s=0.0, **step):
    """Send the steps of some seconds of sound, and wait until the page has them."""
    for number in range(round(10 * seconds)):
        t = round(first_s + 0.1 * (number + 1), 1)
        mel = bytes(np.clip(120 + 60 * np.sin(np.arange(64) / 6 + t), 0, 255).astype(np.uint8))
        page.send(
            "step",
            t=t,
            mel=base64.b64encode(mel).decode(),
            levels=[-30.0, -40.0, -50.0, -90.0],
            ms=1.0,
            **step,
        )
        time.sleep(0.002)
    visit.wait("text => document.getElementById('levels').textContent.includes(text)", "-90 dB")


def accessibility_faults(visit):
    found = axe_playwright.Axe().run(visit.page).response["violations"]
    return [(each["id"], each["nodes"][0]["html"][:200]) for each in found if each["impact"] in SERIOUS]


def test_what_is_heard_is_shown(page, browser):
    visit = Visit(browser, f"http://127.0.0.1:{page.port}/")
    visit.wait("document.getElementById('state').dataset.state === 'live'")
    answer = {"at": 0.5, "classes": [[2, 41], [0, 7]], "sources": [[-20, 5, 2, 0.41]]}
    play(page, visit, 3.0, answer=answer)
    assert visit.page.locator("#classes li").all_inner_texts() == ["speech\n41 %", "bell\n7 %"]
    assert visit.page.locator("circle.guess").count() == 1

    page.event(phase="begin", id=7, told_s=3.0, **{"class": "speech"}, azimuth_deg=90.0, elevation_deg=0.0)
    dot = visit.page.locator('circle.dot[data-id="7"]')
    dot.wait_for()
    row = visit.page.locator("#events-now tr")
    assert row.locator("td").nth(2).inner_text() == "left, 90°"
    shown_s, begun_s = (float(row.get_attribute(f"data-{name}-s")) for name in ("shown", "begun"))
    assert begun_s == 3.0 and shown_s - begun_s <= 1.0  # in seconds of the stream: the machine may be slow
    at = dot.get_attribute("cx"), dot.get_attribute("cy")
    assert tuple(map(float, at)) == pytest.approx((-50.0, 0.0), abs=0.1)  # left, level
    play(page, visit, 1.0, 3.0, places=[[7, 3.0, 0, 90]])
    visit.wait("() => Math.abs(document.querySelector('circle.dot').getAttribute('cy')) < 0.2 "
               "&& Math.abs(document.querySelector('circle.dot').getAttribute('cx')) < 0.2")  # fmt: skip

    page.send("health", **HEALTH)
    visit.wait("!document.getElementById('problems').hidden")
    assert visit.page.locator("#problems").inner_text() == HEALTH["problems"][0]
    assert visit.page.locator("#outputs li.fails").inner_text().split("\n")[0] == "mqtt:"
    assert "51 °C" in visit.page.locator("#figures").inner_text()

    page.event(phase="end", id=7, **{"class": "speech"}, azimuth_deg=60.0, sector="door")
    page.event(phase="end", id=8, level_db=-31.4)
    visit.wait("document.querySelectorAll('#events tr').length === 2 && !document.querySelector('circle.dot')")
    assert visit.page.locator("#no-events").is_hidden()
    assert visit.page.locator("#events tr").first.locator("td").nth(1).inner_text().split() == ["bell", "-31", "dB"]

    visit.page.select_option("#by-class", "bell")
    visit.wait(ONLY, "bell")
    visit.wait("[...document.querySelectorAll('#day tbody th')].map(each => each.innerText).join() === 'bell'")
    words = "Events: 1. Most of them, 1, came from front left, 35°."
    visit.wait("words => document.getElementById('rose-words').innerText === words", words)
    visit.page.select_option("#by-class", "")
    visit.page.select_option("#by-sector", "door")
    visit.wait(ONLY, "speech")
    visit.page.select_option("#by-sector", "")
    visit.wait("document.querySelectorAll('#events tr').length === 2")

    faults = {"light": accessibility_faults(visit)}
    visit.page.locator("#theme").click()
    visit.page.locator("#theme").click()
    assert visit.page.locator("html").get_attribute("data-theme") == "dark"
    faults["dark"] = accessibility_faults(visit)
    visit.page.set_viewport_size({"width": 390, "height": 844})
    faults["phone"] = accessibility_faults(visit)
    assert faults == {"light": [], "dark": [], "phone": []}
    assert visit.page.evaluate("document.documentElement.scrollWidth") == 390  # nothing sticks out
    assert visit.problems == [] and visit.strange_requests() == []
    visit.context.close()


def test_the_keyboard_reaches_everything(page, browser):
    visit = Visit(browser, f"http://127.0.0.1:{page.port}/", reduced_motion="reduce")
    visit.wait("document.getElementById('state').dataset.state === 'live'")
    reached = []
    for _ in range(12):
        visit.page.keyboard.press("Tab")
        reached.append(visit.page.evaluate("document.activeElement.id || document.activeElement.className"))
    wanted = ["skip", "theme", "by-class", "by-sector", "by-time", "scroll", "by-day"]
    assert [each for each in dict.fromkeys(reached) if each in wanted] == wanted
    visit.context.close()


def test_a_wrong_password_is_refused_and_the_right_one_opens(browser):
    with served("correct horse") as page:
        visit = Visit(browser, f"http://127.0.0.1:{page.port}/")
        visit.page.locator("#password").fill("wrong horse")
        visit.page.keyboard.press("Enter")
        visit.wait("document.getElementById('login-error').textContent === 'This is not the password.'")
        assert visit.page.locator("#page").is_hidden() and accessibility_faults(visit) == []
        visit.page.locator("#password").fill("correct horse")
        visit.page.keyboard.press("Enter")
        visit.wait("document.getElementById('state').dataset.state === 'live'")
        assert visit.page.evaluate("document.cookie") == ""
        visit.page.locator("#logout").click()
        visit.wait("document.getElementById('login').open")
        assert [problem for problem in visit.problems if "403" not in problem] == []
        visit.context.close()


def test_a_token_in_the_address_opens_the_page(browser):
    with served(token="0123456789abcdef") as page:
        visit = Visit(browser, f"http://127.0.0.1:{page.port}/#token=0123456789abcdef")
        visit.wait("document.getElementById('state').dataset.state === 'live'")
        assert not any("0123456789abcdef" in each for each in visit.requests[1:]) and visit.problems == []
        visit.context.close()


def test_a_clip_plays(browser, tmp_path):
    store = open_store(tmp_path / "history.db")
    with store:
        insert(store, [Row(time.time() - 60.0, "bell", 1.0, 2.0, 30.0, 0.0, 0.9, "", "bell 1.wav")])
    store.close()
    sound = 0.1 * np.sin(np.arange(24000) / 5.0).astype(np.float32)
    write_wav(tmp_path / "bell 1.wav", sound[:, None], 24000)
    about = ABOUT | {"clips": True}
    with served(about=about, database=str(tmp_path / "history.db"), clips=str(tmp_path)) as page:
        visit = Visit(browser, f"http://127.0.0.1:{page.port}/")
        visit.page.locator("#events button.play").click()
        visit.wait("document.getElementById('player').ended")
        assert visit.page.evaluate("document.getElementById('player').duration") == 1.0
        assert "Clip: bell of" in visit.page.locator("#player").get_attribute("aria-label")
        assert visit.problems == [] and visit.strange_requests() == []
        visit.context.close()


def test_the_check_of_accessibility_can_fail(page, browser):
    visit = Visit(browser, f"http://127.0.0.1:{page.port}/")
    visit.page.evaluate("document.body.append(new Image())")
    assert [name for name, _ in accessibility_faults(visit)] == ["image-alt"]
    visit.context.close()


def test_a_dot_moves_while_the_demo_plays(browser, tmp_path):
    words = [*SELD_EDGE, "demo", "--page", "--port", "0"]
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as demo:
        try:
            url = next(line for line in demo.stderr if "page: open" in line).split()[3]
            visit = Visit(browser, url)
            visit.page.evaluate(NOTE_MOVES)
            visit.wait("window.moved === true")
            visit.wait("document.querySelector('#events tr')")
            assert visit.problems == [] and visit.strange_requests() == []
            visit.context.close()
        finally:
            demo.terminate()
            demo.stderr.read()
    assert demo.returncode == 0
