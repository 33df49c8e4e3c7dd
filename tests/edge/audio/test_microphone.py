import logging
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from edge.audio import microphone
from edge.audio.microphone import Microphone, SourceError
from edge.audio.sources import open_source

# A process that records: played by programs, one for each time that it is started


SAYS = """
import json, struct, sys, time
from edge.audio.recorder import HEADER

def say(**what):
    sys.stdout.buffer.write(json.dumps(what).encode() + b"\\n")
    sys.stdout.flush()

def give(samples, value, lost=False):
    raw = struct.pack("<f", value) * 4 * samples
    sys.stdout.buffer.write(HEADER.pack(len(raw), lost, time.monotonic()) + raw)
    sys.stdout.flush()

def wait():
    sys.stdin.read()
"""
OPENS = "say(name='mic4', sample_rate_hz=48000)\n"


@pytest.fixture
def recorder(tmp_path, monkeypatch):
    """A function that takes the programs; it returns one that tells the options of each start so far.

    A start after the last program plays that again, as on a busy machine there may be more than were asked for.
    """
    monkeypatch.setattr(microphone, "RETRY_S", 0.02)
    monkeypatch.setattr(microphone, "OPEN_S", 300.0)  # on a busy machine a process may start slowly
    before = children()  # of other tests of this process

    def scripted(*programs):
        turns = [f"if turn == {n}: exec({program!r})" for n, program in enumerate(programs)]
        count = "import os, sys\nwith open(__file__ + '.log', 'a+') as f: print(*sys.argv[1:], file=f)\n"
        count += f"turn = min(len(open(__file__ + '.log').readlines()), {len(programs)}) - 1\n"
        path = tmp_path / "recorder.py"
        path.write_text(SAYS + count + "\n".join(turns))
        monkeypatch.setattr(microphone, "RECORDER", (sys.executable, str(path)))
        return lambda: (tmp_path / "recorder.py.log").read_text().splitlines()

    yield scripted
    assert set(children()) <= set(before)


def children():
    return Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()


def test_microphone_is_resampled_and_keeps_absolute_time(recorder):
    recorder(OPENS + "for n in range(6): time.sleep(0.1 + n // 4 * 0.3); give(4800, n / 8, n == 4)\nwait()")
    with open_source("mic", 4, 24000, device="mic4") as source:
        assert source.live and source.real_time and source.name == "mic4"
        blocks = []
        while sum(len(block.samples) for block in blocks) < 5.5 * 2400:
            blocks.append(next(source.blocks))
            assert 0.0 <= source.age_s() < 300.0
    end = 0
    for block in blocks:
        assert block.start == end + block.lost
        end = block.start + len(block.samples)
    (gap,) = [block for block in blocks if block.lost]
    assert gap.start >= 4 * 2400 + 1 and gap.samples[200, 0] == pytest.approx(0.5, abs=1e-3)


def test_recorder_gets_the_requested_device_and_rate(recorder):
    options = recorder(*["say(name='plug', sample_rate_hz=48000)"] * 3)
    for device, native_rate_hz in ((None, None), ("plug", 48000), (2, 16000)):
        open_source("mic", 4, 24000, device=device, native_rate_hz=native_rate_hz).close()
    assert options() == [
        "--channels=4 --rate-hz=24000",
        "--channels=4 --rate-hz=48000 --device=plug",
        "--channels=4 --rate-hz=16000 --device=2",
    ]


@pytest.mark.parametrize(
    ("program", "kind", "message"),
    [
        ("say(error='no device, there is: none', refused=True)", ValueError, "^no device, there is: none$"),
        ("say(error='cannot be opened: busy', refused=False)", SourceError, "^cannot be opened: busy$"),
        ("", SourceError, "^microphone 'mic4': cannot be opened: the recorder process has ended$"),
        ("wait()", SourceError, r"^microphone 'mic4': cannot be opened: no answer for 0\.5 s$"),
    ],
)
def test_device_that_cannot_be_opened(recorder, monkeypatch, program, kind, message):
    recorder(program)
    if program == "wait()":
        monkeypatch.setattr(microphone, "OPEN_S", 0.5)
    with pytest.raises(kind, match=message):
        Microphone("mic4", 4, 24000)


@pytest.mark.parametrize("stops", ["wait()", "sys.exit(3)", "sys.stdout.buffer.write(b'1234567')"])
def test_a_device_that_stops_is_opened_again(recorder, caplog, stops):
    """It hangs, its process ends or tells half a buffer; then it is away, hangs, and is back."""
    options = recorder(
        OPENS + "give(4800, 1.0)\ngive(4800, 2.0)\n" + stops,
        "say(error='no device', refused=True)",
        OPENS + "wait()",
        OPENS + "give(4800, 4.0)\ngive(4800, 5.0)\nwait()",
    )
    mic = Microphone(3, 4, 48000)
    began_s = time.monotonic()
    with caplog.at_level(logging.INFO):
        source = mic.blocks(deadline_s=0.4)
        blocks = told(source, 5)
    took_s = time.monotonic() - began_s
    mic.close()
    assert [len(block.samples) for block in blocks] == [4800, 4800, 0, 4800, 4800]
    assert [block.samples[0, 0] for block in blocks if len(block.samples)] == [1, 2, 4, 5]
    assert [block.lost > 0 for block in blocks] == [False, False, True, True, False]
    assert blocks[2].lost >= 0.3 * 48000
    for block, before in zip(blocks[1:], blocks, strict=False):
        assert block.start == before.start + len(before.samples) + block.lost
    assert 0.5 < blocks[-1].start / 48000 < took_s + 0.3
    first, second = [record.getMessage() for record in caplog.records]
    assert first == "microphone 'mic4' stopped delivering: no samples for 0.4 s: trying again until it is back"
    assert second.startswith("microphone 'mic4' is back after ")
    devices = [option.split()[-1] for option in options()]
    assert len(devices) >= 4 and devices == ["--device=3", *["--device=mic4"] * (len(devices) - 1)]


