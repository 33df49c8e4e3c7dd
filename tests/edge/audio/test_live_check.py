"""What a live source may deliver: samples that are no numbers, and channels that stop working."""

import io
import logging
from itertools import pairwise

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from edge.audio.live_check import MOST_PEAK, ChannelWatch, LiveCheck, RareLog
from edge.audio.sources import RawFormat, open_source
from edge.types import AudioBlock

RATE_HZ = 16000


def noise(seconds, channels=4, seed=0):
    return np.random.default_rng(seed).normal(0, 0.05, (round(seconds * RATE_HZ), channels)).astype(np.float32)


def blocks_of(samples, size=1600):
    for start in range(0, len(samples), size):
        yield AudioBlock(samples[start : start + size], start)


def checked(samples, fault_s=10.0, channels=range(4)):
    check = LiveCheck("microphone 'x'", ChannelWatch("microphone 'x'", channels, fault_s))
    return check, list(check.checked(blocks_of(samples), lambda: RATE_HZ))


def test_good_samples_pass_as_they_are():
    samples = noise(1)
    samples[77, 2] = -MOST_PEAK
    check, blocks = checked(samples)
    assert check.repaired_samples == 0
    for block, given in zip(blocks, blocks_of(samples), strict=True):
        assert np.shares_memory(block.samples, given.samples) and block.start == given.start


@pytest.mark.parametrize(
    ("bad", "becomes"), [(np.nan, 0), (np.inf, 0), (-np.inf, 0), (1e20, MOST_PEAK), (-3e38, -MOST_PEAK), (8.1, 8)]
)
def test_bad_samples_are_replaced_and_counted(caplog, bad, becomes):
    samples = noise(1)
    wanted = samples.copy()
    samples[[5000, 5001, 9000], 2], wanted[[5000, 5001, 9000], 2] = bad, becomes
    check, blocks = checked(samples)
    assert_array_equal(np.concatenate([block.samples for block in blocks]), wanted)
    assert check.repaired_samples == 3
    (record,) = caplog.records  # of two blocks
    assert "microphone 'x': sample 5000 of channel 2 is " in record.getMessage()


def test_a_repeated_message_is_logged_ever_more_rarely():
    now_s = 0.0
    log = RareLog(lambda: now_s)
    shown_s = []
    for now_s in np.arange(0.0, 24 * 3600, 5.0):
        if log.due():
            shown_s.append(now_s)
    assert shown_s[:5] == [0, 60, 180, 420, 900]
    assert max(later - earlier for earlier, later in pairwise(shown_s)) == 3600
    assert len(shown_s) < 40 and sum(at_s < 3600 for at_s in shown_s) <= 10
    log.reset()
    assert log.due() and not log.due()


def watched(caplog, spoil, seconds=6.0, fault_s=2.0, channels=range(4)):
    """Faults after each block, and what was logged."""
    samples = noise(seconds)
    spoil(samples)
    watch, seen = ChannelWatch("stdin", channels, fault_s), []
    with caplog.at_level(logging.WARNING):
        for block in blocks_of(samples):
            watch.push(block.samples, RATE_HZ)
            seen.append(watch.faults)
    return seen, [record.getMessage() for record in caplog.records]


def silent(value):
    def spoil(samples):
        samples[RATE_HZ : 5 * RATE_HZ, 2] = value

    return spoil


@pytest.mark.parametrize("value", [0.0, 0.25, -1.0])
def test_a_channel_that_dies_is_named_until_it_works_again(caplog, value):
    seen, said = watched(caplog, silent(value))
    assert [bool(faults) for faults in seen] == [False] * 30 + [True] * 20 + [False] * 10
    assert seen[40] == {2: "silent"}
    first, last = said
    assert first == "stdin: channel 2 is silent for 2 s while others work: check its capsule, its cable and its gain"
    assert last == "stdin: channel 2 works again"


def test_a_channel_that_is_always_clipped_is_named(caplog):
    def spoil(samples):
        samples[:, 1] = np.clip(samples[:, 1] * 40, -1, 1)

    seen, said = watched(caplog, spoil)
    assert seen[-1] == {1: "clipped"} and len(said) == 1


def test_what_is_no_fault(caplog):
    def all_silent(samples):
        samples[:] = 0

    def loud_now_and_then(samples):
        samples[::16000, 1] = 1.0
        samples[: RATE_HZ // 2] *= 40
        samples[:] = np.clip(samples, -1, 1)

    def nearly_silent(samples):
        samples[:, 3] = 0
        samples[801::1600, 3] = 2.0**-15

    for spoil in (all_silent, loud_now_and_then, nearly_silent):
        assert watched(caplog, spoil) == ([{}] * 60, [])
    assert watched(caplog, silent(0.0), fault_s=0.0) == ([{}] * 60, [])
    assert watched(caplog, silent(0.0), channels=[0, 1, 3]) == ([{}] * 60, [])


def test_all_channels_but_one(caplog):
    def spoil(samples):
        samples[:, 1:] = 0

    seen, said = watched(caplog, spoil)
    assert seen[-1] == {1: "silent", 2: "silent", 3: "silent"} and len(said) == 3


def test_the_length_of_the_blocks_does_not_matter():
    samples = noise(4)
    silent(0.1)(samples)
    found = []
    for size in (1, 7, 1599, 4096, len(samples)):
        watch = ChannelWatch("stdin", range(4), 2.0)
        for block in blocks_of(samples[: 7 * RATE_HZ // 2], size):
            watch.push(block.samples, RATE_HZ)
        found.append(watch.faults)
    assert found[:4] == [{2: "silent"}] * 4 and found[4] == {}  # a block as long as the fault shows its whole self only


def test_stdin_goes_on_after_bad_samples():
    samples = noise(2)
    samples[20_000, 1], samples[20_001, 3] = np.nan, 1e30
    source = open_source("-", 4, RATE_HZ, raw=RawFormat("f32le", RATE_HZ), stdin=io.BytesIO(samples.tobytes()))
    heard = np.concatenate([block.samples for block in source])
    assert (heard[20_000, 1], heard[20_001, 3], len(heard)) == (0.0, MOST_PEAK, len(samples))
    assert source.check.repaired_samples == 2
    assert source.name == "stdin (f32le)"


@pytest.mark.parametrize(("head", "kind"), [(b"RIFF", "wav"), (b"RF64", "wav"), (b"fLaC", "FLAC"), (b"OggS", "Ogg")])
def test_a_sound_file_on_stdin_is_not_taken_for_samples(head, kind):
    source = open_source("-", 4, 24000, stdin=io.BytesIO(head + bytes(9000)))
    with pytest.raises(ValueError, match=rf"^stdin: got a {kind} file, wanted raw samples: name the file, or use"):
        next(iter(source))
