"""The progress of a run -> what systemd is told: ready, alive, status, stopping.

Only progress counts as a sign of life: the watchdog is fed by label frames that went through the loop, never by time,
and not while a sink or another output is dead.
While the source waits for its device, each of its attempts counts: it yields blocks without samples meanwhile.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

from edge.runtime.pipeline import Pipeline
from edge.types import AudioBlock

STATUS_S = 10.0  # between two status lines
WATCHDOG_S = 1.0  # between two signs of life; far less than WatchdogSec of the unit

log = logging.getLogger(__name__)


def notify(state: str) -> bool:
    """Send a state to systemd, if systemd started this process and asked for it. It never waits.

    Args:
        state: such as "READY=1"; see sd_notify(3).

    Returns:
        Whether it arrived. True where nobody asked for it.
    """
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return True
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK) as channel:
            channel.sendto(state.encode(), "\0" + address[1:] if address[0] == "@" else address)
    except OSError as error:
        log.warning("cannot send %r to systemd: %s", state, error.strerror)
        return False
    return True


@contextlib.contextmanager
def thread_errors_logged() -> Iterator[None]:
    """Log an error that ends a thread as one line, inside the `with`, where Python would print a traceback."""

    def log_error(args: threading.ExceptHookArgs) -> None:
        name = "a thread" if args.thread is None else args.thread.name
        log.error("%s ended by an error: %s: %s", name, args.exc_type.__name__, args.exc_value)

    before, threading.excepthook = threading.excepthook, log_error
    try:
        yield
    finally:
        threading.excepthook = before


def supervised(
    blocks: Iterable[AudioBlock],
    pipeline: Pipeline,
    status: Callable[[], str],
    clock: Callable[[], float] = time.monotonic,
    dead: Callable[[], Sequence[str]] = tuple,
) -> Iterator[AudioBlock]:
    """Yield the same blocks, and tell systemd after each what has changed.

    READY=1 is sent with the first answer of the system, or as soon as the source waits for its device; STOPPING=1 at
    the end, however it ends.

    Args:
        blocks: on their way to the pipeline.
        pipeline: its steps are the signs of life.
        status: gives a line about the state of the run.
        clock: time in seconds.
        dead: gives the names of outputs that do not work any more; while there are any, systemd gets no sign of life
            and so restarts the service.
    """
    ready, healthy, steps = False, True, pipeline.clock.steps
    alive_s = status_s = -float("inf")
    try:
        for block in blocks:
            yield block
            now_s = clock()
            waiting = not block.lost and not len(block.samples)
            if not ready and (pipeline.answers or waiting):  # systemd would wait at boot, and end the run in the end
                ready = notify("READY=1")
            if (pipeline.clock.steps > steps or waiting) and now_s - alive_s >= WATCHDOG_S:
                steps, alive_s = pipeline.clock.steps, now_s
                if names := dead():
                    if healthy:
                        log.error("does not work: %s", ", ".join(names))
                else:
                    notify("WATCHDOG=1")
                healthy = not names
            if ready and now_s - status_s >= STATUS_S:
                status_s = now_s
                notify(f"STATUS={'waiting for the microphone; ' if waiting else ''}{status()}")
    finally:
        notify("STOPPING=1")