def told(source, count):
    """The next blocks that say something: between them are some of a source that waits."""
    blocks = []
    while len(blocks) < count:
        block = next(source)
        if block.lost or len(block.samples):
            blocks.append(block)
    return blocks


@pytest.mark.parametrize("rates_hz", [(48000, 16000), (16000, 24000), (24000, 44100), (44100, 48000)])
def test_a_device_that_comes_back_at_another_rate_is_heard(recorder, caplog, rates_hz):
    """Samples are resampled from the new rate, and their times go on."""
    first, second = (f"say(name='mic4', sample_rate_hz={rate_hz})\n" for rate_hz in rates_hz)
    tenth = [rate_hz // 10 for rate_hz in rates_hz]
    options = recorder(
        first + f"for n in range(4): time.sleep(0.1); give({tenth[0]}, 0.5)\nwait()",
        second + f"for n in range(4): time.sleep(0.1); give({tenth[1]}, 0.25)\nwait()",
    )
    with open_source("mic", 4, 24000, device="mic4", native_rate_hz=rates_hz[0], deadline_s=0.4) as source:
        began_s, blocks = time.monotonic(), []
        while not blocks or not len(blocks[-1].samples) or abs(blocks[-1].samples[-1, 0] - 0.25) > 1e-3:
            blocks += told(source.blocks, 1)
        took_s = time.monotonic() - began_s
    end = 0
    for block in blocks:
        assert block.start == end + block.lost
        end = block.start + len(block.samples)
    assert sum(len(block.samples) for block in blocks if not block.start) > 0
    heard = np.concatenate([block.samples[:, 0] for block in blocks])
    assert np.count_nonzero(np.abs(heard - 0.5) < 1e-3) == pytest.approx(0.4 * 24000, abs=300)
    assert 0.75 < end / 24000 < took_s + 0.5  # seconds of the clock, whatever the rate
    assert f"microphone 'mic4': got {rates_hz[1]} Hz, after {rates_hz[0]} Hz before" in caplog.text
    assert all(f"--rate-hz={rates_hz[0]}" in option for option in options()[:2])


def test_a_device_that_is_missing_at_the_start_is_waited_for(recorder, caplog):
    """It is away, cannot be opened, hangs, and is there at last. Blocks without samples keep the loop going."""
    options = recorder(
        "say(error='no device', refused=True)",
        "say(error='busy', refused=False)",
        OPENS + "wait()",
        "say(name='mic4', sample_rate_hz=16000)\ngive(1600, 0.5)\ngive(1600, 0.5)\nwait()",
    )
    with open_source("mic", 4, 24000, device="mic", deadline_s=0.4, wait=True) as source:
        assert source.name == "mic"
        first = next(source.blocks)
        assert (len(first.samples), first.start, first.lost) == (0, 0, 0)
        blocks = told(source.blocks, 1)
    assert (blocks[0].start, blocks[0].lost) == (0, 0) and len(blocks[0].samples) > 1000
    assert len(options()) >= 4
    said = [record.getMessage() for record in caplog.records]
    assert said[0] == "no device: trying again until it is there" and len(said) <= 3  # the others were not due
    assert "stopped delivering" not in caplog.text


def test_a_device_that_hangs_at_the_start_is_waited_for(recorder, caplog):
    recorder(OPENS + "wait()", OPENS + "give(4800, 1.0)\nwait()")
    mic = Microphone("mic4", 4, 48000, wait=True)
    (block,) = told(mic.blocks(deadline_s=0.4), 1)
    mic.close()
    assert (len(block.samples), block.start, block.lost) == (4800, 0, 0)


def test_device_that_never_delivers_is_an_error(recorder):
    recorder(OPENS + "wait()")
    mic = Microphone("mic4", 4, 48000)
    with pytest.raises(SourceError, match=r"^microphone 'mic4' stopped delivering: no samples for 0\.05 s$"):
        next(mic.blocks(deadline_s=0.05))
    mic.close()
    mic.close()


def test_recorder_that_cannot_be_killed_does_not_block_the_loop(recorder, monkeypatch, caplog):
    recorder(OPENS + "wait()")
    monkeypatch.setattr(microphone, "_END_S", 0.05)
    mic = Microphone("mic4", 4, 48000)
    with monkeypatch.context() as patch:
        patch.setattr(subprocess.Popen, "kill", lambda process: None)
        began_s = time.monotonic()
        mic.close()
        assert time.monotonic() - began_s < 60  # and does not wait for ever
    assert "recorder process" in caplog.text and "cannot be ended" in caplog.text
    monkeypatch.setattr(microphone, "_END_S", 10.0)
    mic.close()
