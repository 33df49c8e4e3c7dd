"""Commands as processes of their own: what only shows there."""

import os
import re
import signal
import socket
import subprocess
import sys

import numpy as np
import pytest

from edge.cli import main
from edge.scoring.annotations import read_annotations
from tests.edge.command_line import LOW, SELD_EDGE, events, is_about, refused, without_introduction
from tests.paths import ROOT

UNHURRIED = "[budget]\nstep_ms = 10000\n"  # the quality stays, however busy the machine is


def test_one_line_is_all_that_a_process_says(tmp_path, tiny_bundle, wav):
    """No notes of the interpreter, no traceback, no warnings at exit."""
    (tmp_path / "a.wav").write_bytes(wav.read_bytes()[:-1])
    args = ["run", "--source", str(tmp_path / "a.wav"), "--model", str(tiny_bundle)]
    done = subprocess.run([*SELD_EDGE, *args], capture_output=True, text=True, timeout=600)
    refused((done.returncode, done.stdout, done.stderr), r"a\.wav: truncated")


def threads_of(tmp_path, settings, environment):
    """What numpy's BLAS is told in a process of its own, and how many threads there are once numpy is there."""
    (tmp_path / "a.toml").write_text(settings)
    code = """
import os, sys, edge.cli
assert "numpy" not in sys.modules
edge.cli.main(["run", "--config", sys.argv[1], "--source", "nowhere.wav"])
import numpy
numpy.ones((500, 500)) @ numpy.ones((500, 500))
print(os.environ["OPENBLAS_NUM_THREADS"], len(os.listdir("/proc/self/task")))
"""
    clean = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "a.toml")],
        capture_output=True,
        text=True,
        timeout=600,
        env=clean | environment,
    )
    told, threads = done.stdout.split()
    return told, int(threads)


def test_the_blas_of_numpy_has_the_threads_that_it_is_given(tmp_path):
    told, alone = threads_of(tmp_path, "", {})
    assert told == "1"
    told, together = threads_of(tmp_path, "blas_threads = 2", {})
    assert told == "2" and (together > alone or len(os.sched_getaffinity(0)) == 1)
    assert threads_of(tmp_path, "blas_threads = 1", {"OPENBLAS_NUM_THREADS": "2"}) == ("1", alone)
    assert threads_of(tmp_path, "", {"OPENBLAS_NUM_THREADS": "2"})[0] == "2"
    assert threads_of(tmp_path, "blas_threads = = 2", {}) == ("1", alone)


def test_the_version_names_the_runtime(capfd):
    with pytest.raises(SystemExit) as stopped:
        main(["--version"])
    assert stopped.value.code == 0
    assert re.fullmatch(r"seld-edge \d+\.\d+\.\d+ \((ai-edge-litert|tflite-runtime)\)\n", capfd.readouterr().out)


@pytest.mark.parametrize("command", ["run", "models"])
def test_a_closed_pipe(tiny_bundle, wav, tmp_path, command):
    """The reader is gone before the first event. That is no error: the shell sees what SIGPIPE gives.

    A file beside the pipe keeps its whole lines.
    """
    read_end, write_end = os.pipe()
    os.close(read_end)
    sinks = ["--sink", f"jsonl:{tmp_path}/a.jsonl", "--sink", "jsonl:-"]
    args = ["run", "--source", str(wav), "--model", str(tiny_bundle), *sinks]
    if command == "models":
        args = ["models"]
    code = f"""
import sys, pathlib, edge.cli
edge.cli.set_blas_threads()
import edge.nets.bundle
edge.nets.bundle.shipped_bundles = lambda: {{"tiny": pathlib.Path({str(tiny_bundle)!r})}}
sys.exit(edge.cli.main())
"""
    with subprocess.Popen(
        [sys.executable, "-c", code, *args], stdout=write_end, stderr=subprocess.PIPE, text=True
    ) as child:
        os.close(write_end)
        _, err = child.communicate(timeout=600)
    assert (child.returncode, without_introduction(err) if command == "run" else err) == (128 + signal.SIGPIPE, "")
    if command == "run":
        is_about(events((tmp_path / "a.jsonl").read_text()), LOW)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_closes_what_is_open_and_ends_well(tiny_bundle, sounds, tmp_path, number):
    """Live from stdin, which stays open: a first sound, then a second that lasts when the signal comes."""
    (tmp_path / "a.toml").write_text(UNHURRIED)
    args = [
        "run",
        "--config",
        str(tmp_path / "a.toml"),
        "--source",
        "-",
        "--model",
        str(tiny_bundle),
        "--sink",
        "jsonl:-",
        "--sink",
        f"dcase:{tmp_path}/a.csv",
    ]
    pcm = np.clip(np.rint(sounds[: int(3.9 * 24000)] * 32768), -32768, 32767).astype("<i2").tobytes()
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([*SELD_EDGE, *args], **pipes) as child:
        child.stdin.write(pcm)  # returns when all but what the pipe holds, a third of a second, has been read
        child.stdin.flush()
        first = child.stdout.readline()
        child.send_signal(number)
        rest = child.stdout.read()
        err = child.stderr.read()
        assert (child.wait(timeout=600), without_introduction(err.decode())) == (0, "")
    low, high = events((first + rest).decode())
    is_about([low], LOW)
    assert (high["class"], high["onset_s"]) == ("high", 3.0) and 3.4 <= high["offset_s"] <= 3.9
    labels = read_annotations(tmp_path / "a.csv", 2)
    assert len(labels) == 10 + round(high["offset_s"] * 10) - 30


