import json

import pytest

from bench import options
from bench.steps import TimedLoop


@pytest.fixture
def small(monkeypatch, tiny_bundle):
    """The command on the tiny bundle, for a second of audio."""
    return ["--model", str(tiny_bundle), "--seconds", "1"]


def test_every_variant_is_timed_with_all_slots_live(small, capsys, monkeypatch):
    live = []
    monkeypatch.setattr(options, "TimedLoop", lambda *args, **kw: live.append(kw["live"]) or TimedLoop(*args, **kw))
    assert options.main([*small, "--json"]) == 0
    table = json.loads(capsys.readouterr().out)
    assert set(table) == set(options.variants()) >= {"1 thread", "without XNNPACK"}
    assert all(each["step_ms"]["p50"] > 0.0 for each in table.values())
    assert live == [True] * len(table)


def test_ratios_are_to_one_thread(small, capsys):
    assert options.main(small) == 0
    head, plain, *_, last = capsys.readouterr().out.splitlines()
    assert head.startswith("ms per step") and plain.split()[4] == "1.00"
    assert last == "threads of BLAS: 1"


@pytest.mark.parametrize(
    ("words", "message"), [(["--model", "none"], "model 'none'"), (["--seconds", "0"], "got seconds 0")]
)
def test_bad_words_are_one_line(words, message, capsys):
    assert options.main(words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("bench.options: ") and message in line


def test_another_runtime_has_not_these_options(monkeypatch):
    monkeypatch.setattr(options, "RUNTIME", "tflite-runtime")
    with pytest.raises(ValueError, match="got tflite-runtime, wanted ai-edge-litert"):
        options.variants()
