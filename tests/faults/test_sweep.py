"""A fault at every call of the operating system that a run makes on its files and sockets.

The run goes on, or ends with one line; each event is in the file, and in the outbox, exactly once, or counted as lost.
"""

import errno
import json
import os
import random
import shutil
import subprocess
import sys

import numpy as np
import pytest

from tests.faults.sweep import NOBODY, lost_lines, prefix_of, verdict
from tests.paths import ROOT

GCC = shutil.which("gcc")
pytestmark = [
    pytest.mark.skipif(GCC is None, reason="gcc is not installed"),
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="LD_PRELOAD needs Linux"),
]
ERRORS = (errno.EIO, errno.ENOSPC, errno.EROFS, errno.EMFILE, errno.ENOMEM)
FOR_GOOD = 10**9
REPETITIONS = 6  # of a scene of 5 s with two events
CASES_IN_SAMPLE = 16
LOSERS = ("sink jsonl:", "outbox ", "sink history")


@pytest.fixture(scope="module")
def sweep(tmp_path_factory, sounds, tiny_bundle):
    """A function that runs cases, each with call `first`, `count` and `errno`, and returns what happened in each."""
    folder = tmp_path_factory.mktemp("faults")
    shim, pcm, runs = folder / "faults.so", folder / "scene.pcm", folder / "runs"
    runs.mkdir()
    source = ROOT / "tests" / "faults" / "faults.c"
    subprocess.run([GCC, "-shared", "-fPIC", "-O1", "-o", shim, source, "-ldl"], check=True)
    samples = np.clip(np.rint(np.tile(sounds, (REPETITIONS, 1)) * 32768), -32768, 32767).astype("<i2")
    pcm.write_bytes(samples.tobytes())

    def run(cases, port=NOBODY):
        (folder / "cases.json").write_text(json.dumps(cases))
        environment = os.environ | {"LD_PRELOAD": str(shim), "FAULT_ROOT": str(runs)}
        words = [str(folder / "cases.json"), str(folder / "results.jsonl"), str(tiny_bundle), str(pcm), port]
        subprocess.run(
            [sys.executable, "-m", "tests.faults.sweep", *words], env=environment, cwd=ROOT, check=True, timeout=7200
        )
        return [json.loads(line) for line in (folder / "results.jsonl").read_text().splitlines()]

    return run


@pytest.fixture(scope="module")
def undisturbed(sweep):
    """What a run without faults does."""
    (done,) = sweep([{"first": FOR_GOOD, "count": 0, "errno": 0}])
    assert done["code"] == 0 and len(done["events"]) == 2 * REPETITIONS and done["waiting"] == done["events"], done
    assert done["history"] == done["events"] and 1 <= len(done["clips"]) <= 6, done
    assert set(done["calls"]) >= {"open", "write", "pwrite", "rename", "fdatasync", "socket", "accept", "mkdir"}
    return done


def check(results, undisturbed):
    """Judge all runs. Returns a summary."""
    found = {}
    for done in results:
        if wrong := verdict(done, undisturbed["events"]):
            call = done.get("calls", [])[done["first"] - 1 : done["first"]]
            found[f"{call} number {done['first']}, {done['count']} x {errno.errorcode[done['errno']]}"] = (
                wrong,
                done["stderr"],
            )
    assert not found, json.dumps(found, indent=1)
    ended = sum(done["code"] == 2 for done in results)
    lost = {name: sum(lost_lines(done["stderr"], name) for done in results) for name in LOSERS}
    return f"{len(results)} runs, {ended} ended with one line; counted as lost: {lost}"


@pytest.mark.slow
def test_a_fault_at_some_calls(sweep, undisturbed):
    dice = random.Random(int.from_bytes(os.urandom(4)))
    cases = []
    for number in range(CASES_IN_SAMPLE):
        first, count = dice.randrange(1, undisturbed["seen"] + 1), (1, 3, FOR_GOOD)[number % 3]
        cases.append({"first": first, "count": count, "errno": ERRORS[number % len(ERRORS)]})
    check(sweep(cases), undisturbed)


