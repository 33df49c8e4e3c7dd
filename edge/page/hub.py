"""Messages of the run -> every open page, as server-sent events.

https://html.spec.whatwg.org/multipage/server-sent-events.html. A page that reads too slowly loses messages;
`edge/page/server.py` closes one that reads nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable

from starlette.types import Receive, Scope, Send

QUEUED = 50  # messages that wait for a page: five seconds
BEAT_S = 10.0  # between two signs of life, so that a page can tell a pause from a broken connection

_HEADERS = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store"), (b"x-accel-buffering", b"no")]
_BEAT = b": beat\n\n"
_END = b": end\n\n"

log = logging.getLogger(__name__)


class Hub:
    """The open pages.

    Attributes:
        dropped: messages that slow pages lost.
    """

    def __init__(self, most: int, first: Callable[[], list[bytes]], changed: Callable[[int], None]) -> None:
        """Begin without pages.

        Args:
            most: pages that may be open at a time.
            first: gives the messages that a page gets when it opens.
            changed: is told the number of open pages when it changes.
        """
        self._most, self._first, self._changed = most, first, changed
        self._writers: dict[asyncio.Queue[bytes], asyncio.Task[None]] = {}
        self.dropped = 0

    @property
    def full(self) -> bool:
        """Whether no more pages may open."""
        return len(self._writers) >= self._most

    def send(self, message: bytes) -> None:
        """Hand a message to every page. Never waits."""
        for queue in self._writers:
            try:
                queue.put_nowait(message)
            except asyncio.QueueFull:
                self.dropped += 1

    def close(self) -> None:
        """End all streams, each after the messages that wait for it."""
        for queue, writer in self._writers.items():
            if queue.full():
                writer.cancel()
            else:
                queue.put_nowait(_END)

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request with a stream that ends when the page goes away (ASGI application)."""
        queue: asyncio.Queue[bytes] = asyncio.Queue(QUEUED)
        for message in self._first():
            queue.put_nowait(message)
        self._writers[queue] = writer = asyncio.create_task(_write(queue, send))
        self._changed(len(self._writers))
        gone = asyncio.create_task(_gone(receive))
        try:
            await asyncio.wait({writer, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            del self._writers[queue]
            self._changed(len(self._writers))
            for task in (writer, gone):
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, OSError):  # a page may break off anyhow
                    await task


def event(kind: str, data: bytes) -> bytes:
    """Format a message: its kind, and one line of JSON."""
    return b"event: %s\ndata: %s\n\n" % (kind.encode(), data)


async def _write(queue: asyncio.Queue[bytes], send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
    body = b""
    while not body.endswith(_END):
        try:
            async with asyncio.timeout(BEAT_S):
                body = await queue.get()
        except TimeoutError:
            body = _BEAT
        while not queue.empty():  # one write for all that waits
            body += queue.get_nowait()
        await send({"type": "http.response.body", "body": body, "more_body": not body.endswith(_END)})


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
