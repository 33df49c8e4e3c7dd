"""Events and label-frame rows -> an MQTT broker: every event in order, and the device's state as retained messages.

`emit` puts an event into the outbox on disk. A worker thread sends it from there with QoS 1 and acknowledges it when
the broker has; what the broker has not acknowledged is sent again in the next session. `seq` in a message is the
number of the event in the outbox. It rises by one from event to event over all runs, so a gap shows dropped events; a
power cut may cause the numbers of the last `sync_s` seconds to be used again. A subscriber with QoS 1 may receive an
event twice, and apart from such repetitions in order. No error ends the worker: it logs the error and goes on, and
`alive` says whether it succeeds.

Updates of events that are not over, and the live stream, are worth nothing later: what comes while there is no
connection is not sent.

Topics: see `edge/outputs/home_assistant.py`. States are not stored: the latest one of each topic is published at the
start of a session, when it changes, and with every health message.
"""

from __future__ import annotations

import json
import logging
import queue
import time
from collections import deque
from pathlib import Path
from typing import Any

from edge.events.live_text import LiveText
from edge.events.records import When, event_line, event_record
from edge.events.unknown import UNKNOWN
from edge.outputs.device_info import DeviceInfo
from edge.outputs.home_assistant import (
    OFF,
    OFFLINE,
    ON,
    ONLINE,
    Topics,
    discovery,
    discovery_topic,
    event_type,
    slug_of,
    slugs_of,
)
from edge.outputs.mqtt_link import MAX_IN_FLIGHT, Link, MqttSettings, Session
from edge.outputs.outbox import Outbox
from edge.outputs.outbox_lines import Entry
from edge.outputs.worker import EARLY_S, Worker, turn_s
from edge.types import Event, EventUpdate, FrameRow, Item, LiveFrame

EXPIRY_HEALTH_MESSAGES = 3  # so many missing ones, and Home Assistant shows the states as unavailable
CLOSE_S = 5.0  # how long waiting events may still be sent after `close`
_MAX_UPDATES = 100  # messages of updates and of the live stream that wait to be sent; older ones are dropped
_DIRECTION = (
    "azimuth_deg",
    "elevation_deg",
    "sector",
    "score",
    "time",
    "id",
)  # fields of a record that tell of a direction
_WAKE_INTERVAL_S = 0.25  # longest time between two turns of the worker
_CLOSE_INTERVAL_S = 0.02  # between two turns after `close`

log = logging.getLogger(__name__)


