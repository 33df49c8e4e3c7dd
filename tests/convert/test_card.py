"""The model card: every number in it is one that was handed over."""

from __future__ import annotations

from pathlib import Path

import pytest

from convert.card import write_card
from convert.recipes import find_recipe
from edge.bundle import Manifest

SCORES = {
    "scenes": 7,
    "keras": {"2022_macro": {"er": 0.5, "f": 0.25, "le": 12.34, "lr": 0.75, "seld": 0.4}},
    "int8": {
        "2022_macro": {"er": 0.51, "f": 0.24, "le": 12.5, "lr": 0.74, "seld": 0.41},
        "2020": {"er": 0.1, "f": 0.9, "le": 5.0, "lr": 0.95, "seld": 0.07},
    },
}
SOURCES = [
    {"source": "FSD50K", "licence": "CC0-1.0", "clips": 12},
    {"source": "seld-edge synth", "licence": "CC0-1.0", "clips": 960},
]


@pytest.fixture
def card(tmp_path: Path) -> str:
    manifest = Manifest(1, "small", "coloc", "int8", ("bell", "dog"), "", {}, scores=SCORES)
    logs = []
    for stage in ("localizer", "classifier"):
        logs.append(tmp_path / "run" / f"{stage}.csv")
        logs[-1].parent.mkdir(exist_ok=True)
        logs[-1].write_text(f"log of the {stage}")
    (tmp_path / "out").mkdir()
    write_card(tmp_path / "out", manifest, find_recipe("coloc-edge"), SOURCES, ["ok first", "ok second"], logs)
    return (tmp_path / "out" / "CARD.md").read_text()


def rows(card: str, heading: str) -> list[list[str]]:
    """Cells of the table under a heading, without its head."""
    _, _, rest = card.partition(f"## {heading}\n")
    lines = [line for line in rest.partition("\n## ")[0].splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_it_says_what_the_model_is(card: str) -> None:
    assert card.startswith("# small\n\nSystem `coloc`, int8. 2 classes: bell, dog.")
    recipe = find_recipe("coloc-edge")
    for value in (recipe.sizes.filters, recipe.training.steps, recipe.augmentation.equalizer_db, recipe.features.kind):
        assert str(value) in card


def test_it_names_every_source_with_its_licence(card: str) -> None:
    assert rows(card, "Sounds it learnt from") == [[str(value) for value in row.values()] for row in SOURCES]


def test_it_has_a_row_of_scores_for_each_rung_and_rules(card: str) -> None:
    assert rows(card, "Scores") == [
        ["keras", "2022_macro", "0.500", "0.250", "12.3", "0.750", "0.400"],
        ["int8", "2022_macro", "0.510", "0.240", "12.5", "0.740", "0.410"],
        ["int8", "2020", "0.100", "0.900", "5.0", "0.950", "0.070"],
    ]
    assert "On 7 scenes" in card


def test_it_shows_the_ladder_and_keeps_the_logs(card: str, tmp_path: Path) -> None:
    assert "```\nok first\nok second\n```" in card
    for stage in ("localizer", "classifier"):
        assert (tmp_path / "out" / f"training-{stage}.csv").read_text() == f"log of the {stage}"
