"""Settings of MQTT, and environment variables that complete them."""

from pathlib import Path

import pytest

from edge.outputs import mqtt_link
from edge.outputs.mqtt_link import MqttSettings


def test_user_and_password_from_the_environment(monkeypatch, tmp_path):
    from edge.outputs.mqtt_link import _credentials

    monkeypatch.setenv("SELD_EDGE_MQTT_USER", "from-there")
    monkeypatch.setenv("SELD_EDGE_MQTT_PASSWORD", "secret")
    assert _credentials(MqttSettings()) == ("from-there", "secret")
    Path(tmp_path / "password").write_text("other")
    assert _credentials(MqttSettings(user="me", password_file=str(tmp_path / "password"))) == ("me", "other")


def test_default_values(monkeypatch):
    monkeypatch.setattr(mqtt_link, "gethostname", lambda: "pi 4.lan")
    monkeypatch.setattr(mqtt_link, "machine_id", lambda: None)
    settings = MqttSettings()
    assert (settings.broker, MqttSettings(tls=True).broker) == ("localhost:1883", "localhost:8883")
    assert (settings.node, settings.topic_prefix) == ("seld-edge-pi-4", "seld-edge/pi-4")


def test_twins_have_different_names(monkeypatch):
    """Two devices with the same host name; names that the user has set stay as they are."""
    monkeypatch.setattr(mqtt_link, "gethostname", lambda: "pi")
    for machine in ("0a1b2c3d", "ffffffff"):
        monkeypatch.setattr(mqtt_link, "machine_id", lambda machine=machine: machine)
        settings = MqttSettings()
        assert (settings.node, settings.topic_prefix) == (f"seld-edge-pi-{machine}", f"seld-edge/pi-{machine}")
        mine = MqttSettings(client_id="kitchen", prefix="home/kitchen")
        assert (mine.node, mine.topic_prefix) == ("kitchen", "home/kitchen")


@pytest.mark.parametrize(
    ("mode", "warned"), [(0o666, True), (0o644, True), (0o604, True), (0o640, False), (0o600, False), (0o400, False)]
)
def test_a_password_that_everybody_can_read_is_warned_of(tmp_path, caplog, mode, warned):
    path = tmp_path / "password"
    path.write_text("secret\n")
    path.chmod(mode)
    assert mqtt_link._credentials(MqttSettings(user="me", password_file=str(path))) == ("me", "secret")
    message = f"mqtt: {path}: every user can read or write the password: got mode {mode:04o}, wanted 0600"
    assert caplog.messages == [message] * warned


@pytest.mark.parametrize(
    ("settings", "warned"),
    [
        ({"host": "broker.lan"}, True),
        ({"host": "192.168.1.2"}, True),
        ({"host": "broker.lan", "tls": True}, False),
        ({"host": "localhost"}, False),
        ({"host": "127.0.0.1"}, False),
        ({"host": "::1"}, False),
    ],
)
def test_a_password_over_the_network_without_tls_is_warned_of(monkeypatch, caplog, settings, warned):
    monkeypatch.setenv("SELD_EDGE_MQTT_PASSWORD", "secret")
    settings = MqttSettings(user="me", **settings)
    mqtt_link._credentials(settings)
    message = f"mqtt {settings.broker}: the password is sent without encryption, wanted tls = true"
    assert caplog.messages == [message] * warned and "secret" not in caplog.text
    monkeypatch.delenv("SELD_EDGE_MQTT_PASSWORD")
    caplog.clear()
    mqtt_link._credentials(settings)
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"host": ""}, "got host '', wanted a name or an address"),
        ({"keepalive_s": 1}, "got keepalive_s 1, wanted 5 to 3600"),
        ({"outbox_mb": 0.0}, r"got outbox_mb 0\.0, wanted 0\.01 to 1e\+06"),
        ({"off_delay_s": 0.0}, r"got off_delay_s 0\.0, wanted 0\.2 to 3600"),
        ({"health_s": 0.5}, r"got health_s 0\.5, wanted 0 or 1 to 1000000"),
        ({"prefix": "/a"}, "got prefix '/a', wanted a topic without wildcards and without / at its ends"),
        ({"discovery_prefix": "a/+"}, r"got discovery_prefix 'a/\+', wanted a topic"),
        ({"client_id": "a b"}, "got client_id 'a b', wanted 1 to 100 letters, digits, _ or -"),
        ({"outbox": ""}, "got an empty outbox, wanted one or none"),
        ({"ca_file": "a.pem"}, "got a ca_file without tls, wanted tls = true"),
    ],
)
def test_invalid_settings(settings, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        MqttSettings(**settings)
