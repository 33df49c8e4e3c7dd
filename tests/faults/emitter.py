"""Numbered events -> an event file, an outbox and a history, and a pipe that says which were taken.

`writer(folder, say)` is the loop; `forked` runs it in a child process, so that a test may kill it.
"""

from __future__ import annotations

import itertools
import os
import random
import signal
import time
from datetime import UTC, datetime

from edge.outputs.device_info import DeviceInfo
from edge.outputs.history import HistorySink
from edge.outputs.history_settings import HistorySettings
from edge.outputs.json_lines import JsonLinesSink
from edge.outputs.line_file import LineFileSettings
from edge.outputs.mqtt import MqttSink
from edge.outputs.mqtt_link import MqttSettings
from edge.types import Event


def write_events(folder, first, pipe, sync_s, pause_s):
    """Emit events with numbers from `first` on, for ever. The pipe is told each after it was emitted."""
    sinks = [
        JsonLinesSink(f"{folder}/events.jsonl", lambda onset_s: datetime.now(UTC), LineFileSettings(sync_s=sync_s)),
        MqttSink(
            MqttSettings("127.0.0.1", 1, outbox=f"{folder}/outbox", outbox_mb=100.0, sync_s=sync_s), None, DeviceInfo()
        ),
    ]
    if pause_s:  # as fast as it goes, a history would drop what it cannot commit
        sinks.append(
            HistorySink(HistorySettings(f"{folder}/history.db", sync_s=sync_s), lambda onset_s: datetime.now(UTC))
        )
    for number in itertools.count(first):
        for sink in sinks:
            sink.emit(Event("bell", float(number), number + 0.5, 30.0, -20.0, 0.9))
        os.write(pipe, f"{number} {time.time()}\n".encode())
        if pause_s:
            time.sleep(random.random() * 2 * pause_s)


def forked(folder, first, sync_s=5.0, pause_s=0.0):
    """Start a process that emits. Returns its id and the end of the pipe to read from."""
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(read_end)
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, 2)
            write_events(folder, first, write_end, sync_s, pause_s)
        finally:
            os._exit(1)
    os.close(write_end)
    return pid, read_end


def kill(pid):
    """End a process of `forked`, which ends all its threads at whatever they do."""
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
