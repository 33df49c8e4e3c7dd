import argparse
import json
import shutil
import sys
from importlib import metadata

import pytest

from bench import peers, report
from bench.boards import read_references, result_of
from bench.command import add_bench_parser
from bench.fresh import StartUp, start_up
from bench.page import lines as page_lines
from bench.peers import main as peers_main
from edge.cli import main

TIMES = {"p50", "p95", "p99", "max"}


@pytest.fixture
def bench(monkeypatch, capsys, tiny_bundle):
    """Run `bench` with the tiny bundle, few repetitions and no fresh process; returns what it prints."""
    monkeypatch.setattr(report, "start_up", lambda *args: StartUp(0.5, 100.0))
    monkeypatch.setattr(report, "YARDSTICK_CALLS_PER_SECOND", 2)
    monkeypatch.setattr(peers, "FEATURE_REPETITIONS", 2)

    def run(*words):
        parser = argparse.ArgumentParser()
        add_bench_parser(parser.add_subparsers())
        args = parser.parse_args(["bench", "--model", str(tiny_bundle), "--seconds", "1", *map(str, words)])
        assert args.run(args) == 0
        return capsys.readouterr().out

    return run


def test_it_is_a_command_of_seld_edge_where_it_is_installed(monkeypatch, capsys):
    """`edge` knows it only by the entry point of the package; a source tree that is not installed has none."""
    entry = metadata.EntryPoint("bench", "bench.command:add_bench_parser", "seld_edge.commands")
    monkeypatch.setattr(metadata, "entry_points", lambda group: [entry] * (group == entry.group))
    assert main(["bench", "--busy", "1"]) == 2
    assert capsys.readouterr().err == "seld-edge: got --busy, wanted --realtime with it\n"
    monkeypatch.setattr(metadata, "entry_points", lambda group: [])
    with pytest.raises(SystemExit) as stopped:
        main(["bench"])
    assert stopped.value.code == 2 and "invalid choice: 'bench'" in capsys.readouterr().err


def test_json_has_all_that_was_measured(bench, tiny_bundle):
    found = json.loads(bench("--json"))
    assert (found["model"], found["precision"], found["threads"], found["seconds"]) == ("tiny", "int8", 1, 1)
    assert found["settings"]["max_overlap"] == 2
    assert (found["startup_s"], found["rss_mb"]) == (0.5, 100.0)
    for name in ("step_ms", "answer_ms", "silence_step_ms", "quiet_step_ms"):
        assert set(found[name]) == TIMES
        assert 0.0 < found[name]["p50"] <= found[name]["p95"] <= found[name]["p99"] <= found[name]["max"]
    assert {"stft", "features", "decode"} <= set(found["stages_ms"])
    assert all(set(times) == TIMES for times in found["stages_ms"].values())
    assert all(set(times) == TIMES | {"calls_per_step"} for times in found["nets_ms"].values())
    for name in ("mobilenet_v2_ms", "model_per_mobilenet_v2", "real_time_factor", "latency_s"):
        assert found[name] > 0.0
    assert set(found["naive_window"]) == {"step_ms", "real_time_factor", "times_step"}
    assert {"board", "cores", "governor", "temperature_c", "temperature_after_c", "throttling"} <= set(found["machine"])
    assert len(found["boards"]) == 4
    assert not {"peers", "realtime", "soak"} & set(found)


def test_json_has_what_was_asked_for_besides(bench, tiny_bundle):
    found = json.loads(
        bench("--json", "--peers", "--float-model", tiny_bundle, "--realtime", 0.3, "--soak", 0.001, "--threads", 2)
    )
    table = found["peers"]["per_second_of_audio"]
    assert set(table) == {peers.OURS, peers.NAIVE, peers.FLOAT, "salsa_lite", "salsa_mel", "mel_gcc"}
    assert set(found["peers"]["feature_ratios"]) == {"salsa_lite", "salsa_mel", "mel_gcc"}
    assert set(found["peers"]["total_ratios"]) == {peers.NAIVE, peers.FLOAT, "salsa_lite"}
    assert table["salsa_lite"]["total_ms"] > table["salsa_lite"]["features_ms"] > 0.0
    assert table[peers.OURS]["answers_per_s"] > table["salsa_lite"]["answers_per_s"] == 1.0
    assert table["mel_gcc"]["total_ms"] is None
    assert (found["realtime"]["lost_samples"], found["soak"]["lost_samples"], found["soak"]["steps"]) == (0, 0, 36)
    assert found["boards"] == []  # predictions are of one thread


