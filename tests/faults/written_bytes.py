"""`python -m tests.faults.written_bytes FOLDER`: what events cost on the disk, with its journal and metadata.

Events go to an event file and an outbox on an ext4 file system on a loop device, whose written sectors are counted. A
batch is what comes between two flushes, 5 s by default; all of it is acknowledged by the broker after its flush. Needs
root and a loop device.
"""

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

from edge.outputs.json_lines import JsonLinesSink
from edge.outputs.line_file import LineFileSettings
from edge.outputs.outbox import Outbox
from edge.types import Event
from tests.faults.power_cuts import make_image, mount, unmount

EVENTS = 400
SECTOR_BYTES = 512


def written_bytes(folder):
    """Bytes that were written to the device on which a folder is."""
    device = subprocess.run(
        ["findmnt", "-no", "SOURCE", str(folder)], check=True, capture_output=True, text=True
    ).stdout.strip()
    return int(Path(f"/sys/class/block/{Path(device).name}/stat").read_text().split()[6]) * SECTOR_BYTES


def cost(folder, per_batch, sinks):
    """Bytes of one event in the files, and written to the device."""
    sink = outbox = None
    if "file" in sinks:
        settings = LineFileSettings(sync_s=3600.0)
        sink = JsonLinesSink(str(folder / "events.jsonl"), lambda onset_s: datetime.now(UTC), settings)
    if "outbox" in sinks:
        outbox = Outbox(folder / "outbox", 10**7)
    before, count = written_bytes(folder), 0
    for batch in range(EVENTS // per_batch):
        for number in range(batch * per_batch, (batch + 1) * per_batch):
            event = Event("telephone", float(number), number + 0.5, 30.126, -20.0, 0.9)
            if sink is not None:
                sink.emit(event)
            if outbox is not None:
                count = outbox.append(
                    '{"class": "telephone", "onset_s": 1234.567, "offset_s": 1236.5, "azimuth_deg": 30.1}'
                )
        if sink is not None:
            sink._lines._sync_due_s = 0.0
            sink._lines._work()
        if outbox is not None:
            outbox.sync()
            outbox.acknowledge(count)
            outbox.sync()  # the next turn of the worker
    cost_bytes = (written_bytes(folder) - before) / EVENTS
    for each in (sink, outbox):
        if each is not None:
            each.close()
    return cost_bytes


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    image, disk = folder / "disk.img", folder / "disk"
    for sinks in (("file",), ("outbox",), ("file", "outbox")):
        for per_batch in (1, 5, 20):
            make_image(image)
            mount(image, disk)
            try:
                found = cost(disk, per_batch, sinks)
            finally:
                unmount(disk)
            print(f"{' and '.join(sinks)}, {per_batch} events in a flush: {found / 1000:.1f} kB per event")


if __name__ == "__main__":
    main()
