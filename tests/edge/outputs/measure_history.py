"""`python -m tests.edge.outputs.measure_history FOLDER [EVENTS]`: what a history of a million events costs.

It prints the time of each query of `History`, the size of the database, and the time and the bytes of a commit.
"""

import random
import sys
import time
from pathlib import Path

from edge.outputs.history_reader import EVERYTHING, Wanted, open_history
from edge.outputs.history_store import DAY_S, Row, insert, open_store, prune, used_bytes
from tests.edge.outputs.measure_outbox import written_bytes

EVENTS = int(sys.argv[2]) if len(sys.argv) > 2 else 10**6
APART_S = 3e7 / EVENTS  # about a year in all
NAMES = [f"class {n}" for n in range(13)]
SECTORS = ["", "door", "window", "street"]
FIRST_S = 1.7e9
LAST_S = FIRST_S + EVENTS * APART_S
DAY, MONTH = Wanted(since_s=LAST_S - DAY_S), Wanted(since_s=LAST_S - 30.3 * DAY_S)
QUERIES = {
    "the last 100 events": lambda history: list(history.events(limit=100)),
    "100 of a day": lambda history: list(history.events(DAY, 100)),
    "100 of a class": lambda history: list(history.events(Wanted(name=NAMES[3]), 100)),
    "100 of a class that is not there": lambda history: list(history.events(Wanted(name="none"), 100)),
    "100 of a sector": lambda history: list(history.events(Wanted(sector="door"), 100)),
    "100 of a class and sector, a month ago": lambda history: list(
        history.events(Wanted(until_s=MONTH.since_s, name=NAMES[3], sector="door"), 100)
    ),
    "hours x classes of a day": lambda history: history.per_hour(DAY),
    "hours x classes of a month": lambda history: history.per_hour(MONTH),
    "hours x classes of the year": lambda history: history.per_hour(EVERYTHING),
    "hours x classes of a sector, a month": lambda history: history.per_hour(Wanted(MONTH.since_s, sector="door")),
    "totals by class of the year": lambda history: history.totals(),
    "rose of a day": lambda history: history.rose(DAY),
    "rose of a month": lambda history: history.rose(MONTH),
    "rose of the year": lambda history: history.rose(),
    "rose of a class and sector, the year": lambda history: history.rose(Wanted(name=NAMES[3], sector="door")),
}


def random_rows(count, first_s=FIRST_S, apart_s=APART_S):
    """Rows of events that are spread evenly over time, classes, sectors and directions."""
    dice = random.Random(0)
    for number in range(count):
        onset_s = apart_s * (number + dice.random())
        yield Row(
            first_s + onset_s, dice.choice(NAMES), round(onset_s, 1), round(onset_s + 1.5, 1),
            round(dice.uniform(-180, 180), 2), round(dice.uniform(-90, 90), 2), 0.8, dice.choice(SECTORS),
        )  # fmt: skip


def fill(path, rows, batch=10_000):
    """Write rows to a history."""
    connection = open_store(path)
    rows = iter(rows)
    while chunk := [row for row, _ in zip(rows, range(batch), strict=False)]:
        connection.execute("BEGIN")
        insert(connection, chunk)
        connection.execute("COMMIT")
    return connection


def measured_ms(query, times=3):
    """Least processor and wall time of a query, of a connection that was just opened."""
    best = []
    for _ in range(times):
        began = time.process_time(), time.perf_counter()
        query()
        best.append((time.process_time() - began[0], time.perf_counter() - began[1]))
    return [1e3 * min(each) for each in zip(*best, strict=True)]


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "history.db"
    for each in folder.glob("history.db*"):
        each.unlink()
    began_s = time.perf_counter()
    connection = fill(path, random_rows(EVENTS))
    print(f"{EVENTS} events written in {time.perf_counter() - began_s:.0f} s, {used_bytes(connection) / 1e6:.0f} MB")
    for name, query in QUERIES.items():

        def once(query=query):
            with open_history(path) as history:
                query(history)

        processor_ms, wall_ms = measured_ms(once)
        print(f"{name}: {processor_ms:.1f} ms of a processor, {wall_ms:.1f} ms in all")
    for count in (1, 5, 20):
        before, began_s = written_bytes(), time.perf_counter()
        for _ in range(20):
            connection.execute("BEGIN IMMEDIATE")
            insert(connection, random_rows(count, LAST_S))
            connection.execute("COMMIT")
        each_ms = 1e3 * (time.perf_counter() - began_s) / 20
        kb = (written_bytes()[1] - before[1]) / (20 * count * 1e3)
        print(f"{count} events in a commit: {each_ms:.1f} ms each, {kb:.1f} kB on the disk for an event")
    began_s = time.perf_counter()
    more = prune(connection, FIRST_S + DAY_S, 10**12)
    print(f"pruned {'a thousand or more' if more else 'all'} in {time.perf_counter() - began_s:.2f} s")
    connection.close()


if __name__ == "__main__":
    main()