def cases_at_every_call(last, count, turn):
    """The errors take turns over the calls, beginning with that of this turn: in all turns, each call meets each."""
    return [{"first": n, "count": count, "errno": ERRORS[(n + turn) % len(ERRORS)]} for n in range(1, last + 1)]


@pytest.mark.long
@pytest.mark.parametrize("count", [1, 3, FOR_GOOD])
@pytest.mark.parametrize("turn", range(len(ERRORS)))
def test_a_fault_at_every_call(sweep, undisturbed, capsys, turn, count):
    last = undisturbed["seen"] + 10  # the number differs a little from run to run, as threads share it
    summary = check(sweep(cases_at_every_call(last, count, turn)), undisturbed)
    with capsys.disabled():
        print(f"\n{count} faults at each of {last} calls, no broker, turn {turn}: {summary}")


@pytest.fixture
def with_broker(sweep, tmp_path):
    """A function that runs cases with a broker, and adds what a subscriber received in each."""
    mqtt_broker = pytest.importorskip("tests.edge.mqtt_broker", reason="paho-mqtt is not installed")
    if mqtt_broker.MOSQUITTO is None:
        pytest.skip("mosquitto is not installed")
    broker = mqtt_broker.Broker(tmp_path)
    broker.start()
    subscriber = mqtt_broker.Subscriber(broker.port)

    def run(cases):
        results = sweep(cases, str(broker.port))
        subscriber.flush()
        for done in results:
            topic = f"{prefix_of(done)}/event/"
            messages = [message for message in list(subscriber.messages) if message.topic.startswith(topic)]
            done["received"] = [json.loads(message.payload)["onset_s"] for message in messages]
        return results

    yield run
    subscriber.close()
    broker.stop()


def test_a_broker_gets_what_is_acknowledged(with_broker, undisturbed):
    """Each event is received, or waits in the outbox, whichever call fails."""
    cases = [{"first": FOR_GOOD, "count": 0, "errno": 0}, {"first": 40, "count": 3, "errno": errno.EIO}]
    results = with_broker(cases)
    assert results[0]["received"] == undisturbed["events"] and results[0]["waiting"] == []
    check(results, undisturbed)


@pytest.mark.long
@pytest.mark.parametrize("count", [1, 3, FOR_GOOD])
@pytest.mark.parametrize("turn", range(len(ERRORS)))
def test_a_fault_at_every_call_with_a_broker(with_broker, undisturbed, capsys, turn, count):
    (quiet,) = with_broker([{"first": FOR_GOOD, "count": 0, "errno": 0}])
    last = quiet["seen"] + 10
    summary = check(with_broker(cases_at_every_call(last, count, turn)), undisturbed)
    with capsys.disabled():
        print(f"\n{count} faults at each of {last} calls, with a broker, turn {turn}: {summary}")


def test_the_judge_finds_what_is_wrong():
    all_three = {name: [1.0, 2.0, 3.0] for name in ("events", "waiting", "history")}
    good = {"code": 0, "stderr": "", "clips": ["a.flac"]} | all_three
    assert verdict(good, [1.0, 2.0, 3.0]) == []
    for change in (
        {"code": 1},
        {"code": -9},
        {"code": 2},
        {"stderr": "Traceback (most recent call last):"},
        {"events": [1.0, 3.0]},
        {"events": [1.0, 2.0, 2.0, 3.0]},
        {"events": [1.0, 3.0, 2.0]},
        {"events": [1.0, None, 2.0, 3.0]},
        {"waiting": [1.0, 2.0]},
        {"history": [1.0, 3.0]},
        {"clips": ["a.flac", "b.flac?"]},
    ):
        assert verdict(good | change, [1.0, 2.0, 3.0]), change
    counted = {"stderr": "sink jsonl:/a: 1 lines could not be written and are lost", "events": [1.0, 2.0]}
    assert verdict(good | counted, [1.0, 2.0, 3.0]) == []
