"""MQTT settings -> a connection to the broker that is re-established whenever it ends, by a thread of its own.

Every connection is a new session with a new paho client. Messages that paho queued in one session are never sent in
the next, so the publisher alone determines the order.
"""

from __future__ import annotations

import ipaddress
import logging
import os
import queue
import re
import ssl
import stat
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from socket import gethostname
from typing import Any

from edge.runtime.machine import machine_id

PASSWORD = "SELD_EDGE_MQTT_PASSWORD"
USER = "SELD_EDGE_MQTT_USER"
MAX_IN_FLIGHT = 100  # messages that the broker has not acknowledged yet
CONNECT_TIMEOUT_S = 10.0  # for the broker to accept a connection
_CHECK_S = 1.0  # between two checks that paho's thread is running
MIN_DELAY_S, MAX_DELAY_S = 1.0, 60.0  # between two attempts to connect; the delay doubles after each failure

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class MqttSettings:
    """The broker, the login, and what is published.

    The environment variables SELD_EDGE_MQTT_USER and SELD_EDGE_MQTT_PASSWORD may give user and password instead. With
    TLS, the certificate of the broker is always checked.
    """

    host: str = "localhost"  # name or address of the broker
    port: int | None = None  # 1 to 65535; by default 1883, or 8883 with TLS
    tls: bool = False  # encrypt the connection
    ca_file: str | None = None  # PEM file with the certificate authorities to trust; by default those of the system
    user: str | None = None  # user name at the broker; by default none, which logs in anonymously
    password_file: str | None = None  # file whose first line is the password
    # 1 to 100 letters, digits, _ or -; also the name of the device in Home Assistant; by default seld-edge-HOSTNAME-ID,
    # ID being 8 digits made of the machine id and the serial number of the board
    client_id: str | None = None
    prefix: str | None = None  # first levels of all topics except those of discovery; by default seld-edge/HOSTNAME-ID
    keepalive_s: int = 30  # seconds without any message after which the client pings the broker, 5 to 3600
    outbox: str = "mqtt-outbox"  # folder that keeps events until the broker has acknowledged them
    # size of that folder in MB (10^6 bytes) above which the oldest events are dropped, 0.01 to 1000000
    outbox_mb: float = 16.0
    sync_s: float = 5.0  # seconds between flushes of the outbox to the disk, 0 to 3600: what a power cut may lose
    off_delay_s: float = 2.0  # seconds of silence after which a class is no longer active, 0.2 to 3600
    # seconds between messages of health and all states, 1 to 1000000; 0 sends no health, and states when they change.
    # After three such times without a message, Home Assistant shows the states as unavailable.
    health_s: float = 60.0
    live: bool = False  # publish what sounds, each label frame: ten messages a second, with QoS 0
    home_assistant: bool = True  # announce the device to Home Assistant
    discovery_prefix: str = "homeassistant"  # first level of the topics under which Home Assistant discovers devices

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
        """The port, or the default one of MQTT."""
        return self.port or (8883 if self.tls else 1883)

    @property
    def node(self) -> str:
        """The client id, or the default one; it identifies the device in Home Assistant."""
        return self.client_id or f"seld-edge-{_host_id()}"

    @property
    def topic_prefix(self) -> str:
        """The topic prefix, or the default one."""
        return self.prefix or f"seld-edge/{_host_id()}"


@dataclass(slots=True)
class Session:
    """One connection that the broker accepted."""

    client: Any  # paho's
    acknowledged: queue.SimpleQueue[int] = field(default_factory=queue.SimpleQueue)  # ids of messages, as they arrive

    def publish(self, topic: str, payload: str, retain: bool = False, qos: int = 1) -> int:
        """Queue a message to be sent, and return its id. Never blocks."""
        return int(self.client.publish(topic, payload, qos, retain).mid)


