"""A real mosquitto and a subscriber, for the tests of MQTT."""

import contextlib
import json
import os
import queue
import random
import shutil
import signal
import socket
import subprocess
import time

import pytest

client = pytest.importorskip("paho.mqtt.client", reason="paho-mqtt is not installed")
MOSQUITTO = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
needs_broker = pytest.mark.skipif(MOSQUITTO is None, reason="mosquitto is not installed")


LIMIT_S = 300.0  # for what certainly happens, however busy the machine is


def free_port():
    """A port that is not in use, and that the system gives to nobody else before it is.

    Ports given to connections and to listeners at port 0 start at 32768: one of those could be taken meanwhile.
    """
    while True:
        port = random.SystemRandom().randrange(20_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def eventually(condition, timeout_s=LIMIT_S):
    end_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end_s, "it did not happen in time"
        time.sleep(0.01)


class Broker:
    """A mosquitto that can be stopped and restarted, and keeps the sessions of its clients."""

    def __init__(self, folder, *options):
        self.port = free_port()
        self._folder = folder
        lines = [
            "user root",
            "allow_anonymous true",
            f"listener {self.port} 127.0.0.1",
            "persistence true",
            f"persistence_location {folder}/",
            "max_queued_messages 0",
            *options,
        ]
        if any(line.startswith("password_file") for line in options):
            lines.remove("allow_anonymous true")
        (folder / "mosquitto.conf").write_text("\n".join(lines) + "\n")
        self._process = None

    def start(self):
        log = (self._folder / "mosquitto.log").open("a")
        command = [MOSQUITTO, "-c", str(self._folder / "mosquitto.conf")]
        with log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        eventually(self._answers)

    def stop(self):
        if self._process:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(timeout=LIMIT_S)
            self._process = None

    def _answers(self):
        try:
            socket.create_connection(("127.0.0.1", self.port), 1.0).close()
        except OSError:
            return False
        return True


class Subscriber:
    """Collects all messages of a broker in the order of their arrival, across restarts of the broker."""

    def __init__(self, port, topics="#", user=None, tls=None):
        self.messages = []
        name = f"test-{random.SystemRandom().random()}"  # its own: else it would get what another one missed
        self._client = client.Client(client.CallbackAPIVersion.VERSION2, name, clean_session=False)
        if user:
            self._client.username_pw_set(*user)
        if tls:
            self._client.tls_set(tls)
        self._client.reconnect_delay_set(1, 1)
        subscribed = queue.SimpleQueue()
        self._client.on_connect = lambda *_args: self._client.subscribe(topics, 1)
        self._client.on_subscribe = lambda *_args: subscribed.put(True)
        self._client.on_message = lambda _client, _data, message: self.messages.append(message)
        self._client.connect("localhost" if tls else "127.0.0.1", port)
        self._client.loop_start()
        subscribed.get(timeout=LIMIT_S)

    def flush(self):
        """Wait until everything has arrived that the broker has received so far."""
        topic = f"flush/{random.SystemRandom().random()}"
        self._client.publish(topic, "", 1)
        eventually(lambda: self.said(topic))

    def seqs(self):
        return [json.loads(m.payload)["seq"] for m in list(self.messages) if "/event/" in m.topic]

    def said(self, topic):
        return [m.payload.decode() for m in list(self.messages) if m.topic == topic]

    def close(self):
        self._client.disconnect()
        self._client.loop_stop()
