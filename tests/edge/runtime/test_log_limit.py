import logging

import pytest

from edge.runtime.log_limit import BURST_LINES, REFILL_S, LogLimit, repeated_warnings_limited

DAY_S = 86400.0
FLAP_S = 15.0
OUTAGE = (
    ("microphone 'fakemic2' stopped delivering: no samples for %.1f s: trying again until it is back", 3.0),
    ("%d samples lost before sample %d", 72000, 150000),
    ("%d samples lost before sample %d", 1234, 160000),
    ("microphone %r is back after %.0f s", "fakemic2", 6.0),
)


class Shown:
    """Messages that a limit shows of those that are logged at made-up times."""

    def __init__(self):
        self.now_s, self.lines = 0.0, []
        self._limit = LogLimit(lambda: self.now_s)

    def log(self, text, *args, level=logging.WARNING):
        record = logging.LogRecord("edge.audio", level, __file__, 1, text, args, None)
        if self._limit.filter(record):
            self.lines.append(record.getMessage())


@pytest.fixture
def shown():
    return Shown()


def test_a_microphone_that_comes_and_goes_all_day_writes_few_lines(shown):
    """5,760 outages would be 23,040 lines."""
    while shown.now_s < DAY_S:
        for text, *args in OUTAGE:
            shown.log(text, *args)
        shown.now_s += FLAP_S
    for kind in ("stopped delivering", "samples lost", "is back after"):
        lines = [line for line in shown.lines if kind in line]
        assert BURST_LINES < len(lines) <= BURST_LINES + DAY_S / REFILL_S
        assert not any("left out" in line for line in lines[:BURST_LINES])
        assert all("left out" in line for line in lines[BURST_LINES + 1 :])
    assert shown.lines[:4] == [text % tuple(args) for text, *args in OUTAGE]


def test_nothing_is_left_out_without_being_counted(shown):
    for n in range(1000):
        shown.log("client %d refused", n)
    assert shown.lines == [f"client {n} refused" for n in range(BURST_LINES)]
    shown.now_s += REFILL_S
    shown.log("client %d refused", 1000)
    assert shown.lines[BURST_LINES:] == [f"client 1000 refused ({1000 - BURST_LINES} more like it were left out)"]
    shown.now_s += REFILL_S
    shown.log("client %d refused", 1001)
    assert shown.lines[-1] == "client 1001 refused"


def test_rare_faults_are_all_shown(shown):
    for _ in range(500):
        for text, *args in OUTAGE:
            shown.log(text, *args)
        shown.now_s += 2 * REFILL_S  # two lines of one kind in each outage
    assert len(shown.lines) == 500 * len(OUTAGE) and "left out" not in " ".join(shown.lines)


def test_kinds_do_not_hide_each_other_and_what_is_no_warning_is_shown(shown):
    for n in range(10_000):
        shown.log("sink jsonl:/a: line %d is lost", n)
        shown.log("metrics: %d events", n, level=logging.INFO)
    shown.log("sink jsonl:/b: line %d is lost", 7)
    assert shown.lines[-1] == "sink jsonl:/b: line 7 is lost"
    assert sum(line.startswith("metrics: ") for line in shown.lines) == 10_000


def test_memory_is_bounded_where_every_message_is_another(shown):
    for n in range(3000):
        shown.log("x" * n)
    assert len(shown._limit._kinds) <= 1000


def test_handlers_are_limited_inside_only(caplog):
    log = logging.getLogger("edge.test_log_limit")
    with repeated_warnings_limited():
        for _ in range(2 * BURST_LINES):
            log.warning("again")
    assert len(caplog.records) == BURST_LINES
    log.warning("again")
    assert len(caplog.records) == BURST_LINES + 1
