"""The model card prints the given numbers and nothing else."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from convert.quantize.card import write_card
from convert.systems.recipe import TrainSettings
from convert.training.recipes import find_recipe
from convert.training.run_json import RunFile
from edge.nets.bundle import Manifest

SCORES = {
    "scenes": 7,
    "window": {
        "keras": {"2022_macro": {"er": 0.5, "f": 0.25, "le": 12.34, "lr": 0.75, "seld": 0.4}},
        "int8": {
            "2022_macro": {"er": 0.51, "f": 0.24, "le": 12.5, "lr": 0.74, "seld": 0.41},
            "2020": {"er": 0.1, "f": 0.9, "le": 5.0, "lr": 0.95, "seld": 0.07},
        },
    },
    "streaming": {"int8": {"2020": {"er": 0.2, "f": 0.8, "le": 6.0, "lr": 0.9, "seld": 0.1}}},
}
SOURCES = [
    {"source": "FSD50K", "licence": "CC0-1.0", "clips": 12, "attribution": "Ann / Bob"},
    {"source": "seld-edge synth", "licence": "CC0-1.0", "clips": 960},
]


TRAINING = {"localizer": TrainSettings(steps=1234), "classifier": TrainSettings(steps=77)}


def write(
    folder: Path,
    sources: list[dict[str, object]] = SOURCES,
    curves: bool = True,
    scores: dict[str, Any] = SCORES,
    log: str = "log of the {stage}",
    float_ops: tuple[str, ...] = (),
) -> str:
    manifest = Manifest(1, "small", "coloc", "int8", ("bell", "dog"), "", {}, scores=scores, float_ops=float_ops)
    run = folder / "run"
    for path in (run, folder / "out"):
        path.mkdir()
    for stage in TRAINING:
        (run / f"{stage}.csv").write_text(log.format(stage=stage))
    if curves:
        (run / "curves.png").write_bytes(b"a picture")
    file = RunFile("coloc-edge", sources, TRAINING)
    write_card(folder / "out", manifest, find_recipe("coloc-edge"), file, run, ["ok first", "ok second"])
    return (folder / "out" / "CARD.md").read_text()


@pytest.fixture
def card(tmp_path: Path) -> str:
    return write(tmp_path)


def rows(card: str, heading: str) -> list[list[str]]:
    """The cells of the table under a heading, without the first row."""
    _, _, rest = card.partition(f"## {heading}\n")
    lines = [line for line in rest.partition("\n## ")[0].splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_it_says_what_the_model_is(card: str) -> None:
    assert card.startswith("# small\n\nSystem `coloc`, int8. 2 classes: bell, dog.")
    recipe = find_recipe("coloc-edge")
    for value in (recipe.sizes.filters, recipe.augmentation.equalizer_db, recipe.features.kind):
        assert str(value) in card


def test_it_has_the_schedule_of_each_stage(card: str) -> None:
    for stage, schedule in TRAINING.items():
        assert re.search(rf"schedule of the {stage}: .*'steps': {schedule.steps}", card)


@pytest.mark.parametrize(
    ("sources", "said"),
    [
        (SOURCES, "rooms simulated by `seld-convert scenes`; no recorded room, no real microphone array"),
        ([{"source": "starss23", "licence": "-", "clips": 90, "corpus": True}], "recordings of starss23"),
        (
            [*SOURCES, {"source": "starss23", "licence": "-", "clips": 90, "corpus": True}],
            "rooms simulated by `seld-convert scenes`; recordings of starss23",
        ),
    ],
)
def test_it_says_whether_rooms_were_recorded(sources: list[dict[str, object]], said: str, tmp_path: Path) -> None:
    assert f"- scenes: {said}\n" in write(tmp_path, sources)


def test_it_names_every_source_with_its_licence(card: str) -> None:
    assert rows(card, "Sources of the sounds") == [
        ["FSD50K", "CC0-1.0", "12", "Ann / Bob"],
        ["seld-edge synth", "CC0-1.0", "960", ""],
    ]


def test_it_has_a_row_of_scores_for_each_mode_rung_and_rules(card: str) -> None:
    assert rows(card, "Scores") == [
        ["window", "keras", "2022_macro", "0.500", "0.250", "12.3", "0.750", "0.400"],
        ["window", "int8", "2022_macro", "0.510", "0.240", "12.5", "0.740", "0.410"],
        ["window", "int8", "2020", "0.100", "0.900", "5.0", "0.950", "0.070"],
        ["streaming", "int8", "2020", "0.200", "0.800", "6.0", "0.900", "0.100"],
    ]
    assert "On the 7 scenes that were given to `seld-convert export`" in card


def test_without_scores_it_has_no_section_on_scores(tmp_path: Path) -> None:
    text = write(tmp_path, scores={})
    assert "## Scores" not in text
    assert "## Ladder" in text


def test_it_does_not_print_what_was_not_measured_for_this_bundle(card: str) -> None:
    assert "weakness" not in card
    assert "not trained on" not in card


def test_it_shows_the_ladder_and_keeps_the_logs(card: str, tmp_path: Path) -> None:
    assert "```\nok first\nok second\n```" in card
    for stage in ("localizer", "classifier"):
        assert (tmp_path / "out" / f"training-{stage}.csv").read_text() == f"log of the {stage}"


def test_it_shows_the_curves_where_there_are_any(card: str, tmp_path: Path) -> None:
    assert "![Loss over the steps](training-curves.png)" in card  # the logs have no scores
    assert (tmp_path / "out" / "training-curves.png").read_bytes() == b"a picture"
    (tmp_path / "without").mkdir()
    assert "curves.png" not in write(tmp_path / "without", curves=False)


def test_it_promises_scores_where_the_curves_have_some(tmp_path: Path) -> None:
    card = write(tmp_path, log="step,loss,dev_loss\n1,0.5,0.6\n")
    assert "![Loss and scores on development data over the steps](training-curves.png)" in card


def test_it_says_which_operations_are_in_float(card: str, tmp_path: Path) -> None:
    assert "in float" not in card
    (tmp_path / "floats").mkdir()
    assert "the recipe allows NEG, SPLIT in float" in write(tmp_path / "floats", float_ops=("NEG", "SPLIT"))


def test_scores_of_distances_have_a_column(tmp_path: Path) -> None:
    """A number that is not known is a dash, and rules without distances have none."""
    (tmp_path / "run").mkdir()
    rows = {"2022_macro": {"er": 0.5, "f": 0.25, "le": 12.34, "lr": 0.75, "seld": 0.4}}
    rows |= {"2024_macro": {"er": 0.6, "f": 0.2, "le": None, "lr": 0.7, "seld": 0.5, "rde": 0.321}}  # type: ignore[dict-item]
    scores, settings = {"scenes": 7, "window": {"int8": rows}}, {"distance": True}
    manifest = Manifest(1, "small", "coloc", "int8", ("bell", "dog"), "", {}, scores=scores, settings=settings)
    file = RunFile("coloc-edge", SOURCES, TRAINING)
    write_card(tmp_path, manifest, find_recipe("coloc-edge"), file, tmp_path / "run", [])
    card = (tmp_path / "CARD.md").read_text()
    assert "| LR | SELD | RDE |\n|---|---|---|---|---|---|---|---|---|\n" in card
    assert "| window | int8 | 2022_macro | 0.500 | 0.250 | 12.3 | 0.750 | 0.400 | - |\n" in card
    assert "| window | int8 | 2024_macro | 0.600 | 0.200 | - | 0.700 | 0.500 | 0.321 |\n" in card