def test_what_pages_cost(bench, monkeypatch):
    pytest.importorskip("uvicorn", reason="uvicorn is not installed")
    monkeypatch.setattr("bench.page.TURNS", 1)
    found = json.loads(bench("--json", "--page", 2))["page"]
    assert [each["pages"] for each in found["costs"]] == [0, 1, 2]
    assert found["costs"][0]["messages_per_page"] == 0.0 < min(each["messages_per_page"] for each in found["costs"][1:])
    assert found["costs"][0]["page_ms"] < found["costs"][1]["page_ms"] < found["costs"][1]["step_ms"]
    assert [each["name"] for each in found["memory"]] == ["loop", "server of the page"]
    assert all(each["rss_mb"] > each["pss_mb"] > 5.0 for each in found["memory"])
    text = list(page_lines(found))
    assert [line.split()[0] for line in text[1:4]] == ["0", "1", "2"] and "bound: 170" in text[-1]


def test_text_says_what_is_a_prediction(bench, tmp_path):
    out = bench("--peers", "--realtime", 0.4, "--busy", 1, "--soak", 0.001, "--plot", tmp_path / "a.png").splitlines()
    boards = [line for line in out if "Raspberry Pi" in line]
    assert len(boards) == 4 and all(line.startswith("prediction: ") for line in boards)
    for begin in (
        "tiny (int8), 1 threads",
        "step, all tracks live",
        "in real time",
        "1 busy processes beside it",
        "soak of",
        "this project",
        "mel_gcc",
    ):
        assert sum(line.startswith(begin) for line in out) == 1, begin
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")


def test_without_nets_for_windows_there_is_no_naive_loop(bench, monkeypatch, tmp_path):
    for module in (report, peers):
        monkeypatch.setattr(module, "naive_window_loop", lambda *args: None)
    found = json.loads(bench("--json", "--peers", "--plot", tmp_path / "a.png"))
    assert found["naive_window"] is None
    assert peers.NAIVE not in found["peers"]["per_second_of_audio"]
    assert peers.NAIVE not in bench()


def test_a_run_on_a_board_is_no_prediction(bench, monkeypatch):
    here = json.loads(bench("--json"))
    run = result_of(here | {"machine": {"board": "Raspberry Pi 5 Model B Rev 1.0"}})
    monkeypatch.setattr(report, "read_references", lambda: [run])
    boards = json.loads(bench("--json"))["boards"]
    assert [board["kind"] for board in boards] == ["prediction"] * 3 + ["measured"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--threads", 0), "got threads 0, wanted 1 to 64"),
        (("--seconds", 0), "got seconds 0, wanted at least 1"),
        (("--float-model", "x"), "got --float-model, wanted --peers with it"),
        (("--peers", "--float-model", "x"), "model 'x': got no such bundle"),
        (("--realtime", 0), r"got --realtime 0, wanted at least 0\.1"),
        (("--realtime", "nan"), "got --realtime nan"),
        (("--realtime", 1, "--busy", -1), "got --busy -1, wanted at least 0"),
        (("--busy", 1), "got --busy, wanted --realtime with it"),
        (("--step-ms", 1), "got --step-ms, wanted --realtime with it"),
        (("--page", 0), "got --page 0, wanted 1 to 100"),
        (("--soak", -1), r"got --soak -1, wanted at least 0\.001"),
    ],
)
def test_bad_options_are_refused(bench, words, message):
    with pytest.raises(ValueError, match=message):
        bench(*words)


def test_a_bad_reference_is_refused(bench, monkeypatch, tmp_path):
    (tmp_path / "pi4.json").write_text("{}")
    monkeypatch.setattr(report, "read_references", lambda: read_references(tmp_path))
    with pytest.raises(ValueError, match=r"pi4\.json: got something else"):
        bench()


def test_plot_without_matplotlib_is_refused_before_the_work(bench, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ValueError, match="--plot: got no matplotlib, wanted it"):
        bench("--plot", tmp_path / "a.png")


def test_a_fresh_process_starts_and_says_what_it_needs(tiny_bundle):
    started = start_up(str(tiny_bundle), 1)
    assert started.startup_s > 0.0 and started.rss_mb > 10.0


def test_a_fresh_process_that_fails_is_told_of(tmp_path, tiny_bundle):
    shutil.copytree(tiny_bundle, tmp_path / "broken")
    (tmp_path / "broken" / "localizer.tflite").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"got no answer from a fresh process, wanted one: .*localizer\.tflite"):
        start_up(str(tmp_path / "broken"), 1)


def test_peers_alone(monkeypatch, capsys, tiny_bundle):
    monkeypatch.setattr(peers, "FEATURE_REPETITIONS", 1)
    assert peers_main(["--model", str(tiny_bundle), "--seconds", "1"]) == 0
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.startswith("per second of audio") and len(rows) == 5
    assert peers_main(["--model", "nowhere"]) == 2
    assert capsys.readouterr().err.startswith("bench.peers: model 'nowhere': got no such bundle")
