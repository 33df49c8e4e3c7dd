"""What the tests of the command line share: how its answers are looked through."""

import json
import re
import sys

LOW = {"class": "low", "onset_s": 1.0, "offset_s": 2.0}
HIGH = {"class": "high", "onset_s": 3.0, "offset_s": 4.0}
SELD_EDGE = [sys.executable, "-c", "import sys; from edge.cli import main; sys.exit(main())"]


def refused(answer, message):
    """Exit code 2, one line on stderr, nothing on stdout."""
    code, out, err = answer
    assert (code, out) == (2, "")
    assert re.fullmatch(rf"seld-edge: [^\n]*{message}[^\n]*\n", err), err


def without_introduction(err):
    """What a process says on stderr after the line that says what it listens to."""
    line, rest = err.split("\n", 1)
    assert line.startswith("INFO: listening to "), err
    return rest


def events(text):
    assert text == "" or text.endswith("\n")
    return [json.loads(line) for line in text.splitlines()]


def is_about(got, *wanted):
    """Events with these entries, from the directions of the scene."""
    assert [{key: event[key] for key in each} for event, each in zip(got, wanted, strict=True)] == list(wanted)
    for event in got:
        azimuth_deg, elevation_deg = {"low": (30, -20), "high": (-120, 40)}[event["class"]]
        assert abs(event["azimuth_deg"] - azimuth_deg) < 2.5 and abs(event["elevation_deg"] - elevation_deg) < 2.5
