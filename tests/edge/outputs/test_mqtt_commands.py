"""What others tell the run over a real mosquitto, and what it says besides events: its level, unknown sounds."""

from dataclasses import replace

from edge.runtime.pause import Pause
from edge.types import Event, EventUpdate, LiveFrame
from tests.edge.mqtt_broker import Subscriber, eventually
from tests.edge.outputs.mqtt_events import DEVICE

COMMAND, STATE = "seld/pi/listening/set", "seld/pi/listening"


def test_pause_and_resume(broker, subscriber, opened):
    """A retained command would pause each new run, and is ignored, as is what is no command."""
    subscriber._client.publish(COMMAND, "OFF", 1, retain=True)
    subscriber.flush()
    pause = Pause()
    opened(broker.port, device=replace(DEVICE, pause=pause))
    eventually(lambda: subscriber.said(STATE) == ["ON"])
    for said, paused in (("OFF", True), ("off", True), ("\0", True), ("x" * 10**5, True), ("ON", False)):
        subscriber._client.publish(COMMAND, said, 1)
        eventually(lambda said=said, paused=paused: pause.paused is paused)
    eventually(lambda: subscriber.said(STATE) == ["ON", "OFF", "ON"])
    late = Subscriber(broker.port, STATE)
    eventually(lambda: late.said(STATE) == ["ON"])
    late.close()


def test_commands_after_the_broker_was_gone(broker, subscriber, opened):
    pause = Pause()
    opened(broker.port, device=replace(DEVICE, pause=pause))
    eventually(lambda: subscriber.said(STATE))
    broker.stop()
    pause.set(True)  # by a signal, say
    broker.start()
    eventually(lambda: subscriber.said(STATE)[-1] == "OFF")
    subscriber._client.publish(COMMAND, "ON", 1)
    eventually(lambda: not pause.paused and subscriber.said(STATE)[-1] == "ON")


def test_the_sound_level_when_it_changes(broker, subscriber, opened):
    levels = iter([None, None, -42.5])
    sink = opened(broker.port, device=replace(DEVICE, sound_level_db=lambda: next(levels, -42.5)))
    eventually(lambda: sink._worker.wake() or subscriber.said("seld/pi/level") == ["None", "-42.5"])


def test_a_sound_without_a_class_is_active_while_it_lasts(broker, subscriber, opened):
    sink = opened(broker.port, device=replace(DEVICE, class_names=("bell", "unknown")), off_delay_s=0.5)
    event = Event("unknown", 1.0, 1.5, 30.0, 0.0, 0.4, 10**9, level_db=-30.0)
    eventually(lambda: subscriber.said("seld/pi/active/unknown") == ["OFF"])
    sink.emit(EventUpdate("begin", event))
    eventually(lambda: subscriber.said("seld/pi/update/unknown"))
    assert '"level_db": -30.0' in subscriber.said("seld/pi/update/unknown")[0]

    def on():
        sink.emit(LiveFrame(15, 1.6, (event,)))
        return "ON" in subscriber.said("seld/pi/active/unknown")

    eventually(on)
    eventually(lambda: subscriber.said("seld/pi/active/unknown")[-1] == "OFF")
    assert set(subscriber.said("seld/pi/active/bell")) == {"OFF"}
