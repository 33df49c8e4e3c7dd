import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from convert.clips.library import active_hops, load_clip_library, merge_libraries

RATE_HZ = 24000
HEADER = "split,file,class,group,source,licence,seconds\n"


def noise(seconds: float, rate_hz: int = RATE_HZ) -> np.ndarray:
    return 0.1 * np.random.default_rng(0).standard_normal(round(seconds * rate_hz))


def write(path: Path, samples: np.ndarray, rate_hz: int = RATE_HZ) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate_hz)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    rows = [("train", "dog"), ("test", "dog"), ("train", "interferer"), ("test", "bell")]
    lines = []
    for index, (split, name) in enumerate(rows):
        write(tmp_path / name / f"{index}.wav", noise(0.5))
        lines.append(f"{split},{name}/{index}.wav,{name},g{index},source {index},CC0,0.5\n")
    (tmp_path / "clips.csv").write_text(HEADER + "".join(lines))
    return tmp_path


def test_splits_are_strict_and_share_their_class_names(table: Path) -> None:
    train, test, both = (load_clip_library(table, split) for split in ("train", "test", None))
    assert train.class_names == test.class_names == both.class_names == ("bell", "dog")
    assert [clip.group for clip in train.clips] == ["g0", "g2"]
    assert [clip.group for clip in test.clips] == ["g1", "g3"]
    assert len(both.clips) == 4
    assert train.of_class("bell") == {}
    assert train.sources() == [{"source": f"source {index}", "licence": "CC0", "clips": 1} for index in (0, 2)]


def test_a_folder_per_class_needs_no_table(tmp_path: Path) -> None:
    write(tmp_path / "dog" / "a.flac", noise(0.3))
    write(tmp_path / "interferer" / "b.wav", noise(0.3))
    (tmp_path / "dog" / "readme.txt").write_text("not a sound")
    library = load_clip_library(tmp_path)
    assert library.class_names == ("dog",)
    assert [clip.seconds for clip in library.clips] == [0.3, 0.3]
    assert library.sources() == [{"source": str(tmp_path), "licence": "unknown", "clips": 2}]
    with pytest.raises(ValueError, match="wanted None"):
        load_clip_library(tmp_path, "train")


def test_folders_of_splits(tmp_path: Path) -> None:
    write(tmp_path / "train" / "dog" / "a.wav", noise(0.3))
    write(tmp_path / "test" / "cat" / "b.wav", noise(0.3))
    library = load_clip_library(tmp_path, "test")
    assert library.class_names == ("cat", "dog")
    assert [clip.class_name for clip in library.clips] == ["cat"]


def test_merging_gives_the_union_of_the_classes(table: Path, tmp_path: Path) -> None:
    write(tmp_path / "more" / "cat" / "a.wav", noise(0.3))
    merged = merge_libraries([load_clip_library(table, "train"), load_clip_library(tmp_path / "more")])
    assert merged.class_names == ("bell", "cat", "dog")
    assert len(merged.clips) == 3
    with pytest.raises(ValueError, match="one rate"):
        merge_libraries([load_clip_library(table), load_clip_library(table, sample_rate_hz=16000)])
    with pytest.raises(ValueError, match="one rate"):
        merge_libraries([])


def test_decoding_resamples_trims_and_centres(tmp_path: Path) -> None:
    padded = np.concatenate([np.zeros(48000), noise(0.5, 48000), np.zeros(24000)])
    write(tmp_path / "dog" / "a.wav", np.stack([padded, padded], axis=1), 48000)
    library = load_clip_library(tmp_path)
    samples = library.samples(library.clips[0])
    assert samples.dtype == np.float32
    assert abs(len(samples) / RATE_HZ - 0.5) <= 0.04
    assert library.samples(library.clips[0]) is samples
    with pytest.raises(ValueError, match="read-only"):
        samples[0] = 1

    write(tmp_path / "offset" / "a.wav", noise(0.5) + 0.3)
    library = load_clip_library(tmp_path)
    offset = next(clip for clip in library.clips if clip.class_name == "offset")
    assert abs(float(library.samples(offset).mean())) < 1e-3


def test_hops_far_below_the_peak_are_inactive() -> None:
    samples = noise(1.0).astype(np.float32)
    samples[6000:12000] *= 0.01
    active = active_hops(samples, RATE_HZ)
    assert len(active) == 100
    assert not active[27:48].any()
    assert active[:24].all()
    assert active[51:].all()
    assert active_hops(samples, RATE_HZ, 60).all()


@pytest.mark.parametrize("samples", [np.zeros(2400), np.zeros(0)])
def test_a_silent_clip_is_an_error_that_names_it(tmp_path: Path, samples: np.ndarray) -> None:
    write(tmp_path / "dog" / "silent.wav", samples)
    library = load_clip_library(tmp_path)
    with pytest.raises(ValueError, match=r"silent\.wav"):
        library.samples(library.clips[0])


def test_a_broken_clip_is_an_error_that_names_it(table: Path) -> None:
    (table / "dog" / "0.wav").write_bytes(b"not audio")
    library = load_clip_library(table, "train")
    with pytest.raises(ValueError, match=r"0\.wav"):
        library.samples(library.clips[0])


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("validation,dog/0.wav,dog,g,s,l,1\n", "validation"),
        ("train,dog/none.wav,dog,g,s,l,1\n", r"none\.wav"),
        ("train,dog/0.wav,dog,g,s,l,long\n", "a number"),
        ("train,dog/0.wav,dog,g,s,l\n", "a number"),
    ],
)
def test_a_bad_row_is_an_error_with_its_line(table: Path, row: str, message: str) -> None:
    (table / "clips.csv").write_text(HEADER + row)
    with pytest.raises(ValueError, match=message) as error:
        load_clip_library(table)
    assert "clips.csv:2" in str(error.value)


def test_bad_folders_are_errors(table: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="exists"):
        load_clip_library(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="wanted one of"):
        load_clip_library(table, "validation")
    (table / "clips.csv").write_text("split,file\n")
    with pytest.raises(ValueError, match="without the columns"):
        load_clip_library(table)
    (table / "clips.csv").write_text(HEADER)
    with pytest.raises(ValueError, match="no clips"):
        load_clip_library(table)


@pytest.mark.parametrize("split", ["", "train"])
def test_an_empty_folder_of_a_class_is_named(
    split: str, clips_folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The class would be missing from the model without a word."""
    shutil.copytree(clips_folder, tmp_path / "clips" / split)
    root = tmp_path / "clips"
    load_clip_library(root)
    assert caplog.messages == []
    (root / split / "rain").mkdir()
    (root / split / "rain" / "notes.txt").write_text("recordings follow")
    assert load_clip_library(root).class_names == ("hiss", "tone")
    assert caplog.messages == [f"{root / split / 'rain'}: got no sound file, wanted some in the folder of a class"]