class MqttSink:
    """Sends events to a broker. `emit` never waits for the broker, the network or a flush of the disk."""

    def __init__(
        self, settings: MqttSettings, when: When | None, device: DeviceInfo, live: LiveText | None = None
    ) -> None:
        """Open the outbox and begin to connect.

        Args:
            settings: the broker, and what is published.
            when: gives the time of day for seconds of a live source; None for a file.
            device: what is announced about this device.
            live: formats the live stream, where the settings ask for it.

        Raises:
            ValueError: paho-mqtt is not installed, or a file that the settings name cannot be used.
            SinkError: the outbox cannot be used. If the disk is full or read-only, events wait in memory instead.
        """
        self._settings = settings
        self._when = when
        self._device = device
        self._live = live if settings.live else None
        self._topics = Topics(settings.topic_prefix)
        self._slugs = slugs_of(device.class_names)
        self._active_s: dict[int, float] = {}  # class index -> monotonic time at which it was last active
        self._directions: dict[str, str] = {}  # slug -> direction message
        self._updates: deque[tuple[str, str, int]] = deque(maxlen=_MAX_UPDATES)  # topic, payload and QoS
        self._published: dict[str, str] = {}  # topic -> last retained message of this session
        self._health_due_s = 0.0
        self._sync_due_s = 0.0
        self._session: Session | None = None
        self._in_flight: dict[int, int] = {}  # message id -> number in the outbox, in the order of sending
        self._sent = 0  # last number that was sent in this session
        self._closed = False
        self._skipped = 0  # entries of the outbox that are no events
        self._link = Link(
            settings,
            self._topics.availability,
            OFFLINE,
            lambda: self._worker.wake(),
            self._topics.listening_command,
            None if device.pause is None else self._take_command,
        )
        self._outbox = Outbox(Path(settings.outbox), round(settings.outbox_mb * 1e6))
        self._worker = Worker(f"mqtt {settings.broker}", self._process, _WAKE_INTERVAL_S)
        # in a thread of its own, so that a card that stalls does not hold up what is sent
        self._syncer = Worker(f"outbox {settings.outbox}", self._sync, turn_s(settings.sync_s))
        self._link.start()

    @property
    def dropped(self) -> int:
        """Number of events that will not be sent."""
        return self._outbox.dropped + self._skipped

    @property
    def alive(self) -> bool:
        """Whether events are still being sent, or wait for a broker that cannot be reached."""
        return self._worker.alive and self._syncer.alive and self._link.alive

    def emit(self, item: Item) -> None:
        """Put an event into the outbox, where it survives the end of the process; others change states of its class."""
        if isinstance(item, FrameRow):
            self._active_s[item.class_index] = time.monotonic()
        elif isinstance(item, Event):
            self._outbox.append(event_line(item, self._when))
            if not self._settings.sync_s:
                self._syncer.wake()
        elif isinstance(item, EventUpdate):
            self._take_update(item)
        elif not self._take_live(item):
            return
        self._worker.wake()

    def _take_live(self, item: LiveFrame) -> bool:
        """Send it where that is wanted, and note a sound without a class, which has no rows; say if there is news."""
        unknown = any(event.name == UNKNOWN for event in item.sources)
        if unknown:
            self._set_active(UNKNOWN)
        if self._live is not None:
            self._updates.append((self._topics.live, self._live(item).rstrip("\n"), 0))
        return unknown or self._live is not None

    def _take_update(self, item: EventUpdate) -> None:
        record = event_record(item, self._when)
        slug = self._slug(item.event.name)
        self._updates.append((self._topics.update(slug), json.dumps(record, ensure_ascii=False), 1))
        if item.phase != "discarded":
            self._directions[slug] = json.dumps({name: record[name] for name in _DIRECTION})
            self._set_active(item.event.name)

    def _set_active(self, name: str) -> None:
        if name in self._slugs:
            self._active_s[list(self._slugs).index(name)] = time.monotonic()

    def _take_command(self, text: str) -> None:
        if text in (ON, OFF) and self._device.pause is not None:
            self._device.pause.set(text == OFF)
            self._worker.wake()

    def _slug(self, name: str) -> str:
        """The slug of a class, of a bundle that ran before, too."""
        return self._slugs.get(name) or slug_of(name) or "other"

    def publish(self, topic: str, payload: str) -> None:
        """Send a message of another part of the program, if there is a connection; it is not kept for later."""
        self._updates.append((topic, payload, 1))
        self._worker.wake()

    def close(self) -> None:
        """Send waiting events for at most CLOSE_S, publish that the device is offline, and keep the rest."""
        if self._closed:
            return
        self._closed = True
        end_s = time.monotonic() + CLOSE_S
        if self._worker.close():
            try:
                self._send_rest(end_s)
            except Exception as error:  # the outbox is to be closed in any case
                log.error("mqtt %s: waiting events are not sent: %s", self._settings.broker, error)
        self._link.close(max(1.0, end_s - time.monotonic()))
        if waiting := self._outbox.waiting:
            log.warning("mqtt %s: %d events wait in %s", self._settings.broker, waiting, self._settings.outbox)
        if self._syncer.close():
            self._outbox.close()
        else:
            log.error("outbox %s: the disk does not answer; the last events may be lost", self._settings.outbox)

    def _send_rest(self, end_s: float) -> None:
        self._active_s.clear()
        self._process()
        while self._outbox.waiting and time.monotonic() < end_s:
            time.sleep(_CLOSE_INTERVAL_S)
            self._process()
        if self._session is not None:
            self._publish_offline(self._session, end_s)

    def _sync(self) -> None:
        """Flush the outbox if that is due; otherwise, write what waits in memory."""
        now_s = time.monotonic()
        if now_s < self._sync_due_s:
            self._outbox.retry()
            return
        self._sync_due_s = now_s + self._settings.sync_s - EARLY_S
        self._outbox.sync()

    def _process(self) -> None:
        """Do everything that is due."""
        self._process_acknowledgements()
        if self._session is not self._link.session:
            self._session = self._link.session
            self._begin_session()
        if self._session is not None:
            self._publish_states(self._session, time.monotonic())
            while self._updates:
                topic, payload, qos = self._updates.popleft()
                self._session.publish(topic, payload, qos=qos)
            self._send_events(self._session)
        else:
            self._updates.clear()

    def _process_acknowledgements(self) -> None:
        if self._session is None or self._session.acknowledged.empty():
            return
        while not self._session.acknowledged.empty():
            self._in_flight.pop(self._session.acknowledged.get_nowait(), None)
        self._outbox.acknowledge(next(iter(self._in_flight.values()), self._sent + 1) - 1)

    def _begin_session(self) -> None:
        self._in_flight.clear()
        self._sent = self._outbox.acknowledged
        self._published.clear()
        self._health_due_s = 0.0

    def _send_events(self, session: Session) -> None:
        for entry in self._outbox.pending(self._sent, MAX_IN_FLIGHT - len(self._in_flight)):
            self._sent = entry.number
            try:
                topic, payload = self._message(entry)
            except (ValueError, KeyError, TypeError) as error:  # it would stop all that follow
                log.error(
                    "mqtt %s: skipped entry %d, which is no event: %r", self._settings.broker, entry.number, error
                )
                self._skipped += 1
                continue
            self._in_flight[session.publish(topic, payload)] = entry.number

    def _message(self, entry: Entry) -> tuple[str, str]:
        """Topic and payload of an event."""
        record: dict[str, Any] = dict(json.loads(entry.text))
        message = {"event_type": event_type(record.get("sector")), "seq": entry.number, **record}
        return self._topics.event(self._slug(record["class"])), json.dumps(message, ensure_ascii=False)

    def _publish_states(self, session: Session, now_s: float) -> None:
        """Publish the states that have changed; in a new session, all of them."""
        settings, device = self._settings, self._device
        if not self._published:
            announcement = ""
            if settings.home_assistant:
                table = discovery(
                    settings.node,
                    self._topics,
                    device.class_names,
                    device.model,
                    device.array,
                    round(EXPIRY_HEALTH_MESSAGES * settings.health_s),
                    device.sectors,
                    device.sound_level_db is not None,
                )
                announcement = json.dumps(table, ensure_ascii=False)
            self._publish_state(session, discovery_topic(settings.discovery_prefix, settings.node), announcement)
            self._publish_state(session, self._topics.availability, ONLINE)
        paused = device.pause is not None and device.pause.paused
        self._publish_state(session, self._topics.listening, OFF if paused else ON)
        repeated = bool(settings.health_s) and now_s >= self._health_due_s  # otherwise, Home Assistant forgets them
        for index, slug in enumerate(self._slugs.values()):
            active = now_s - self._active_s.get(index, -1e9) < settings.off_delay_s
            if slug in self._directions:  # before the state, so that what the state triggers finds it
                self._publish_state(session, self._topics.direction(slug), self._directions[slug])
            self._publish_state(session, self._topics.active(slug), ON if active else OFF, repeated)
        if device.sound_level_db is not None:
            self._publish_state(session, self._topics.level, str(device.sound_level_db()), repeated)
        if repeated:
            self._health_due_s = now_s + settings.health_s
            if device.health is not None:
                self._publish_state(session, self._topics.health, json.dumps(dict(device.health())), repeated)

    def _publish_state(self, session: Session, topic: str, payload: str, repeated: bool = False) -> None:
        if repeated or self._published.get(topic) != payload:
            session.publish(topic, payload, retain=True)
            self._published[topic] = payload

    def _publish_offline(self, session: Session, end_s: float) -> None:
        """Publish that the device is offline, and wait until the broker has acknowledged it."""
        message_id = session.publish(self._topics.availability, OFFLINE, retain=True)
        while (left_s := end_s - time.monotonic()) > 0.0 and self._link.session is session:
            try:
                if session.acknowledged.get(timeout=min(left_s, _WAKE_INTERVAL_S)) == message_id:
                    return
            except queue.Empty:
                continue
