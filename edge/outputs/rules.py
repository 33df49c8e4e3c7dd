"""Live frames -> actions: what is done when a class sounds, in a sector, for some time, at a time of day.

A rule looks at each event while it lasts, and acts once for an event, as soon as all its conditions hold. Actions run
in a thread of their own, one after the other; those that do not fit into its queue are counted as dropped.
"""

from __future__ import annotations

import json
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, time
from functools import partial
from typing import Any

from edge.events.records import When, event_record
from edge.outputs.actions import ActionError, notifier, notify, post, run_command
from edge.outputs.worker import Worker
from edge.types import Event, EventUpdate, Item, LiveFrame

MAX_WAITING = 20  # actions; with more, something is wrong with them
_WAKE_INTERVAL_S = 5.0
_ROUNDING_S = 1e-6

Publish = Callable[[str, str], None]
"""Publishes a message: topic, payload."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class QuietSettings:
    """Quiet hours, in which only rules act that say so."""

    hours: tuple[str, str] | None = None  # begin and end in local time; [22:00, 07:00] is over midnight

    def __post_init__(self) -> None:
        if self.hours is not None:
            check_hours("hours", self.hours)


@dataclass(frozen=True, slots=True)
class RuleSettings:
    """What is done when something sounds. A condition that is not set always holds."""

    name: str  # for the log
    classes: tuple[str, ...] = ()  # the class is one of these
    sectors: tuple[str, ...] = ()  # the direction lies in one of these
    min_score: float = 0.0  # the class probability is at least this, 0 to 1
    min_duration_s: float = 0.3  # the event has lasted this long, 0 to 3600
    hours: tuple[str, str] | None = None  # the local time is between these; [22:00, 07:00] is over midnight
    pause_s: float = 0.0  # the rule has not acted for this long, 0 to 86400
    in_quiet_hours: bool = False  # whether the rule acts in the hours of [quiet], too
    command: tuple[str, ...] = ()  # program and its arguments, run without a shell; the event comes on stdin as JSON
    webhook: str | None = None  # http or https address to which the event is sent as JSON
    notify: tuple[str, ...] = ()  # addresses of services of Apprise, which get the event as a line of text
    topic: str | None = None  # MQTT topic on which the sink mqtt: publishes the event

    def __post_init__(self) -> None:
        for name, most in (("min_score", 1.0), ("min_duration_s", 3600.0), ("pause_s", 86400.0)):
            if not 0.0 <= getattr(self, name) <= most:
                raise ValueError(f"got {name} {getattr(self, name)}, wanted 0 to {most:g}")
        if self.hours is not None:
            check_hours("hours", self.hours)
        if self.webhook is not None and not self.webhook.startswith(("http://", "https://")):
            raise ValueError("got a webhook that is no http or https address, wanted one")
        if self.topic is not None and (not self.topic or set(self.topic) & set("+#\0")):
            raise ValueError(f"got topic {self.topic!r}, wanted one without wildcards")
        if not (self.command or self.webhook or self.notify or self.topic):
            raise ValueError(f"got no action in rule {self.name!r}, wanted command, webhook, notify or topic")


def check_hours(name: str, hours: Sequence[str]) -> None:
    """Check a begin and an end. Raises ValueError."""
    try:
        for text in hours:
            time.fromisoformat(text)
    except ValueError:
        raise ValueError(f"got {name} {list(hours)}, wanted two times such as 22:00") from None


def within(hours: Sequence[str], now: time) -> bool:
    """Say whether a time of day lies between two, the second one excluded; over midnight if the first one is later."""
    begin, end = map(time.fromisoformat, hours)
    return begin <= now < end if begin <= end else now >= begin or now < end


def check_rules(rules: Sequence[RuleSettings], class_names: Sequence[str], sectors: Sequence[str]) -> None:
    """Check that rules name what there is.

    Args:
        rules: Conditions and actions.
        class_names: Names that events may have.
        sectors: Parts of the room from which events come.

    Raises:
        ValueError: A rule names a class or a sector that is never heard.
    """
    for rule in rules:
        for key, named, known in (("classes", rule.classes, class_names), ("sectors", rule.sectors, sectors)):
            for name in named:
                if name not in known:
                    wanted = ", ".join(known) or f"no {key}: there are none"
                    raise ValueError(f"rule {rule.name!r}: {key}: got {name!r}, wanted {wanted}")


class RuleSink:
    """Acts by rules. `emit` never waits for an action."""

    def __init__(
        self,
        rules: Sequence[RuleSettings],
        when: When | None,
        quiet: QuietSettings | None = None,
        publish: Publish | None = None,
        now: Callable[[], datetime] = datetime.now,
    ) -> None:
        """Check the rules and wait for events.

        Args:
            rules: Conditions and actions.
            when: Gives the time of day for seconds of a live source; None for a file.
            quiet: Quiet hours.
            publish: Publishes to MQTT; None where no sink does.
            now: Gives the local time.

        Raises:
            ValueError: A rule wants MQTT or Apprise, which is not there.
        """
        self._rules, self._when, self._quiet, self._now = tuple(rules), when, quiet or QuietSettings(), now
        self._publish = publish
        self._services: dict[int, Any] = {}
        for index, rule in enumerate(self._rules):
            if rule.topic is not None and publish is None:
                raise ValueError(f"rule {rule.name!r}: got a topic without the sink mqtt:, wanted both")
            if rule.notify:
                self._services[index] = notifier(rule.notify)
        self._done: set[tuple[int, int]] = set()  # rule and event that still sounds
        self._acted: dict[int, datetime] = {}  # rule -> when it acted last
        self._waiting: deque[tuple[int, Mapping[str, Any]]] = deque()
        self._lock = threading.Lock()
        self.dropped = 0
        self._worker = Worker("rules", self._act, _WAKE_INTERVAL_S)

    @property
    def alive(self) -> bool:
        """Whether actions are run. One that fails is logged and counted, and ends nothing."""
        return self._worker.alive

    def emit(self, item: Item) -> None:
        """Look at what sounds now; other items are ignored. Never blocks."""
        if not isinstance(item, LiveFrame):
            return
        sounding = {event.id for event in item.sources}
        self._done = {(rule, event) for rule, event in self._done if event in sounding}
        for event in item.sources:
            for index, rule in enumerate(self._rules):
                if (index, event.id) not in self._done and self._holds(index, rule, event):
                    self._done.add((index, event.id))
                    self._acted[index] = self._now()
                    self._queue(index, event_record(EventUpdate("update", event), self._when))

    def close(self) -> None:
        """Run no further action; the one that runs is waited for."""
        self._worker.close()

    def _holds(self, index: int, rule: RuleSettings, event: Event) -> bool:
        """Whether all conditions of a rule hold for an event, as far as it is known."""
        if rule.classes and event.name not in rule.classes:
            return False
        if rule.sectors and event.sector not in rule.sectors:
            return False
        if event.score < rule.min_score or event.offset_s - event.onset_s < rule.min_duration_s - _ROUNDING_S:
            return False
        now = self._now()
        if rule.hours is not None and not within(rule.hours, now.time()):
            return False
        if self._quiet.hours is not None and not rule.in_quiet_hours and within(self._quiet.hours, now.time()):
            return False
        last = self._acted.get(index)
        return last is None or (now - last).total_seconds() >= rule.pause_s

    def _queue(self, index: int, record: Mapping[str, Any]) -> None:
        with self._lock:
            if len(self._waiting) >= MAX_WAITING:
                self.dropped += 1
                return
            self._waiting.append((index, record))
        self._worker.wake()

    def _act(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    return
                index, record = self._waiting.popleft()
            for action in self._actions(index, record):
                try:
                    action()
                except ActionError as error:
                    with self._lock:
                        self.dropped += 1
                    log.warning("rule %s: %s", self._rules[index].name, error)

    def _actions(self, index: int, record: Mapping[str, Any]) -> Iterator[Callable[[], None]]:
        rule = self._rules[index]
        if rule.command:
            yield partial(run_command, rule.command, record)
        if rule.webhook is not None:
            yield partial(post, rule.webhook, record)
        if rule.notify:
            yield partial(notify, self._services[index], record)
        if rule.topic is not None and self._publish is not None:
            yield partial(self._publish, rule.topic, json.dumps(dict(record), ensure_ascii=False))
