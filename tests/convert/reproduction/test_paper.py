"""The tables of the papers as data: read, refused, ordered, and set beside our figures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from convert.data.corpora import CORPORA
from convert.reproduction.paper import Column, Paper, Row, Table, papers, read_paper
from convert.reproduction.report import table_text
from convert.reproduction.steps import Plan, figures, take_over, train_model
from convert.systems import find_system
from convert.training.recipes import changed, find_recipe, parse_changes

FOLDERS = {corpus: Path("/data") / corpus for corpus in CORPORA}
TABLE = Table(1, "a title", (Column("F %", "2020.f", 100.0, 1), Column("LE", "2020.le")), ())


def plan(paper: str, out: Path = Path("out"), **fields: object) -> Plan:
    return replace(Plan(read_paper(paper), FOLDERS, out), **fields)


@pytest.mark.parametrize("name", papers())
def test_every_model_is_a_recipe_that_fits_its_system(name: str) -> None:
    paper = read_paper(name)
    for model in paper.models:
        for changes in (model.set, paper.quick):
            words = {word.partition("=")[0]: word for word in (*model.set, *changes)}
            changed(find_recipe(model.recipe), parse_changes(list(words.values())))
        assert set(model.stages) <= set(find_system(find_recipe(model.recipe).system).stages)
    for model in paper.needed(paper.tables):
        plan(name).train_words(model)


def test_the_papers_that_there_are() -> None:
    assert papers() == ("coloc", "etri", "two-step")
    with pytest.raises(ValueError, match="paper: got 'seldnet', wanted one of coloc, etri, two-step"):
        read_paper("seldnet")
    with pytest.raises(ValueError, match="got model 'x', wanted one of development, evaluation"):
        paper = read_paper("coloc")
        replace(paper, tables=(replace(TABLE, rows=(Row("a", {}, "x"),)),))


def test_a_model_comes_after_the_one_it_begins_with() -> None:
    paper = read_paper("two-step")
    assert [model.name for model in paper.needed(paper.tables[2:])] == [
        *("step-1", "cst-former", "doa-fusion", "beams", "sed-fusion")
    ]
    assert [model.name for model in paper.needed(paper.tables[:1])] == [
        *("step-1", "cst-former-doa", "ipdnet", "spectral-conv")
    ]


def test_commands_have_the_data_of_the_paper() -> None:
    coloc = plan("coloc", changes=("training.steps=7", "device.hop_labels=40"))
    words = coloc.train_words(coloc.paper.model("development"))
    assert words[:5] == ["train", "--model", "coloc-paper", "--data", "starss22:dev-train=/data/starss22@0.5"]
    assert "device.hop_labels=40" in words and "device.hop_labels=50" not in words  # what the user says counts
    table = coloc.paper.tables[1]
    words = coloc.evaluate_words(table, table.rows[1])
    assert words[:6] == ["evaluate", "--run", "out/development", "--keras-only", "--undecoded", "--max-overlap"]
    assert words[6:] == ["3", "--scenes", "starss22:dev-test=/data/starss22", "--json"]
    assert coloc.evaluate_words(table, table.rows[1], "int8")[1:3] == ["--model", "out/development-bundle"]
    with pytest.raises(ValueError, match="data: got no folder of starss22, wanted starss22=DIR"):
        replace(coloc, folders={}).train_words(coloc.paper.model("development"))


def test_nets_that_take_a_checkpoint_begin_with_it() -> None:
    """That is SED alone: models that do not train it are not asked to."""
    two_step = plan("two-step", pretrained=Path("atst.npz"))
    begun = {model.name for model in two_step.paper.models if "--pretrained" in two_step.train_words(model)}
    assert begun == {"step-1", "sed-plain"}
    words = two_step.train_words(two_step.paper.model("step-1"))
    assert words[words.index("--pretrained") + 1] == "atst.npz"


def test_a_model_takes_over_features_and_nets(tmp_path: Path) -> None:
    two_step = plan("two-step", tmp_path)
    (tmp_path / "step-1" / "cache").mkdir(parents=True)
    for stage in ("doa", "sed"):
        (tmp_path / "step-1" / f"{stage}.weights.h5").write_text(stage)
    for name, taken in (("beams", {"doa", "sed"}), ("sed-plain", {"doa"})):
        take_over(two_step, two_step.paper.model(name))
        assert {path.name.partition(".")[0] for path in (tmp_path / name).glob("*.h5")} == taken
        assert (tmp_path / name / "cache").resolve() == (tmp_path / "step-1" / "cache").resolve()


def test_a_folder_holds_one_training(tmp_path: Path) -> None:
    coloc = plan("coloc", tmp_path, options=("--jobs", "2"))
    model, ran = coloc.paper.model("development"), list[list[str]]()

    def command(words: Sequence[str]) -> str:
        ran.append(list(words))
        return ""

    for jobs in ("2", "3"):  # which change nothing
        train_model(replace(coloc, options=("--jobs", jobs)), model, command)
    assert [words[-1] for words in ran] == ["2", "3"]
    for stage in ("localizer", "classifier"):
        (tmp_path / "development" / f"{stage}.weights.h5").touch()
    train_model(coloc, model, command)
    assert len(ran) == 2  # it is trained
    with pytest.raises(ValueError, match=r"command\.txt: got another training, wanted seld-convert train .*steps=7"):
        train_model(replace(coloc, changes=("training.steps=7",)), model, command)


def test_figures_have_the_units_of_the_table() -> None:
    scores = {"2020": {"f": 0.5, "le": None}, "doa_error_deg": [[12.5], [3.0, 4.5]]}
    assert figures(TABLE, Row("a", {}), scores) == {"F %": 50.0}
    assert figures(TABLE, Row("a", {}, metrics={"LE": "doa_error_deg.1.1"}), scores) == {"LE": 4.5}


def test_the_text_has_the_papers_figures_first() -> None:
    rows = (Row("theirs", {"F %": 21, "LE": 3.456}), Row("ours", {"F %": 30}, "m"))
    text = table_text(replace(TABLE, rows=rows), {"ours": {"keras": {"F %": 31.25, "LE": 2.0}, "int8": {"F %": 29}}})
    title, _, head, _, theirs, ours, _ = text.split("\n")
    assert title == "Table 1: a title"
    assert head.split("|")[2].strip() == "F %: paper / keras / int8"
    assert [cell.strip() for cell in theirs.split("|")[1:-1]] == ["theirs", "21.0 / - / -", "3.46 / - / -"]
    assert [cell.strip() for cell in ours.split("|")[1:-1]] == ["ours", "30.0 / 31.2 / 29.0", "- / 2.00 / -"]


def test_a_paper_is_checked() -> None:
    assert isinstance(read_paper("etri"), Paper)
    etri = read_paper("etri")
    assert [row.label for row in etri.tables[1].rows] == ["ETRL1", "ETRL2", "ETRL3", "ETRL4"]
    recipes = {model.name: changed(find_recipe(model.recipe), parse_changes(list(model.set))) for model in etri.models}
    variants = {name: (each.augmentation.speed, each.training.cycles) for name, each in recipes.items()}
    assert variants == {
        "etrl1": ((1.0, 1.0), 1),
        "etrl2": ((1.0, 1.0), 1),
        "etrl3": ((1.0, 1.0), 5),
        "etrl4": ((0.8, 1.25), 5),
    }
    assert {model.name: model.train for model in etri.models if model.train != ("tnsse2020:dev",)} == {
        "etrl1": ("tnsse2020:fold3:fold4:fold5:fold6",)
    }
