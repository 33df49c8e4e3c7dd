"""A broker, a subscriber, and sinks of MQTT that connect to it."""

import pytest

import edge.outputs.mqtt
from edge.events.live_text import LiveSettings, live_text
from edge.outputs.mqtt import MqttSink
from edge.outputs.mqtt_link import MqttSettings
from tests.edge.outputs.mqtt_events import DEVICE


@pytest.fixture
def mqtt_broker():
    """The module, which needs paho-mqtt."""
    return pytest.importorskip("tests.edge.mqtt_broker", reason="paho-mqtt is not installed")


@pytest.fixture
def broker(tmp_path, mqtt_broker):
    if mqtt_broker.MOSQUITTO is None:
        pytest.skip("mosquitto is not installed")
    made = mqtt_broker.Broker(tmp_path)
    made.start()
    yield made
    made.stop()


@pytest.fixture
def subscriber(broker, mqtt_broker):
    made = mqtt_broker.Subscriber(broker.port)
    yield made
    made.close()


@pytest.fixture
def quick(monkeypatch):
    """Shorten the delay between attempts to connect."""
    monkeypatch.setattr("edge.outputs.mqtt_link.MIN_DELAY_S", 0.1)
    monkeypatch.setattr("edge.outputs.mqtt_link.MAX_DELAY_S", 0.5)


@pytest.fixture
def patient(monkeypatch, mqtt_broker):
    """Sinks that, when they are closed, send what waits however busy the machine is."""
    monkeypatch.setattr(edge.outputs.mqtt, "CLOSE_S", mqtt_broker.LIMIT_S)


@pytest.fixture
def opened(tmp_path, quick):
    """A function that opens sinks, which are closed at the end of the test."""
    sinks = []

    def open_mqtt(port, when=None, device=DEVICE, **settings):
        defaults = {"host": "127.0.0.1", "prefix": "seld/pi", "client_id": "pi", "outbox": str(tmp_path / "outbox")}
        settings_of_test = MqttSettings(**defaults | {"port": port} | settings)
        sinks.append(MqttSink(settings_of_test, when, device, live_text(LiveSettings(), when)))
        return sinks[-1]

    yield open_mqtt
    for sink in sinks:
        sink.close()
