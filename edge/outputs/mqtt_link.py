"""MQTT settings -> a connection to the broker that is made again and again, in a thread of its own.

Every connection is a new session with a client of its own: nothing that paho queued for one is sent in the next, so
that whoever publishes knows the order.
"""

from __future__ import annotations

import logging
import os
import queue
import re
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from socket import gethostname
from typing import Any

PASSWORD = "SELD_EDGE_MQTT_PASSWORD"
USER = "SELD_EDGE_MQTT_USER"
WINDOW = 100  # messages under way at most
ANSWER_S = 10.0  # that a broker has to accept a connection
SHORTEST_S, LONGEST_S = 1.0, 60.0  # between two attempts to connect

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class MqttSettings:
    """Which broker, as whom, and what is told. Certificates are always checked where TLS is on.

    User and password may be in the environment instead, as SELD_EDGE_MQTT_USER and SELD_EDGE_MQTT_PASSWORD.
    """

    host: str = "localhost"
    port: int | None = None  # 1883, or 8883 with TLS
    tls: bool = False
    ca_file: str | None = None  # PEM; None: the system's authorities
    user: str | None = None
    password_file: str | None = None  # its first line
    client_id: str | None = None  # seld-edge-HOSTNAME; also the name in Home Assistant
    prefix: str | None = None  # of all topics but those of discovery; seld-edge/HOSTNAME
    keepalive_s: int = 30
    outbox: str = "mqtt-outbox"  # folder of events that wait for the broker
    outbox_mb: float = 16.0  # when it is full, the oldest events go
    sync_s: float = 5.0  # of events that a power cut may take; a killed process loses none
    off_delay_s: float = 2.0  # of silence after which a class is no longer active
    health_s: float = 60.0  # between messages of health; 0: none
    home_assistant: bool = True  # announce the device
    discovery_prefix: str = "homeassistant"

    def __post_init__(self) -> None:
        if not self.host or re.search(r"[\s\0-\x1f/]", self.host):
            raise ValueError(f"got host {self.host!r}, wanted a name or an address")
        for name, least, most in (("port", 1, 65535), ("keepalive_s", 5, 3600)):
            value = getattr(self, name)
            if value is not None and not least <= value <= most:
                raise ValueError(f"got {name} {value}, wanted {least} to {most}")
        for name, lowest, highest in (("outbox_mb", 0.01, 1e6), ("sync_s", 0.0, 3600.0), ("off_delay_s", 0.2, 3600.0)):
            if not lowest <= getattr(self, name) <= highest:
                raise ValueError(f"got {name} {getattr(self, name)}, wanted {lowest:g} to {highest:g}")
        if self.health_s != 0.0 and not 1.0 <= self.health_s <= 1e6:
            raise ValueError(f"got health_s {self.health_s}, wanted 0 or 1 to 1000000")
        for name in ("prefix", "discovery_prefix"):
            value = getattr(self, name)
            if value is not None and not re.fullmatch(r"[\w .:-]+(/[\w .:-]+)*", value):
                raise ValueError(f"got {name} {value!r}, wanted a topic without wildcards and without / at its ends")
        if self.client_id is not None and not re.fullmatch(r"[A-Za-z0-9_-]{1,100}", self.client_id):
            raise ValueError(f"got client_id {self.client_id!r}, wanted 1 to 100 letters, digits, _ or -")
        for name in ("user", "ca_file", "password_file", "outbox"):
            if getattr(self, name) == "":
                raise ValueError(f"got an empty {name}, wanted one or none")
        if self.ca_file is not None and not self.tls:
            raise ValueError("got a ca_file without tls, wanted tls = true")

    @property
    def broker(self) -> str:
        """Host and port."""
        return f"{self.host}:{self.broker_port}"

    @property
    def broker_port(self) -> int:
        """The port, or the usual one."""
        return self.port or (8883 if self.tls else 1883)

    @property
    def node(self) -> str:
        """The client id, or the usual one."""
        return self.client_id or f"seld-edge-{_host_id()}"

    @property
    def topic_prefix(self) -> str:
        """The prefix, or the usual one."""
        return self.prefix or f"seld-edge/{_host_id()}"


@dataclass(slots=True)
class Session:
    """One connection that the broker accepted. `acknowledged` gives the ids of messages that it has taken."""

    client: Any
    acknowledged: queue.SimpleQueue[int] = field(default_factory=queue.SimpleQueue)

    def publish(self, topic: str, payload: str, retain: bool = False) -> int:
        """Send a message with QoS 1 and return its id. Never blocks."""
        return int(self.client.publish(topic, payload, 1, retain).mid)


