"""The curves of a training show every column of the logs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from convert.evaluation.plots import plot_curves

LOCALIZER = """step,loss,learning_rate,steps_per_s,dev_loss,dev_doa_1_deg
2,0.9,1e-3,5,,
4,0.5,1e-3,5,0.6,21
6,0.4,1e-3,5,0.5,
"""
CLASSIFIER = "step,loss,learning_rate,steps_per_s\n2,2.0,1e-3,5\n4,1.5,1e-3,5\n"


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that were saved."""
    kept: list[Figure] = []
    save = Figure.savefig

    def savefig(figure: Figure, *arguments: Any, **options: Any) -> None:
        kept.append(figure)
        save(figure, *arguments, **options)

    monkeypatch.setattr(Figure, "savefig", savefig)
    return kept


def curves(figure: Figure) -> dict[str, list[tuple[float, float]]]:
    """The points of all lines by stage and label; labels of second axes have no stage and are unique."""
    return {
        f"{axes.get_title()} {line.get_label()}".strip(): [(float(x), float(y)) for x, y in line.get_xydata()]
        for axes in figure.axes
        for line in axes.lines
    }


def test_every_column_is_a_curve(tmp_path: Path, drawn: list[Figure]) -> None:
    (tmp_path / "a.csv").write_text(LOCALIZER)
    (tmp_path / "b.csv").write_text(CLASSIFIER)
    logs = {"localizer": tmp_path / "a.csv", "classifier": tmp_path / "b.csv", "other": tmp_path / "none.csv"}
    plot_curves(tmp_path / "curves.png", logs)
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    (figure,) = drawn
    assert [axes.get_title() for axes in figure.axes if axes.get_title()] == ["localizer", "classifier"]
    assert len(figure.axes) == 3  # of these one is a second one
    found: dict[str, Any] = curves(figure)
    assert found["localizer loss"] == [(2, 0.9), (4, 0.5), (6, 0.4)]
    assert found["localizer dev_loss"] == [(4, 0.6), (6, 0.5)]
    assert found["dev_doa_1_deg"] == [(4, 21)]
    assert found["classifier loss"] == [(2, 2.0), (4, 1.5)]
    assert len(found) == 4
