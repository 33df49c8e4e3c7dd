"""`seld-convert reproduce --quick`: from folders in the publishers' layout to the tables of each paper."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import keras
import pytest

from convert.cli import main
from convert.commands import reproduce
from convert.reproduction.paper import read_paper
from convert.training import dev_score
from convert.training.csv_log import read_log


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What the commands set is set back; development data are few."""
    for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
    monkeypatch.setattr(dev_score, "CHUNKS", 16)
    yield
    keras.mixed_precision.set_global_policy("float32")


def reproduced(paper: str, out: Path, *options: str) -> str:
    """Run the command; return the file of its tables."""
    words = ["reproduce", paper, "--quick", "--out", str(out), "--jobs", "1", "--threads", "1"]
    assert main([*words, *options]) == 0
    return (out / reproduce.TABLES_FILE).read_text()


def cells(text: str, row: str) -> list[str]:
    """The cells of a row of a table."""
    (line,) = (line for line in text.splitlines() if line.startswith(f"| {row} "))
    return [cell.strip() for cell in line.strip("|").split("|")[1:]]


def check_rows(text: str, paper: str, numbers: tuple[int, ...]) -> None:
    """Every row of the tables has the paper's figures, and ours where there is a model to score."""
    for table in read_paper(paper).tables:
        if table.number not in numbers:
            continue
        _, _, part = text.partition(f"Table {table.number}: {table.title}\n")
        part, _, _ = part.partition("\nTable ")
        for row in table.rows:
            for column, cell in zip(table.columns, cells(part, row.label), strict=True):
                printed, _, ours = cell.partition(" / ")
                if column.name in row.paper:
                    assert printed == f"{row.paper[column.name]:.{column.digits}f}"
                    without = set(ours.split(" / ")) == {"-"}
                    assert without == (not row.model) or column.name.startswith("MAE")  # none may be near


def test_coloc(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = reproduced("coloc", tmp_path, "--table", "2")
    check_rows(text, "coloc", (2,))
    assert "The figures mean nothing." in text
    commands = [line for line in capsys.readouterr().err.splitlines() if line.startswith("seld-convert ")]
    train, *scored = commands
    for words in ("--model coloc-paper", "starss22:dev-train=", "@0.5 --data dcase2022_synth=", "device.mode="):
        assert words in train
    assert ["--max-overlap 3" in each and "--undecoded" in each for each in scored] == [True, False]

    # What is done is not done again; a table of the same scores needs no training.
    (kept, *_) = sorted((tmp_path / "scores").glob("*.json"))
    stored = json.loads(kept.read_text())
    assert stored["command"] in scored
    assert reproduced("coloc", tmp_path, "--table", "2") == text
    assert "seld-convert " not in capsys.readouterr().err


def test_etri(tmp_path: Path) -> None:
    text = reproduced("etri", tmp_path, "--table", "1")
    check_rows(text, "etri", (1,))
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()].count("etrl1") == 1
    assert read_log(tmp_path / "etrl1" / "doae.csv")[-1]["step"] == "2"


def test_two_step(tmp_path: Path) -> None:
    text = reproduced("two-step", tmp_path, "--table", "2")
    check_rows(text, "two-step", (2,))
    assert not (tmp_path / "sed-fusion").exists()  # step 1 alone is scored


def test_where_to_compute_reaches_the_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = []

    def refuse(words: Sequence[str]) -> str:
        ran.append(words)
        raise ValueError("enough")

    monkeypatch.setattr(reproduce, "_command_here", refuse)
    where = ["--jobs", "3", "--threads", "1", "--dask", "tcp://host:8786", "--data-parallel"]
    assert main(["reproduce", "coloc", "--quick", "--out", str(tmp_path), *where]) == 2
    ((command, *words),) = ran
    assert (command, words[-7:]) == ("train", where)


def test_a_step_that_fails_in_its_process_is_told() -> None:
    with pytest.raises(ValueError, match=r"^seld-convert evaluate failed: --keras-only: got no --run, wanted the run"):
        reproduce._command(["evaluate", "--scenes", "nowhere", "--keras-only"])


BAD_INPUT = {
    "coloc": "got no --data, wanted the folders of dcase2022_synth, starss22, or --quick",
    "coloc --data nowhere": "data: got no folder of starss22, wanted starss22=DIR, or a folder starss22 in --data",
    "seldnet --quick": "paper: got 'seldnet', wanted one of coloc, etri, two-step",
    "etri --quick --pretrained a.npz": "pretrained: got a.npz, wanted a paper of whose nets one takes a checkpoint",
    "etri --quick --table 4": "table: got 4, wanted one of 1, 2",
}


@pytest.mark.parametrize("options", BAD_INPUT)
def test_bad_input_is_one_line_and_exit_code_2(
    options: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["reproduce", *options.split(), "--out", str(tmp_path / "out")]) == 2
    err = capsys.readouterr().err
    assert err == f"seld-convert: {BAD_INPUT[options]}\n"
    assert not (tmp_path / "out").exists()


@pytest.mark.long
@pytest.mark.parametrize("paper", ["coloc", "etri", "two-step"])
def test_all_tables(paper: str, tmp_path: Path) -> None:
    check_rows(reproduced(paper, tmp_path, "--export"), paper, (1, 2, 3))