class Link:
    """Keeps a session with the broker: `session` is the present one, None while there is none."""

    def __init__(self, settings: MqttSettings, will_topic: str, will: str, changed: Callable[[], None]) -> None:
        """Begin to connect. changed: called from other threads when there is news of the session.

        Raises ValueError, one line, if paho is missing or TLS or password files cannot be read.
        """
        self._settings = settings
        self._will_topic, self._will = will_topic, will
        self._changed = changed
        self._paho = _load_paho()
        self._user, self._password = _credentials(settings)
        self._tls = _tls_context(settings)
        self._closing, self._ended = threading.Event(), threading.Event()
        self._said = ""
        self.session: Session | None = None
        self._thread = threading.Thread(target=self._keep, name="mqtt-link", daemon=True)
        self._thread.start()

    def close(self, most_s: float) -> None:
        """End the session and the attempts. What hangs in the network is left behind after `most_s` seconds."""
        self._closing.set()
        self._ended.set()
        self._thread.join(most_s)

    def _keep(self) -> None:
        delay_s = SHORTEST_S
        while not self._closing.is_set():
            began_s = time.monotonic()
            self._serve()
            lasted = time.monotonic() - began_s > LONGEST_S
            delay_s = SHORTEST_S if lasted else delay_s
            self._closing.wait(delay_s)
            delay_s = min(2.0 * delay_s, LONGEST_S)

    def _serve(self) -> None:
        """One session, from the attempt to connect to the end."""
        answer: queue.SimpleQueue[Any] = queue.SimpleQueue()
        ended = self._ended = threading.Event()
        if self._closing.is_set():
            return
        client = self._client()
        session = Session(client)

        def on_publish(_client: object, _data: object, mid: int, *_more: object) -> None:
            session.acknowledged.put(mid)
            self._changed()

        def on_disconnect(*_args: object) -> None:
            answer.put(None)
            ended.set()

        client.on_connect = lambda _client, _data, _flags, reason, _properties: answer.put(reason)
        client.on_publish = on_publish
        client.on_disconnect = on_disconnect
        try:
            client.connect(self._settings.host, self._settings.broker_port, self._settings.keepalive_s)
            client.loop_start()
            reason = answer.get(timeout=ANSWER_S)
            if reason is None or reason.is_failure:
                self._say(f"refused: {'no answer' if reason is None else reason}")
            else:
                self._hold(session, ended)
        except queue.Empty:
            self._say("no answer")
        except Exception as error:  # whatever it is, it is tried again
            self._say(str(getattr(error, "strerror", None) or error))
        finally:
            client.disconnect()
            client.loop_stop()

    def _hold(self, session: Session, ended: threading.Event) -> None:
        log.info("mqtt %s: connected", self._settings.broker)
        self._said = ""
        self.session = session
        self._changed()
        ended.wait()
        self.session = None
        self._changed()
        if not self._closing.is_set():
            self._say("connection lost")

    def _client(self) -> Any:
        client = self._paho.Client(
            self._paho.CallbackAPIVersion.VERSION2, self._settings.node, reconnect_on_failure=False
        )
        client.max_inflight_messages_set(WINDOW)
        client.connect_timeout = ANSWER_S
        client.will_set(self._will_topic, self._will, 1, retain=True)
        if self._user is not None:
            client.username_pw_set(self._user, self._password)
        if self._tls is not None:
            client.tls_set_context(self._tls)
        return client

    def _say(self, what: str) -> None:
        """Say what is wrong, once until something else is."""
        if what != self._said:
            log.warning("mqtt %s: %s; events wait in %s", self._settings.broker, what, self._settings.outbox)
        self._said = what


def _host_id() -> str:
    return re.sub(r"[^A-Za-z0-9_-]+", "-", gethostname().partition(".")[0])[:64] or "device"


def _credentials(settings: MqttSettings) -> tuple[str | None, str | None]:
    user = settings.user or os.environ.get(USER)
    password = os.environ.get(PASSWORD)
    if settings.password_file is not None:
        try:
            content = Path(settings.password_file).read_text(encoding="utf-8")
        except OSError as error:
            raise ValueError(f"mqtt: {settings.password_file}: {error.strerror}") from None
        except ValueError:
            raise ValueError(
                f"mqtt: {settings.password_file}: got bytes that are no UTF-8, wanted a password"
            ) from None
        password = content.partition("\n")[0].rstrip("\r")
    if password is not None and user is None:
        raise ValueError(f"mqtt: got a password without a user, wanted `user` or {USER}")
    return user, password


def _tls_context(settings: MqttSettings) -> ssl.SSLContext | None:
    if not settings.tls:
        return None
    try:
        return ssl.create_default_context(cafile=settings.ca_file)
    except OSError as error:  # ssl.SSLError is one
        raise ValueError(f"mqtt: {settings.ca_file}: no certificates: {error.strerror or error}") from None


def _load_paho() -> Any:
    try:
        from paho.mqtt import client
    except ModuleNotFoundError:
        raise ValueError("paho-mqtt is not installed: pip install 'seld-edge[mqtt]'") from None
    if not hasattr(client, "CallbackAPIVersion"):
        raise ValueError("paho-mqtt is too old: got 1.x, wanted 2.0 or later: pip install 'seld-edge[mqtt]'")
    return client
