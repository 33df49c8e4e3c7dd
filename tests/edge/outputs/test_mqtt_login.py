"""MQTT with passwords and certificates, right and wrong, and without its package."""

import logging
import shutil
import subprocess
import sys

import pytest

import edge.outputs.mqtt
from edge.outputs.outbox import Outbox
from tests.edge.mqtt_broker import Broker, Subscriber, eventually, free_port, needs_broker
from tests.edge.outputs.mqtt_events import bell


@needs_broker
def test_a_wrong_password_is_logged_once_and_retried(tmp_path, opened, caplog, monkeypatch):
    monkeypatch.setattr(edge.outputs.mqtt, "CLOSE_S", 0.3)
    passwords = tmp_path / "passwords"
    subprocess.run(["mosquitto_passwd", "-b", "-c", str(passwords), "seld", "right"], check=True, capture_output=True)
    broker = Broker(tmp_path, f"password_file {passwords}")
    broker.start()
    wrong = tmp_path / "wrong"
    wrong.write_text("not this\n")
    wrong.chmod(0o600)
    subscriber = Subscriber(broker.port, user=("seld", "right"))
    try:
        with caplog.at_level(logging.INFO):
            sink = opened(broker.port, user="seld", password_file=str(wrong))
            for number in range(3):
                sink.emit(bell(number))
            refusals = tmp_path / "mosquitto.log"
            eventually(lambda: refusals.read_text().count("not authorised") >= 3)
        lines = [record.getMessage() for record in caplog.records]
        assert len(lines) == 1 and "refused: Not authorized; events wait in" in lines[0]
        assert "not this" not in caplog.text and subscriber.seqs() == []
        sink.close()
        wrong.write_text("right\r\n")
        opened(broker.port, user="seld", password_file=str(wrong))
        eventually(lambda: subscriber.seqs() == [1, 2, 3])
    finally:
        subscriber.close()
        broker.stop()


@needs_broker
@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_tls(tmp_path, opened, caplog):
    """A certificate that `ca_file` vouches for is accepted, another one is refused."""
    for name in ("broker", "other"):
        options = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-days", "2"]
        files = ["-keyout", f"{tmp_path}/{name}.key", "-out", f"{tmp_path}/{name}.pem"]
        command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *options, *files]
        subprocess.run(command, check=True, capture_output=True)
    broker = Broker(tmp_path, f"certfile {tmp_path}/broker.pem", f"keyfile {tmp_path}/broker.key")
    broker.start()
    subscriber = Subscriber(broker.port, tls=str(tmp_path / "broker.pem"))
    try:
        sink = opened(broker.port, host="localhost", tls=True, ca_file=str(tmp_path / "other.pem"))
        eventually(lambda: "CERTIFICATE_VERIFY_FAILED" in caplog.text)
        sink.close()
        opened(broker.port, host="localhost", tls=True, ca_file=str(tmp_path / "broker.pem")).emit(bell())
        eventually(lambda: subscriber.seqs() == [1])
    finally:
        subscriber.close()
        broker.stop()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"password_file": "/nowhere"}, "mqtt: /nowhere: No such file or directory"),
        ({"password_file": __file__}, "mqtt: got a password without a user, wanted `user` or SELD_EDGE_MQTT_USER"),
        ({"password_file": sys.executable}, "mqtt: .*: got bytes that are not UTF-8, wanted a password"),
        (
            {"tls": True, "ca_file": "/nowhere"},
            "mqtt: /nowhere: got no certificates, wanted a PEM file: No such file or directory",
        ),
        ({"tls": True, "ca_file": __file__}, "mqtt: .*: got no certificates, wanted a PEM file: .*"),
    ],
)
def test_files_that_cannot_be_used(opened, tmp_path, settings, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        opened(free_port(), **settings)
    Outbox(tmp_path / "outbox", 10**6).close()  # nobody holds it


@pytest.mark.parametrize("version", [None, object()])
def test_without_paho(opened, monkeypatch, version):
    monkeypatch.setitem(sys.modules, "paho.mqtt", None if version is None else type("paho", (), {"client": version}))
    with pytest.raises(
        ValueError, match=r"^paho-mqtt is (not installed|too old: .*): pip install (--upgrade )?paho-mqtt$"
    ):
        opened(free_port())
