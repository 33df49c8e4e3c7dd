"""The paper's tables, on plane waves and a bundle whose answers are known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from convert.evaluation.paper_tables import PaperTables, paper_tables
from convert.evaluation.scenes import labelled_scenes
from edge.arrays.profile import load_array
from edge.audio.wav import read_wav, write_wav
from edge.nets.bundle import Bundle, load_bundle
from edge.scoring.annotations import Label
from edge.systems.coloc import streaming as coloc_streaming


@pytest.fixture(scope="module")
def bundle(tiny_bundle: Path) -> Bundle:
    return load_bundle(str(tiny_bundle))


@pytest.fixture(scope="module")
def wavs(waves_folder: Path) -> list[Path]:
    return [waves_folder / "a.wav", waves_folder / "b.wav"]


@pytest.fixture(scope="module")
def truth(waves_folder: Path) -> dict[str, list[Label]]:
    return labelled_scenes(waves_folder, ("low", "high"))[1]


@pytest.fixture(scope="module")
def tables(bundle: Bundle, wavs: list[Path], truth: dict[str, list[Label]]) -> PaperTables:
    return paper_tables(bundle, wavs, truth)


def same(one: PaperTables, other: PaperTables) -> bool:
    return np.array_equal(one.confusion, other.confusion) and np.allclose(
        one.error_deg, other.error_deg, atol=1e-3, equal_nan=True
    )


def test_one_source_and_its_class(tables: PaperTables) -> None:
    np.testing.assert_array_equal(tables.frames, [[40, 0, 0], [0, 0, 0], [0, 0, 0]])
    assert 0 < tables.error_deg[0, 0] < 8.0
    assert np.isnan(tables.error_deg).sum() == 8
    assert tables.confusion.sum(axis=1).tolist() == [20, 20]
    assert np.trace(tables.confusion[:, :2]) >= 38
    assert tables.conditional_accuracy == np.trace(tables.confusion[:, :2]) / 40
    assert f"{tables.error_deg[0, 0]:.1f} (    40)" in str(tables)


def test_a_wrong_label_is_a_wrong_answer(bundle: Bundle, wavs: list[Path]) -> None:
    found = paper_tables(bundle, wavs[:1], {"a": [Label(frame, 1, 0, -150, 20) for frame in range(6, 24)]})
    assert found.error_deg[0, 0] > 170.0
    assert found.confusion.tolist() == [[0, 0, 0], [18, 0, 0]]
    assert found.conditional_accuracy == 0.0


def test_the_mode_of_the_bundle_does_not_matter(
    bundle: Bundle, wavs: list[Path], truth: dict[str, list[Label]], tables: PaperTables
) -> None:
    settings = {**bundle.manifest.settings, "mode": "streaming"}
    streaming = replace(bundle, manifest=replace(bundle.manifest, settings=settings))
    assert same(paper_tables(streaming, wavs, truth), tables)


def test_a_bundle_without_nets_for_windows_has_no_tables(bundle: Bundle, wavs: list[Path]) -> None:
    nets = {name: net for name, net in bundle.nets().items() if name in coloc_streaming.NETS}
    with pytest.raises(ValueError, match=r"tiny: got nets .*, wanted for the tables localizer_encoder, localizer,"):
        paper_tables(bundle, wavs, {}, nets)


def test_channels_of_another_array_are_encoded(
    bundle: Bundle, wavs: list[Path], truth: dict[str, list[Label]], tables: PaperTables, tmp_path: Path
) -> None:
    for wav in wavs:
        samples, rate_hz = read_wav(wav)
        write_wav(tmp_path / wav.name, samples[:, [0, 3, 1, 2]] * np.float32([np.sqrt(0.5), 1, 1, 1]), rate_hz)
    moved = [tmp_path / wav.name for wav in wavs]
    found = paper_tables(bundle, moved, truth, array=load_array("foa_fuma"))
    assert found.error_deg[0, 0] == pytest.approx(tables.error_deg[0, 0], abs=0.5)
    assert paper_tables(bundle, moved, truth).error_deg[0, 0] > 60.0
    with pytest.raises(ValueError, match="got 4 channels, wanted 32"):
        paper_tables(bundle, moved, truth, array=replace(load_array("em32_tetra"), channels=32))