def test_what_systemd_is_told_of_a_process(tiny_bundle, sounds, tmp_path):
    """Ready after the first answer, alive with the steps; settings read again between; stopping in the end."""
    (tmp_path / "a.toml").write_text('source = "-"\nsinks = ["null"]\n' + UNHURRIED)
    pcm = np.clip(np.rint(sounds * 32768), -32768, 32767).astype("<i2").tobytes()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.settimeout(600)
        args = ["run", "--config", str(tmp_path / "a.toml"), "--model", str(tiny_bundle)]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        environment = os.environ | {"NOTIFY_SOCKET": str(tmp_path / "notify")}
        with subprocess.Popen([*SELD_EDGE, *args], **pipes, env=environment) as child:
            child.stdin.write(pcm)
            child.stdin.flush()
            told = [systemd.recv(4096).decode()]
            while not told[-1].startswith("STATUS="):
                told.append(systemd.recv(4096).decode())
            (tmp_path / "a.toml").write_text('source = "-"\nsinks = ["jsonl:-"]\n[decode]\non = 0.6\n' + UNHURRIED)
            child.send_signal(signal.SIGHUP)
            child.stdin.write(pcm[:9600])
            child.stdin.close()
            err = child.stderr.read().decode()
            assert (child.wait(timeout=600), child.stdout.read()) == (0, b"")
        told.append(systemd.recv(4096).decode())
        while told[-1] == "WATCHDOG=1":
            told.append(systemd.recv(4096).decode())
    assert told[0] == "WATCHDOG=1" and told.count("READY=1") == 1 and told[-1] == "STOPPING=1"
    assert re.fullmatch(r"STATUS=\d events, 0 samples lost, 2 tracks", next(s for s in told if s.startswith("STATUS")))
    assert "settings read again: changed decode.on\n" in err and "a restart is needed for sinks\n" in err


COMMAND = """
def add_hello_parser(subparsers):
    parser = subparsers.add_parser("hello")
    parser.add_argument("--name")
    parser.set_defaults(run=lambda args: print("hello", args.name) or 3)
"""


@pytest.mark.parametrize(
    ("entry", "wanted"),
    [
        ("hello = other.words:add_hello_parser", (3, "hello you\n", "")),
        ("hello = other.missing:add_hello_parser", (2, "", "command 'hello': got No module named 'other.missing'")),
        (
            "hello = other.words:missing",
            (2, "", "command 'hello': got module 'other.words' has no attribute"),
        ),
    ],
)
def test_an_installed_package_adds_a_command(tmp_path, entry, wanted):
    """By an entry point, which `bench` uses too. One that cannot be loaded leaves the other commands alone."""
    for name, text in (
        ("other/__init__.py", ""),
        ("other/words.py", COMMAND),
        ("other-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: other\nVersion: 1.0\n"),
        ("other-1.0.dist-info/entry_points.txt", f"[seld_edge.commands]\n{entry}\n"),
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}

    def seld(*words):
        done = subprocess.run([*SELD_EDGE, *words], capture_output=True, text=True, timeout=600, env=environment)
        return done.returncode, done.stdout, done.stderr

    if wanted[0] == 2:
        refused(seld("hello"), wanted[2])
        code, out, err = seld("models")
        assert (code, err) == (0, "") and "coloc-edge" in out
    else:
        assert seld("hello", "--name", "you") == wanted
