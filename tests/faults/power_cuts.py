"""`python -m tests.faults.power_cuts FOLDER CUTS`: the power fails at random moments, and only late events are lost.

A process writes events to an ext4 file system on a loop device. Its image is copied while it writes: that is what the
disk holds if the power fails at this moment, as what the kernel has not written yet is not in it. The copy is mounted,
which replays its journal, and read as the next start would read it. Needs root and a loop device.

A copy takes a moment. Only one that equals a second one is used, so that it shows one state of the disk.
"""

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

from edge.outputs.history import HistorySink
from edge.outputs.history_reader import open_history
from edge.outputs.history_settings import HistorySettings
from edge.outputs.json_lines import JsonLinesSink
from edge.outputs.outbox import Outbox
from tests.faults.emitter import forked, kill

IMAGE_BYTES = 32 << 20
SYNC_S = 0.5
SLACK_S = 1.0  # for a flush to end, on a busy machine
PAUSE_S = 0.02  # mean time between two events
RUN_CUTS = 20  # cuts in one run of the writer, which has a new file system


def make_image(path):
    """Make a file with an empty ext4 file system."""
    with path.open("wb") as file:
        file.truncate(IMAGE_BYTES)
    subprocess.run(["mkfs.ext4", "-q", "-F", "-b", "4096", "-J", "size=4", str(path)], check=True, capture_output=True)


def mount(image, folder):
    """Mount an image on a folder.

    Raises:
        OSError: the machine does not allow it.
    """
    folder.mkdir(exist_ok=True)
    done = subprocess.run(["mount", "-o", "loop", str(image), str(folder)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"cannot mount an image: {done.stderr.strip()}")


def unmount(folder):
    subprocess.run(["umount", str(folder)], check=True)


def cut(image):
    """The content of an image at one moment, and the time before that moment."""
    while True:
        began_s = time.time()
        first = image.read_bytes()
        if image.read_bytes() == first:
            return first, began_s


def judge(folder, told, cut_s):
    """Compare what the disk holds with what was emitted; returns how old the youngest event is that was kept.

    Args:
        folder: the mounted copy.
        told: time of each number that was emitted.
        cut_s: time of the cut.

    Raises:
        AssertionError: an older event than promised was lost, or a line is torn.
    """
    file = folder / "events.jsonl"
    JsonLinesSink(str(file), None).close()
    outbox = Outbox(folder / "outbox", 10**8)
    waiting = [entry.text for entry in outbox.pending(0, 10**9)]
    outbox.close()
    HistorySink(HistorySettings(str(folder / "history.db")), None).close()
    assert not list(folder.glob("*.damaged-*")), "the history was set aside"
    with open_history(folder / "history.db") as history:
        stored = [round(event.onset_s) for event in history.events()]
    ages = []
    for name, numbers in (
        ("file", [round(json.loads(line)["onset_s"]) for line in file.read_bytes().splitlines()]),
        ("outbox", [round(json.loads(line)["onset_s"]) for line in waiting]),
        ("history", stored),
    ):
        assert numbers == list(range(1, len(numbers) + 1)), (name, numbers)
        lost = [at_s for number, at_s in told.items() if number > len(numbers) and at_s < cut_s]
        age_s = cut_s - min(lost, default=cut_s)
        assert age_s <= SYNC_S + SLACK_S, f"{name}: lost an event {age_s:.2f} s old"
        ages.append(age_s)
    return max(ages)


def cut_often(folder, cuts):
    """Cut the power; returns the age of the oldest lost event for each cut, and how many tails had to be mended."""
    disk, copy, disk_image, copy_image = (folder / name for name in ("disk", "copy", "disk.img", "copy.img"))
    ages = []
    while len(ages) < cuts:
        make_image(disk_image)
        mount(disk_image, disk)
        pid, pipe = forked(disk, 1, SYNC_S, PAUSE_S)
        os.set_blocking(pipe, False)
        told, rest = {}, b""
        try:
            time.sleep(2 * SYNC_S + SLACK_S)  # the first events are on the disk
            for _ in range(min(RUN_CUTS, cuts - len(ages))):
                time.sleep(random.random() * 2 * SYNC_S)
                content, cut_s = cut(disk_image)
                rest += os.read(pipe, 1 << 20)
                *lines, rest = rest.split(b"\n")
                told |= {int(number): float(at_s) for number, at_s in map(bytes.split, lines)}
                copy_image.write_bytes(content)
                mount(copy_image, copy)
                try:
                    ages.append(judge(copy, told, cut_s))
                finally:
                    unmount(copy)
        finally:
            kill(pid)
            os.close(pipe)
            unmount(disk)
    return ages


def main():
    folder, cuts = Path(sys.argv[1]), int(sys.argv[2])
    folder.mkdir(parents=True, exist_ok=True)
    ages = sorted(cut_often(folder, cuts))
    print(
        f"{len(ages)} power cuts, flushes every {SYNC_S} s: the oldest lost event was {ages[-1]:.2f} s old, "
        f"in the median {ages[len(ages) // 2]:.2f} s; no torn line"
    )


if __name__ == "__main__":
    main()
