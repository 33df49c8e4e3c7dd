"""Events -> an MQTT broker, every one and in order, and the state of the device as retained messages.

The loop hands events over and goes on. A worker thread puts them into the outbox on disk, sends from there with QoS 1,
and takes them out when the broker has acknowledged them: what was not is sent again in the next session. `seq` in a
message is the number in the outbox: it rises by one from event to event over all runs, so a gap shows what was dropped.
After a power cut the numbers of the last `sync_s` seconds may be given again. Who subscribes with QoS 1 may see an
event twice, never out of order but for that.

Topics: see `edge/outputs/home_assistant.py`. States are not kept: the last one
of each topic is told at the start of a session.
"""

from __future__ import annotations

import json
import logging
import queue
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from edge.events.records import When, event_line
from edge.outputs.home_assistant import (
    EVENT_TYPE,
    OFF,
    OFFLINE,
    ON,
    ONLINE,
    Topics,
    discovery,
    discovery_topic,
    slug_of,
    slugs_of,
)
from edge.outputs.mqtt_link import WINDOW, Link, MqttSettings, Session
from edge.outputs.outbox import Entry, Outbox
from edge.types import Event, FrameRow

QUEUED_EVENTS = 1000  # between the loop and the worker
CLOSE_S = 5.0  # in which what waits may still be sent at the end
_TURN_S = 0.25  # between looks at the time

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Listener:
    """Who listens: what a receiver of events may want to know beside them."""

    model: str = ""
    array: str = ""
    class_names: tuple[str, ...] = ()
    health: Callable[[], Mapping[str, object]] | None = None  # counts of the run, now; called from other threads


class MqttSink:
    """Sends events to a broker. `emit` never blocks, whatever becomes of the broker, the network or the disk."""

    def __init__(self, settings: MqttSettings, when: When | None, listener: Listener) -> None:
        """Raises ValueError if paho or a file of the settings is missing, SinkError if the outbox cannot be opened."""
        self._settings = settings
        self._when = when
        self._listener = listener
        self._topics = Topics(settings.topic_prefix)
        self._slugs = slugs_of(listener.class_names)
        self._queue: queue.Queue[str] = queue.Queue(QUEUED_EVENTS)
        self._overflowed = 0
        self._heard_s: dict[int, float] = {}  # by class, when it was last active
        self._states: dict[str, str] = {}  # retained messages by topic, as they were last sent in this session
        self._health_due_s = 0.0
        self._sync_due_s = 0.0
        self._session: Session | None = None
        self._under_way: dict[int, int] = {}  # number in the outbox by message id, in the order of sending
        self._sent = 0  # last number that was sent in this session
        self._wake, self._closing = threading.Event(), threading.Event()
        self._outbox = Outbox(Path(settings.outbox), round(settings.outbox_mb * 1e6))
        try:
            self._link = Link(settings, self._topics.availability, OFFLINE, self._wake.set)
        except ValueError:
            self._outbox.close()
            raise
        self._worker = threading.Thread(target=self._work, name="mqtt", daemon=True)
        self._worker.start()

    @property
    def dropped(self) -> int:
        """Events that will not be sent."""
        return self._overflowed + self._outbox.dropped

    def emit(self, item: Event | FrameRow) -> None:
        """Hand over an event to be sent; a row says that its class is active."""
        if isinstance(item, FrameRow):
            self._heard_s[item.class_index] = time.monotonic()
        else:
            try:
                self._queue.put_nowait(event_line(item, self._when))
            except queue.Full:
                self._overflowed += 1
        self._wake.set()

    def close(self) -> None:
        """Send what waits if the broker takes it within CLOSE_S, say that the device is offline, keep the rest."""
        if not self._closing.is_set():
            self._closing.set()
            self._wake.set()
            self._worker.join()

    def _work(self) -> None:
        while not self._closing.is_set():
            self._wake.wait(_TURN_S)
            self._wake.clear()
            self._turn()
        self._heard_s.clear()
        end_s = time.monotonic() + CLOSE_S
        self._turn()
        while self._outbox.waiting and time.monotonic() < end_s:
            self._wake.wait(_TURN_S)
            self._wake.clear()
            self._turn()
        if self._session is not None:
            self._farewell(self._session, end_s)
        self._link.close(max(1.0, end_s - time.monotonic()))
        if self._outbox.waiting:
            log.warning(
                "mqtt %s: %d events wait in %s", self._settings.broker, self._outbox.waiting, self._settings.outbox
            )
        self._outbox.close()

    def _turn(self) -> None:
        """Everything there is to do now."""
        while not self._queue.empty():
            self._outbox.append(self._queue.get_nowait())
        self._take_acknowledged()
        now_s = time.monotonic()
        if now_s >= self._sync_due_s:
            self._outbox.sync()
            self._sync_due_s = now_s + self._settings.sync_s
        if self._session is not self._link.session:
            self._session = self._link.session
            self._begin_session()
        if self._session is not None:
            self._tell_states(self._session, now_s)
            self._send(self._session)

    def _take_acknowledged(self) -> None:
        if self._session is None or self._session.acknowledged.empty():
            return
        while not self._session.acknowledged.empty():
            self._under_way.pop(self._session.acknowledged.get_nowait(), None)
        self._outbox.acknowledge(next(iter(self._under_way.values()), self._sent + 1) - 1)

    def _begin_session(self) -> None:
        self._under_way.clear()
        self._sent = self._outbox.acknowledged
        self._states.clear()
        self._health_due_s = 0.0

    def _send(self, session: Session) -> None:
        for entry in self._outbox.pending(self._sent, WINDOW - len(self._under_way)):
            topic, payload = self._message(entry)
            self._under_way[session.publish(topic, payload)] = entry.number
            self._sent = entry.number

    def _message(self, entry: Entry) -> tuple[str, str]:
        record = json.loads(entry.text)
        name = record["class"]
        slug = self._slugs.get(name) or slug_of(name) or "other"
        message = {"event_type": EVENT_TYPE, "seq": entry.number, **record}
        return self._topics.event(slug), json.dumps(message, ensure_ascii=False)

    def _tell_states(self, session: Session, now_s: float) -> None:
        """What has changed since it was last told; all of it in a new session."""
        settings, listener = self._settings, self._listener
        if not self._states:
            announced = ""
            if settings.home_assistant:
                table = discovery(settings.node, self._topics, listener.class_names, listener.model, listener.array)
                announced = json.dumps(table, ensure_ascii=False)
            self._tell(session, discovery_topic(settings.discovery_prefix, settings.node), announced)
            self._tell(session, self._topics.availability, ONLINE)
        for index, slug in enumerate(self._slugs.values()):
            active = now_s - self._heard_s.get(index, -1e9) < settings.off_delay_s
            self._tell(session, self._topics.active(slug), ON if active else OFF)
        if listener.health is not None and settings.health_s and now_s >= self._health_due_s:
            self._health_due_s = now_s + settings.health_s
            self._tell(session, self._topics.health, json.dumps(dict(listener.health())))

    def _tell(self, session: Session, topic: str, payload: str) -> None:
        if self._states.get(topic) != payload:
            session.publish(topic, payload, retain=True)
            self._states[topic] = payload

    def _farewell(self, session: Session, end_s: float) -> None:
        goodbye = session.publish(self._topics.availability, OFFLINE, retain=True)
        while (left_s := end_s - time.monotonic()) > 0.0 and self._link.session is session:
            try:
                if session.acknowledged.get(timeout=min(left_s, _TURN_S)) == goodbye:
                    return
            except queue.Empty:
                continue
