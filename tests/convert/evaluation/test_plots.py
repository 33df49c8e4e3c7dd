"""Plots show all that was measured, and say what is what."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from convert.evaluation.paper_tables import PaperTables
from convert.evaluation.plots import curves_have_scores, plot_confusion, plot_curves, plot_scene
from edge.scoring.annotations import Label

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


def test_no_curve_is_cut_off_and_steps_are_whole(tmp_path: Path, drawn: list[Figure]) -> None:
    log = tmp_path / "a.csv"
    log.write_text("step,loss,dev_loss,dev_doa_1_deg\n6,0.5,2.4,120\n7,0.45,2.1,110\n")
    plot_curves(tmp_path / "curves.png", {"localizer": log})
    for axes in drawn[0].axes:
        low, high = axes.get_ylim()
        for line in axes.lines:
            assert low <= min(line.get_ydata()) and max(line.get_ydata()) < high
    assert all(tick == round(tick) for tick in drawn[0].axes[0].get_xticks())


def test_whether_curves_have_scores(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(LOCALIZER)
    (tmp_path / "b.csv").write_text(CLASSIFIER)
    assert curves_have_scores([tmp_path / "a.csv", tmp_path / "b.csv"])
    assert not curves_have_scores([tmp_path / "b.csv", tmp_path / "none.csv"])


def test_a_scene_shows_both_angles_and_says_which_is_truth(tmp_path: Path, drawn: list[Figure]) -> None:
    truth, found = [Label(3, 0, 0, 30.0, -20.0)], [Label(3, 1, 0, 40.0, 10.0)]
    plot_scene(tmp_path / "int8-a.png", truth, found, ("low", "high"))
    (figure,) = drawn
    assert figure.get_suptitle() == "int8-a: directions over time"
    for axes, wanted in zip(figure.axes, ((30.0, 40.0), (-20.0, 10.0)), strict=True):
        points = [tuple(point) for group in axes.collections for point in np.asarray(group.get_offsets())]
        assert points == [pytest.approx((0.3, value)) for value in (wanted[0], wanted[0], wanted[1])]
    assert [axes.get_ylabel() for axes in figure.axes] == ["azimuth in degrees", "elevation in degrees"]
    words = [text.get_text() for text in figure.legends[0].get_texts()]
    assert words == ["truth (bar on grey)", "found (dot)", "low", "high"]


def test_the_confusion_is_legible_and_explains_absent_classes(tmp_path: Path, drawn: list[Figure]) -> None:
    tables = PaperTables(np.zeros((3, 3)), np.zeros((3, 3), int), 0.9, np.array([[9, 0, 1], [0, 0, 0]]))
    plot_confusion(tmp_path / "a.png", tables, ("low", "high"))
    (axes,) = drawn[0].axes
    assert {text.get_text(): to_hex(text.get_color()) for text in axes.texts} == {"90": "#ffffff", "10": "#000000"}
    assert [label.get_text() for label in axes.get_yticklabels()] == ["low", "high (absent)"]
    assert "hatched: no label frame of this class" in axes.get_title()
    assert [patch.get_hatch() for patch in axes.patches] == ["///"]