class Link:
    """Keeps a session with the broker.

    Attributes:
        session: the current session; None while there is none.
    """

    def __init__(
        self,
        settings: MqttSettings,
        will_topic: str,
        will: str,
        changed: Callable[[], None],
        command_topic: str | None = None,
        command: Callable[[str], None] | None = None,
    ) -> None:
        """Check the settings; `start` begins to connect.

        Args:
            settings: the broker and the login.
            will_topic: topic on which the broker publishes the last will, retained, when the connection breaks.
            will: payload of the last will.
            changed: called from other threads when the session has changed or has acknowledged a message.
            command_topic: topic of commands.
            command: called from other threads with the text of a command. Retained ones are old, and are ignored.

        Raises:
            ValueError: paho-mqtt is missing, or a certificate or password file cannot be read; one line.
        """
        self._settings = settings
        self._will_topic, self._will = will_topic, will
        self._changed = changed
        self._command_topic, self._command = command_topic, command
        self._paho = load_paho()
        self._user, self._password = _credentials(settings)
        self._tls = _tls_context(settings)
        self._closing, self._ended = threading.Event(), threading.Event()
        self._problem = ""
        self.session: Session | None = None
        self._thread = threading.Thread(target=self._keep_connecting, name="mqtt-link", daemon=True)

    @property
    def alive(self) -> bool:
        """Whether the thread that connects is running. Any thread may ask."""
        return self._thread.is_alive() or self._closing.is_set()

    def start(self) -> None:
        """Begin to connect."""
        self._thread.start()

    def close(self, timeout_s: float) -> None:
        """End the session and stop connecting. After `timeout_s` seconds, a blocked connection is abandoned."""
        self._closing.set()
        self._ended.set()
        self._thread.join(timeout_s)

    def _keep_connecting(self) -> None:
        delay_s = MIN_DELAY_S
        while not self._closing.is_set():
            began_s = time.monotonic()
            try:
                self._run_session()
            except Exception as error:  # of many kinds, as from paho; the next attempt follows in any case
                self.session = None
                self._report(str(getattr(error, "strerror", None) or error))
            stable = time.monotonic() - began_s > MAX_DELAY_S
            delay_s = MIN_DELAY_S if stable else delay_s
            self._closing.wait(delay_s)
            delay_s = min(2.0 * delay_s, MAX_DELAY_S)

    def _run_session(self) -> None:
        """Run one session, from the attempt to connect to its end."""
        answer: queue.SimpleQueue[Any] = queue.SimpleQueue()
        ended = self._ended = threading.Event()
        if self._closing.is_set():
            return
        client = self._new_client()
        session = Session(client)

        def on_publish(_client: object, _data: object, mid: int, *_more: object) -> None:
            session.acknowledged.put(mid)
            self._changed()

        def on_disconnect(*_args: object) -> None:
            answer.put(None)
            ended.set()

        client.on_connect = lambda _client, _data, _flags, reason, _properties: answer.put(reason)
        client.on_publish = on_publish
        client.on_message = lambda _client, _data, message: self._take_command(message)
        client.on_disconnect = on_disconnect
        try:
            client.connect(self._settings.host, self._settings.broker_port, self._settings.keepalive_s)
            client.loop_start()
            reason = answer.get(timeout=CONNECT_TIMEOUT_S)
            if reason is None or reason.is_failure:
                self._report(f"refused: {'no answer' if reason is None else reason}")
            else:
                self._hold_session(session, ended)
        except queue.Empty:
            self._report("no answer")
        finally:
            client.disconnect()
            client.loop_stop()

    def _hold_session(self, session: Session, ended: threading.Event) -> None:
        log.info("mqtt %s: connected", self._settings.broker)
        self._problem = ""
        self.session = session
        if self._command is not None:
            session.client.subscribe(self._command_topic, 1)
        self._changed()
        while not ended.wait(_CHECK_S):
            if session.client._thread is None:  # paho's thread ended by an error, which tells nobody
                break
        self.session = None
        self._changed()
        if not self._closing.is_set():
            self._report("connection lost")

    def _take_command(self, message: Any) -> None:
        if self._command is not None and not message.retain:
            self._command(message.payload.decode(errors="replace"))

    def _new_client(self) -> Any:
        client = self._paho.Client(
            self._paho.CallbackAPIVersion.VERSION2, self._settings.node, reconnect_on_failure=False
        )
        client.max_inflight_messages_set(MAX_IN_FLIGHT)
        client.connect_timeout = CONNECT_TIMEOUT_S
        client.will_set(self._will_topic, self._will, 1, retain=True)
        if self._user is not None:
            client.username_pw_set(self._user, self._password)
        if self._tls is not None:
            client.tls_set_context(self._tls)
        return client

    def _report(self, problem: str) -> None:
        """Log a problem, unless the last logged one is the same."""
        if problem != self._problem:
            log.warning("mqtt %s: %s; events wait in %s", self._settings.broker, problem, self._settings.outbox)
        self._problem = problem


def _host_id() -> str:
    """Host name and machine id; without the latter, devices of one name would take each other's place."""
    host = re.sub(r"[^A-Za-z0-9_-]+", "-", gethostname().partition(".")[0])[:64] or "device"
    machine = machine_id()
    return f"{host}-{machine}" if machine else host


def _credentials(settings: MqttSettings) -> tuple[str | None, str | None]:
    user = settings.user or os.environ.get(USER)
    password = os.environ.get(PASSWORD)
    if settings.password_file is not None:
        path = Path(settings.password_file)
        try:
            content = path.read_text(encoding="utf-8")
            mode = stat.S_IMODE(path.stat().st_mode)
        except OSError as error:
            raise ValueError(f"mqtt: {settings.password_file}: {error.strerror}") from None
        except ValueError:
            raise ValueError(
                f"mqtt: {settings.password_file}: got bytes that are not UTF-8, wanted a password"
            ) from None
        password = content.partition("\n")[0].rstrip("\r")
        if mode & 0o007:
            log.warning("mqtt: %s: every user can read or write the password: got mode %04o, wanted 0600", path, mode)
    if password is not None and user is None:
        raise ValueError(f"mqtt: got a password without a user, wanted `user` or {USER}")
    if password is not None and not settings.tls and not _is_local(settings.host):
        log.warning("mqtt %s: the password is sent without encryption, wanted tls = true", settings.broker)
    return user, password


def _is_local(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:  # another name
        return False


def _tls_context(settings: MqttSettings) -> ssl.SSLContext | None:
    if not settings.tls:
        return None
    try:
        return ssl.create_default_context(cafile=settings.ca_file)
    except OSError as error:  # ssl.SSLError is one
        raise ValueError(
            f"mqtt: {settings.ca_file}: got no certificates, wanted a PEM file: {error.strerror or error}"
        ) from None


def load_paho() -> Any:
    """Import paho-mqtt's client. Raises ValueError where it is missing or too old."""
    try:
        from paho.mqtt import client
    except ModuleNotFoundError:
        raise ValueError("paho-mqtt is not installed: pip install paho-mqtt") from None
    if not hasattr(client, "CallbackAPIVersion"):
        raise ValueError("paho-mqtt is too old: got 1.x, wanted 2.0 or later: pip install --upgrade paho-mqtt")
    return client
