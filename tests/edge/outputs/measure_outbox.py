"""Print what an event costs in the outbox, and in sqlite3 in its place: bytes written, and time.

`python -m tests.edge.outputs.measure_outbox FOLDER`, FOLDER being on the disk in question. Both are synced after every
tenth event.
"""

import sqlite3
import statistics
import sys
import tempfile
import time
from pathlib import Path

from edge.outputs.outbox import Outbox

EVENTS = 500
EVENTS_PER_SYNC = 10
LINE = (
    '{"class": "telephone", "onset_s": 1234.567, "offset_s": 1236.5, "azimuth_deg": 30.13, "elevation_deg": -20.0, '
    '"score": 0.912, "time": "2024-05-01T10:00:00.000Z"}'
)


class SqliteOutbox:
    """The same queue as a table, with the settings that sync no more often than the files do."""

    def __init__(self, folder, _max_bytes):
        self._connection = sqlite3.connect(folder / "outbox.db", isolation_level=None)
        for pragma in ("journal_mode=wal", "synchronous=normal", "wal_autocheckpoint=0"):
            self._connection.execute(f"pragma {pragma}")
        self._connection.execute("create table entry(number integer primary key autoincrement, text text not null)")

    def append(self, text):
        return self._connection.execute("insert into entry(text) values (?)", (text,)).lastrowid

    def acknowledge(self, number):
        self._connection.execute("delete from entry where number <= ?", (number,))

    def sync(self):
        self._connection.execute("pragma wal_checkpoint(passive)")

    def close(self):
        self._connection.close()


def written_bytes():
    lines = Path("/proc/self/io").read_text().splitlines()
    counts = dict(line.split(": ") for line in lines)
    return int(counts["wchar"]), int(counts["write_bytes"])


def measure(kind, folder):
    outbox = kind(folder, 16_000_000)
    outbox.append(LINE)
    outbox.sync()
    before, append_us = written_bytes(), []
    for number in range(EVENTS):
        began = time.perf_counter()
        last = outbox.append(LINE)
        append_us.append(1e6 * (time.perf_counter() - began))
        outbox.acknowledge(last - 1)
        if number % EVENTS_PER_SYNC == EVENTS_PER_SYNC - 1:
            outbox.sync()
    to_cache, to_disk = ((now - then) / EVENTS for now, then in zip(written_bytes(), before, strict=True))
    outbox.close()
    p50_us, p99_us = statistics.median(append_us), statistics.quantiles(append_us, n=100)[98]
    print(
        f"{kind.__name__}: {to_cache:.0f} bytes per event to the page cache, {to_disk:.0f} to the disk; "
        f"append p50 {p50_us:.0f} us, p99 {p99_us:.0f} us"
    )


if __name__ == "__main__":
    for each in (Outbox, SqliteOutbox):
        with tempfile.TemporaryDirectory(dir=sys.argv[1]) as made:
            measure(each, Path(made))
