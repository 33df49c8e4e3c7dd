"""Delays of begins and of answers, of events and begins that are known, and of the tiny bundle."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from convert.cli import main
from convert.evaluation.latency import BeginDelays, begin_delays, impulse_delay, labelled_events
from convert.evaluation.predictions import Begin
from edge.nets.bundle import load_bundle
from edge.scoring.annotations import Label
from edge.types import Event

NAMES = ("bell", "door")


def labels_of(class_index: int, azimuth_deg: float, frames: range, track: int = 0) -> list[Label]:
    return [Label(frame, class_index, track, azimuth_deg, 0.0) for frame in frames]


def begin(told_s: float, name: str = "bell", azimuth_deg: float = 30.0, elevation_deg: float | None = 0.0) -> Begin:
    return Begin(told_s, Event(name, 0.0, 0.0, azimuth_deg, elevation_deg, 0.9))


def delays(labels: list[Label], *begins: Begin) -> tuple[float, ...]:
    found = begin_delays({"a": labels}, {"a": begins}, NAMES)
    assert found.begins == len(begins)
    return tuple(round(each, 6) for each in found.delays_s)


def test_a_delay_is_counted_from_the_onset_of_the_event() -> None:
    bell = labels_of(0, 30.0, range(20, 40))
    assert delays(bell, begin(2.7)) == (0.7,)
    assert delays(bell, begin(2.7, elevation_deg=None)) == (0.7,)
    assert delays(bell, begin(3.0), begin(2.4)) == (0.4,)  # the first one tells it
    assert delays(bell, begin(2.0)) == ()  # nothing was heard of it by then
    assert delays(bell, begin(9.1)) == ()  # too late to be of it
    assert delays(bell, begin(2.7, "door")) == delays(bell, begin(2.7, azimuth_deg=55.0)) == ()


def test_a_begin_tells_one_event() -> None:
    two = labels_of(0, 30.0, range(20, 40)) + labels_of(0, 40.0, range(20, 40), track=1)
    assert delays(two, begin(2.5, azimuth_deg=35.0)) == (0.5,)
    assert delays(two, begin(2.5, azimuth_deg=35.0), begin(2.9, azimuth_deg=36.0)) == (0.5, 0.9)


def test_a_short_gap_does_not_end_an_event() -> None:
    labels = [each for frames in (range(0, 5), range(9, 12), range(18, 20)) for each in labels_of(1, 0.0, frames)]
    events = list(labelled_events(labels[::-1]))
    assert [(event[0].frame, event[-1].frame) for event in events] == [(0, 11), (18, 19)]


def test_a_moving_event_is_near_where_it_was_at_any_time() -> None:
    moving = [Label(frame, 0, 0, 3.0 * frame, 0.0) for frame in range(30)]
    assert delays(moving, begin(1.0, azimuth_deg=40.0)) == (1.0,)
    assert delays(moving, begin(1.0, azimuth_deg=120.0)) == ()


def test_a_histogram_has_a_line_for_each_fifth_of_a_second() -> None:
    lines = str(BeginDelays(5, 6, (0.2, 0.3, 0.5, 77.0))).splitlines()
    assert lines[0].startswith("begin told of 4 of 5 events, 6 begins; after the onset: median 0.40 s")
    assert lines[1:4] == [
        "   0.0 -   0.2 s     0 ",
        f"   0.2 -   0.4 s     2 {'#' * 50}",
        f"   0.4 -   0.6 s     1 {'#' * 25}",
    ]
    assert lines[-1] == f"   3.0 -   ... s     1 {'#' * 25}"
    assert str(BeginDelays(5, 0, ())) == "begin told of 0 of 5 events, 0 begins"


def test_an_impulse_is_answered_within_what_the_pipeline_states(tiny_bundle: Path) -> None:
    found = impulse_delay(load_bundle(str(tiny_bundle)))
    assert found.stated_s - 0.11 < found.waited_s <= found.stated_s
    assert found.ahead_s == 0.0  # the tiny nets answer about a label frame from itself


def test_an_impulse_that_changes_nothing_is_refused(tiny_bundle: Path) -> None:
    bundle = load_bundle(str(tiny_bundle))
    deaf = replace(bundle, deviation=np.full_like(bundle.deviation, 1e6))
    with pytest.raises(ValueError, match="got the same answer with and without an impulse"):
        impulse_delay(deaf)


def test_evaluate_prints_both(tiny_bundle: Path, waves_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["evaluate", "--model", str(tiny_bundle), "--scenes", str(waves_folder), "--latency"]
    assert main(options) == 0
    printed = capsys.readouterr().out
    assert "an impulse is answered" in printed and "begin told of 2 of 2 events, 2 begins" in printed
    assert main([*options, "--json"]) == 0
    latency = json.loads(capsys.readouterr().out)["int8"]["latency"]
    assert latency["begins"]["events"] == 2
    stated_s = latency["impulse"]["stated_s"]
    assert all(0.1 < each <= stated_s + 0.5 for each in latency["begins"]["delays_s"])
