"""Settings of MQTT, and environment variables that complete them."""

from pathlib import Path

import pytest

from edge.outputs.mqtt_link import MqttSettings


def test_user_and_password_from_the_environment(monkeypatch, tmp_path):
    from edge.outputs.mqtt_link import _credentials

    monkeypatch.setenv("SELD_EDGE_MQTT_USER", "from-there")
    monkeypatch.setenv("SELD_EDGE_MQTT_PASSWORD", "secret")
    assert _credentials(MqttSettings()) == ("from-there", "secret")
    Path(tmp_path / "password").write_text("other")
    assert _credentials(MqttSettings(user="me", password_file=str(tmp_path / "password"))) == ("me", "other")


def test_default_values(monkeypatch):
    monkeypatch.setattr("edge.outputs.mqtt_link.gethostname", lambda: "pi 4.lan")
    settings = MqttSettings()
    assert (settings.broker, MqttSettings(tls=True).broker) == ("localhost:1883", "localhost:8883")
    assert (settings.node, settings.topic_prefix) == ("seld-edge-pi-4", "seld-edge/pi-4")


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
