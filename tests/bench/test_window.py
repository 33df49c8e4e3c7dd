from pathlib import Path

import pytest

from bench.window import main, percentiles_ms

TINY_BUNDLE = Path(__file__).parents[1] / "golden" / "tiny-bundle"


def test_every_stage_has_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--model", str(TINY_BUNDLE), "--windows", "3"]) == 0
    head, _, *stages = capsys.readouterr().out.splitlines()
    assert str(TINY_BUNDLE) in head
    names = ["features", "localizer_encoder", "localizer", "classifier_encoder", "classifier"]
    assert sorted(line.split()[0] for line in stages) == sorted(names)
    for line in stages:
        p50, p95 = (float(value) for value in line.split()[-2:])
        assert 0.0 <= p50 <= p95


def test_the_first_call_does_not_count() -> None:
    calls: list[int] = []
    percentiles_ms(lambda: calls.append(0), 4)
    assert len(calls) == 5
