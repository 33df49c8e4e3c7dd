"""The probe: it tells classes apart that differ, and finds a clip that is planted under a wrong name."""

import csv
from pathlib import Path

import numpy as np
import pytest
import soundfile

from convert.cli import main
from convert.clips import probe
from convert.clips.library import load_clip_library

RATE_HZ = 24_000
TONES_HZ = {"bell": 3000.0, "door": 200.0, "music": 900.0}


def sound(rng: np.random.Generator, name: str) -> np.ndarray:
    t = np.arange(RATE_HZ // 2) / RATE_HZ
    tone = np.sin(2 * np.pi * TONES_HZ[name] * rng.uniform(0.9, 1.1) * t) * np.exp(-t * rng.uniform(3, 9))
    return rng.uniform(0.1, 0.9) * (tone + 0.02 * rng.standard_normal(len(t)))


def write_library(folder: Path, sources: int = 3, wrong: str | None = None, seed: int = 0) -> Path:
    """Two groups of two clips for each class and source; the clip `wrong` has the sound of a bell."""
    rng, rows = np.random.default_rng(seed), []
    for name in TONES_HZ:
        (folder / name).mkdir(parents=True)
        for number in range(4 * sources):
            file = f"{name}/{number:02d}.wav"
            soundfile.write(folder / file, sound(rng, "bell" if file == wrong else name), RATE_HZ)
            group = f"g{number // 2}"
            rows.append(("train", file, name, f"{name}-{group}", f"source-{number // 4}", "CC0-1.0", "0.50"))
    with (folder / "clips.csv").open("w", newline="") as table:
        csv.writer(table).writerows([("split", "file", "class", "group", "source", "licence", "seconds"), *rows])
    return folder


def judged(folder: Path, by: str) -> tuple[list, probe.Judgement]:
    library = load_clip_library(folder)
    clips = probe.labelled_clips(library)
    return clips, probe.judge_folds(probe.describe(library, clips), clips, by)


def test_statistics_do_not_depend_on_the_gain():
    samples = sound(np.random.default_rng(0), "bell")
    loud, soft = (probe.log_mel_statistics(gain * samples, RATE_HZ) for gain in (1.0, 0.01))
    assert loud.shape == (6 * probe.BANDS,)
    np.testing.assert_allclose(loud, soft, atol=1e-6)


def test_statistics_of_the_shortest_clips_are_finite():
    assert np.isfinite(probe.log_mel_statistics(np.ones(3), RATE_HZ)).all()


@pytest.mark.parametrize("by", ["source", "group"])
def test_classes_that_differ_are_told_apart(tmp_path, by):
    _, judgement = judged(write_library(tmp_path), by)
    np.testing.assert_array_equal(judgement.recall(), [1.0, 1.0, 1.0])
    np.testing.assert_array_equal(judgement.confusion(), 12 * np.eye(3, dtype=int))


@pytest.mark.parametrize("planted", ["door/05.wav", None])
def test_a_planted_clip_is_found_and_no_other(tmp_path, planted):
    folder = write_library(tmp_path, sources=6, wrong=planted)
    clips, by_group = judged(folder, "group")
    _, by_source = judged(folder, "source")
    found = probe.mislabelled(by_group, by_source, 1.0)
    assert [clips[index].path.relative_to(folder).as_posix() for index in found] == ([planted] if planted else [])


def test_a_class_of_one_source_is_not_judged_by_sources(tmp_path):
    folder = write_library(tmp_path)
    table = folder / "clips.csv"
    rows = table.read_text().splitlines()
    kept = [row for row in rows if ",bell," not in row or row.endswith("source-0,CC0-1.0,0.50")]
    table.write_text("\n".join(kept) + "\n")
    _, judgement = judged(folder, "source")
    bell = judgement.class_names.index("bell")
    assert np.isnan(judgement.recall()[bell]) and not judgement.judged[judgement.labels == bell].any()
    assert judgement.judged[judgement.labels != bell].all()


def test_one_source_cannot_be_left_out(tmp_path):
    with pytest.raises(ValueError, match="got clips of the one source 'source-0'"):
        judged(write_library(tmp_path, sources=1), "source")


def test_one_library_judges_another(tmp_path, capsys):
    first, second = write_library(tmp_path / "a"), write_library(tmp_path / "b", wrong="music/00.wav", seed=1)
    assert main(["probe", "--train", str(first), "--test", str(second)]) == 0
    out = capsys.readouterr().out
    assert "| music | 12 | 0.92 | bell 1 |" in out and "| mean | 36 | 0.972 | |" in out


def test_sources_that_are_held_back_are_judged_and_not_learnt(tmp_path, capsys):
    """Both libraries call the bells of the held-back source doors; only the judged one has another source of them."""
    first, second = write_library(tmp_path / "a"), write_library(tmp_path / "b", sources=4, seed=1)
    for table in (first / "clips.csv", second / "clips.csv"):
        rows = table.read_text().splitlines()
        table.write_text(
            "\n".join(row.replace(",bell,bell", ",door,bell") if "source-1" in row else row for row in rows)
        )
    assert main(["probe", "--train", str(first), "--test", str(second), "--held-back", "source-1,source-3"]) == 0
    out = capsys.readouterr().out
    assert "| bell | 4 | 1.00 |" in out and "| door | 12 | 0.67 | bell 4 |" in out and "| music | 8 | 1.00 |" in out


def test_the_command_lists_and_writes_what_it_suspects(tmp_path, capsys):
    folder, drop = write_library(tmp_path / "clips", sources=6, wrong="door/05.wav"), tmp_path / "drop.txt"
    assert main(["probe", "--clips", str(folder), "--suspicion", "1", "--drop-to", str(drop)]) == 0
    out = capsys.readouterr().out
    assert "1 of 72 clips sound like another class" in out and "door -> bell" in out
    assert drop.read_text() == "door/05.wav\n"


@pytest.mark.parametrize(
    "options", [[], ["--clips", "x", "--train", "x", "--test", "x"], ["--train", "x"], ["--clips", "x", "--test", "x"]]
)
def test_options_that_do_not_fit_together_are_refused(options, capsys):
    assert main(["probe", *options]) == 2
    assert "--clips" in capsys.readouterr().err
