"""Recall of classes by the source of the clips."""

import json

import pytest

from convert.evaluation.sources import ALL, SourceRow, Span, read_event_sources, score_sources, source_table
from edge.scoring.annotations import Label

NAMES = ("dog", "cat")
TRUTH = [Label(frame, 0, 0, 30, 0, 100) for frame in range(4)] + [Label(frame, 1, 1, -60, 0, 100) for frame in range(2)]
SPANS = {"a": [Span(0, 0, 1, "home"), Span(0, 2, 3, "corpus"), Span(1, 0, 1, "corpus")]}


def test_labels_are_judged_by_the_source_of_their_event():
    found = [
        Label(0, 0, 0, 35, 0, None),
        Label(1, 0, 0, 120, 0, None),
        Label(2, 0, 0, 30, 0, None),
        Label(0, 0, 1, -60, 0, None),
    ]
    rows = score_sources({"a": TRUTH}, {"a": found}, SPANS, NAMES)
    assert rows[0] == SourceRow("corpus", ALL, 4, 0.25, 0.25)  # the mean of both classes, 0.5 and 0
    assert {(row.source, row.class_name): (row.labels, row.class_recall, row.recall) for row in rows[1:]} == {
        ("corpus", "dog"): (2, 0.5, 0.5),
        ("corpus", "cat"): (2, 0.0, 0.0),
        ("home", ALL): (2, 1.0, 0.5),  # one of the two points elsewhere
        ("home", "dog"): (2, 1.0, 0.5),
        (ALL, ALL): (6, 0.375, 0.25),
        (ALL, "dog"): (4, 0.75, 0.5),
        (ALL, "cat"): (2, 0.0, 0.0),
    }
    assert rows[-1].source == ALL
    assert "corpus        all                    4   0.250   0.250" in source_table(rows)


def test_a_label_without_a_source_is_an_error():
    with pytest.raises(ValueError, match="a: got a label in frame 2 without a source"):
        score_sources({"a": TRUTH}, {"a": []}, {"a": SPANS["a"][:1] + SPANS["a"][2:]}, NAMES)


def test_sources_are_read_from_scenes_json(tmp_path):
    path, event = tmp_path / "scenes.json", {"track": 0, "frames": [0, 1], "source": "home"}
    path.write_text(json.dumps({"scenes": [{"name": "a", "event_sources": [event]}]}))
    assert read_event_sources(tmp_path) == {"a": [Span(0, 0, 1, "home")]}
    for broken in ({"name": "a"}, {"name": "a", "event_sources": [{"track": 0}]}, 3):
        path.write_text(json.dumps({"scenes": [broken]}))
        with pytest.raises(ValueError, match=r"scenes\.json: got no event_sources, wanted"):
            read_event_sources(tmp_path)
