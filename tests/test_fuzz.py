"""One round of wild input passes, and the fuzzing notices a door that is broken: see fuzz.py."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
BROKEN_DOOR = """
import sys
from tests import fuzz

def csv_file(content):
    if b"7" in content:
        raise {error}

fuzz.DOORS = {{"label files": fuzz.Door(fuzz.CSVS, csv_file)}}
sys.exit(fuzz.main(["--minutes", "5"]))
"""


def fuzzed(*command):
    """Run Python with these options. Returns its exit code, stdout and stderr."""
    done = subprocess.run([sys.executable, *command], cwd=ROOT, capture_output=True, text=True, timeout=600)
    return done.returncode, done.stdout, done.stderr


def test_no_door_fails_in_a_round():
    """The cases are the same each time. To try others, run `python -m tests.fuzz`."""
    code, out, err = fuzzed("-m", "tests.fuzz", "--seed", "0")
    assert (code, err) == (0, ""), out
    assert int(re.search(r"^settings: (\d+) cases, \d+ accepted$", out, re.MULTILINE)[1]) > 0


@pytest.mark.parametrize(("error", "found"), [("KeyError(7)", "KeyError: 7"), (r"ValueError('a\nb')", "no clear line")])
def test_a_broken_door_is_reported(error, found):
    code, out, _ = fuzzed("-c", BROKEN_DOOR.format(error=error))
    assert code == 1 and found in out
    assert re.search(r"^label files: \d+ cases, \d+ accepted, FAILED$", out, re.MULTILINE)
