from edge.runtime.statistics import EventCounter
from edge.types import Event, EventUpdate, FrameRow

BELL = Event("bell", 1.23456, 2.5, 30.126, -20.0, 0.91239)


def test_events_are_counted_by_class():
    counter = EventCounter()
    for item in (BELL, FrameRow(0, 3, 0, 30, -20), FrameRow(7, 3, 0, 31, -20), BELL):
        counter.emit(item)
    counter.close()
    assert counter.events == {"bell": 2}


def test_updates_are_counted_by_phase():
    counter = EventCounter()
    for phase in ("begin", "update", "update", "discarded"):
        counter.emit(EventUpdate(phase, BELL))
    assert (counter.events, counter.updates) == ({}, {"begin": 1, "update": 2, "discarded": 1})
