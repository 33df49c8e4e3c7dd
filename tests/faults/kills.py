"""`python -m tests.faults.kills FOLDER KILLS`: a process is killed at random moments, and no event is lost.

Each event that `emit` has taken has to be in the file and in the outbox, once and in order.
"""

import json
import os
import random
import sys
import time
from pathlib import Path

from edge.outputs.json_lines import JsonLinesSink
from edge.outputs.outbox import Outbox
from tests.faults.emitter import forked, kill


def kill_often(folder, kills):
    """Emit and kill, again and again, in the same folder. Returns the number of events that were taken.

    Raises:
        AssertionError: one was lost, repeated, torn or out of order.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file, following, taken = folder / "events.jsonl", 1, 0
    for _ in range(kills):
        pid, pipe = forked(folder, following)
        told = os.read(pipe, 65536)  # it has begun
        time.sleep(random.random() * 0.05)
        kill(pid)
        with os.fdopen(pipe, "rb") as rest:
            told += rest.read()
        last = int(told.splitlines()[-1].split()[0])
        taken += last - following + 1
        JsonLinesSink(str(file), None).close()
        outbox = Outbox(folder / "outbox", 10**8)
        waiting = [entry.text for entry in outbox.pending(0, 10**9)]
        outbox.acknowledge(outbox.acknowledged + outbox.waiting)
        outbox.close()
        for name, found in (("file", file.read_bytes().splitlines()), ("outbox", waiting)):
            numbers = [round(json.loads(line)["onset_s"]) for line in found]
            # between `emit` and its report, an event is there that nobody was told of
            assert numbers in (list(range(following, last + 1)), list(range(following, last + 2))), (name, numbers)
        file.unlink()
        following = last + 2
    return taken


if __name__ == "__main__":
    print(kill_often(Path(sys.argv[1]), int(sys.argv[2])))
