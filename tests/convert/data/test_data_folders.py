"""The argument of `--data`: its folders, their classes and their sources."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pytest

from convert.data.build_cache import build_cache
from convert.data.cache import INDEX, TRACKS
from convert.data.corpora import CORPORA
from convert.data.folders import choose_classes, find_data, read_arrays, read_sources
from edge.arrays.profile import load_array
from edge.audio.wav import write_wav
from edge.frontend.maps import FeatureSettings
from edge.frontend.stft import StftSettings
from edge.scoring.annotations import Label, write_annotations

STARSS = CORPORA["starss23"]


def scenes(folder: Path, class_names: tuple[str, ...] = ("door", "bell"), **entries: object) -> Path:
    """One own scene of a second with a label of each class."""
    folder.mkdir(parents=True)
    (folder / "scenes.json").write_text(json.dumps({"class_names": class_names, **entries}))
    write_wav(folder / "a.wav", np.zeros((24000, 4), np.float32), 24000)
    write_annotations(folder / "a.csv", [Label(index, index, 0, 0, 0) for index in range(len(class_names))])
    return folder


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """A small STARSS23: one training and one test recording, in both formats, with a label of each class."""
    root = tmp_path / "starss23"
    for split in ("train", "test"):
        for audio in ("foa", "mic"):
            folder = root / f"{audio}_dev" / f"dev-{split}-sony"
            folder.mkdir(parents=True)
            write_wav(folder / "b.wav", np.zeros((48000, 4), np.float32), 24000)
        folder = root / "metadata_dev" / f"dev-{split}-sony"
        folder.mkdir(parents=True)
        write_annotations(folder / "b.csv", [Label(index, index, 0, 0, 0) for index in range(len(STARSS))])
    return root


@pytest.mark.parametrize(
    ("word", "path", "corpus_name", "weight"),
    [
        ("scenes", "scenes", None, None),
        ("scenes@0.5", "scenes", None, 0.5),
        ("odd@name@2", "odd@name", None, 2.0),
        ("odd@name", "odd@name", None, None),
        ("./a=b", "a=b", None, None),
        ("starss23=starss23", "starss23", "starss23", None),
        ("starss23:mic=starss23@1e-3", "starss23", "starss23", 1e-3),
    ],
)
def test_arguments_name_folder_corpus_and_weight(
    word: str,
    path: str,
    corpus_name: str | None,
    weight: float | None,
    corpus: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("scenes", "odd@name", "a=b"):
        scenes(tmp_path / name)
    (folder,) = find_data([word], ["train"])
    assert (folder.path, folder.corpus, folder.weight) == (Path(path), corpus_name, weight)
    (recording,) = folder.recordings
    assert recording.split == (None if corpus_name is None else "train")
    assert recording.array == load_array("em32_tetra" if ":mic" in word else "foa")


def test_corpora_contribute_the_splits_asked_for(corpus: Path) -> None:
    (folder,) = find_data([f"starss23={corpus}"], ["val", "test"])
    assert [recording.split for recording in folder.recordings] == ["test"]
    with pytest.raises(ValueError, match="starss23: got no recordings to val with, wanted some"):
        find_data([f"starss23={corpus}"], ["val"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["{own}@0"], "got weight 0 in '.*own@0', wanted one above 0"),
        (["{own}@-1"], "got weight -1 in"),
        (["{own}@nan"], "got weight nan in"),
        (["{own}@1", "{own}"], "got weights for 1 of 2 folders, wanted them for all or for none"),
        (["starss99={corpus}"], "got data set 'starss99', wanted one of"),
        (
            ["starss23:stereo={corpus}"],
            r"got 'stereo', wanted a part of starss23 that is there \(dev, dev-test, .*\) or",
        ),
        (["starss23:foa:mic={corpus}"], "got formats foa, mic in .*, wanted one of foa, mic, both"),
        ([""], r"data: got '', wanted \[CORPUS\[:foa\|mic\|both\]\[:SPLIT...\]=\]DIR"),
        (["{own}@half"], "own@half: got no scenes.json"),
    ],
)
def test_invalid_arguments_are_errors(words: list[str], message: str, corpus: Path, tmp_path: Path) -> None:
    own = scenes(tmp_path / "own")
    with pytest.raises(ValueError, match=message):
        find_data([word.format(own=own, corpus=corpus) for word in words], ["train"])


def test_classes_are_those_of_scenes_then_of_the_start_then_of_the_corpus(corpus: Path, tmp_path: Path) -> None:
    own = str(scenes(tmp_path / "own"))
    both = find_data([f"starss23={corpus}", own], ["train"])
    assert choose_classes(both) == choose_classes(both, ("bell", "music")) == ("door", "bell")
    assert choose_classes(both[:1], ("bell", "music")) == ("bell", "music")
    assert choose_classes(both[:1]) == STARSS
    assert choose_classes(both, None, ("music", "bell")) == ("music", "bell")


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (None, r"other: got classes \('dog',\), wanted \('door', 'bell'\), or --classes"),
        (("bell", "bell"), "got classes .*, wanted each of them once"),
        (("bell",), r"other: got classes \('dog',\), wanted some of \('bell',\)"),
    ],
)
def test_classes_that_do_not_fit(asked: tuple[str, ...] | None, message: str, tmp_path: Path) -> None:
    folders = find_data([str(scenes(tmp_path / "own")), str(scenes(tmp_path / "other", ("dog",)))], ["train"])
    with pytest.raises(ValueError, match=message):
        choose_classes(folders, None, asked)


def test_classes_that_are_left_out_are_logged(corpus: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folders = find_data([f"starss23={corpus}", str(scenes(tmp_path / "own"))], ["train"])
    with caplog.at_level(logging.WARNING):
        choose_classes(folders, None, ("door", "bell", "rain"))
    left_out, missing = caplog.messages
    assert left_out.startswith(f"{corpus}: labels of these classes are left out: ")
    assert left_out.endswith(", ".join(name for name in STARSS if name not in ("door", "bell")))
    assert missing == "rain: no folder has labels of this class"


def test_a_mix_has_labels_of_one_numbering(corpus: Path, tmp_path: Path) -> None:
    words = [f"starss23:mic={corpus}@1", str(scenes(tmp_path / "own")) + "@3"]
    folders, names = find_data(words, ["train"]), ("bell", "door", "music")
    cache = build_cache(folders, names, tmp_path / "cache", StftSettings(), FeatureSettings("logmel_iv", 16))
    assert (cache.class_names, cache.first_labels) == (names, (0, 20, 30))
    assert cache.chances == pytest.approx([0.25, 0.75])
    empty = np.all(cache.tracks[0, :, :3] == 0, axis=-1)
    heard = {int(label): int(cache.tracks[0, label, 3]) for label in np.flatnonzero(~empty)}
    known = {STARSS.index(name): names.index(name) for name in names}
    assert heard == known | {20: names.index("door"), 21: names.index("bell")}
    np.testing.assert_array_equal(cache.tracks[0, empty, 3], 3)


@pytest.mark.parametrize("change", ["labels", "audio", "classes", "array", "folders"])
def test_whatever_changes_the_data_rebuilds_the_cache(change: str, corpus: Path, tmp_path: Path) -> None:
    settings = tmp_path / "cache", StftSettings(), FeatureSettings("logmel_iv", 16)
    own, word, names = scenes(tmp_path / "own"), f"starss23={corpus}", STARSS
    build_cache(find_data([word, str(own)], ["train"]), names, *settings)
    before = (tmp_path / "cache" / "maps.f16").stat().st_mtime_ns
    build_cache(find_data([word, str(own)], ["train"]), names, *settings)
    assert (tmp_path / "cache" / "maps.f16").stat().st_mtime_ns == before
    words = [word, str(own)]
    if change == "labels":
        write_annotations(corpus / "metadata_dev" / "dev-train-sony" / "b.csv", [])
    elif change == "audio":
        write_wav(corpus / "foa_dev" / "dev-train-sony" / "b.wav", np.zeros((52800, 4), np.float32), 24000)
    elif change == "classes":
        names = names[::-1]
    elif change == "array":
        words[0] = f"starss23:mic={corpus}"
    else:
        words.reverse()
    cache = build_cache(find_data(words, ["train"]), names, *settings)
    assert (tmp_path / "cache" / "maps.f16").stat().st_mtime_ns != before
    if change == "labels":
        assert not cache.tracks[:, :20, :3].any()


def test_sources_of_scenes_and_corpora(corpus: Path, tmp_path: Path) -> None:
    rows = [{"source": "a", "licence": "CC0", "clips": 3}, {"source": "a", "licence": "MIT", "clips": 1}]
    rows[1]["attribution"] = "Ann"
    more = {"source": "a", "licence": "CC0", "clips": 5}
    words = [
        str(scenes(tmp_path / "own", sources=rows)),
        f"starss23={corpus}",
        str(scenes(tmp_path / "more", sources=[more])),
    ]
    row = {"source": "starss23", "licence": "that of the data set", "clips": 1, "corpus": True}
    assert read_sources(find_data(words, ["train"])) == [more, rows[1], row]


@pytest.mark.parametrize("sources", [3, [3], [{"source": "a"}], [{"source": "a", "licence": "b", "clips": "many"}]])
def test_invalid_sources_are_errors(sources: object, tmp_path: Path) -> None:
    folders = find_data([str(scenes(tmp_path / "own", sources=sources))], ["train"])
    with pytest.raises(ValueError, match=r"own/scenes\.json: got other sources, wanted source, licence, clips"):
        read_sources(folders)


def test_scenes_made_here_name_their_sources(scenes_folder: Path) -> None:
    (row,) = read_sources(find_data([str(scenes_folder)], ["train"]))
    assert (row["licence"], row["clips"]) == ("unknown", 4)


def test_arrays_are_sorted_by_their_share(tmp_path: Path) -> None:
    folders = [scenes(tmp_path / name, array=name) for name in ("open_tetra", "foa", "em32_tetra")]
    weighted = [f"{folder}@{weight}" for folder, weight in zip(folders, (0.2, 0.5, 0.3), strict=True)]
    assert read_arrays(find_data(weighted, ["train"])) == ("foa", "em32_tetra", "open_tetra")
    assert read_arrays(find_data([str(folders[2])], ["train"])) == ("em32_tetra",)


@pytest.mark.parametrize(("array", "elevation_deg"), [("seeed_4mic", 0.0), ("em32_tetra", 30.0)])
def test_a_flat_array_learns_no_elevation(tmp_path: Path, array: str, elevation_deg: float) -> None:
    folder = scenes(tmp_path / "scenes", array=array)
    write_annotations(folder / "a.csv", [Label(0, 0, 0, 20, 30)])
    data = find_data([str(folder)], ())
    (label,) = data[0].recordings[0].labels(("door", "bell"))
    assert (label.azimuth_deg, label.elevation_deg) == (20.0, elevation_deg)

    def build() -> bool:
        """Whether the height of the event is in the cache."""
        return bool(
            build_cache(data, ("door", "bell"), tmp_path / "cache", StftSettings(), FeatureSettings()).tracks[0, 0, 2]
        )

    assert build() == (elevation_deg > 0)
    index = json.loads((tmp_path / "cache" / INDEX).read_text())
    if index["described"].pop("azimuth_only", False):  # an older one
        (tmp_path / "cache" / INDEX).write_text(json.dumps(index))
        np.lib.format.open_memmap(tmp_path / "cache" / TRACKS, "r+")[0, 0, 2] = 0.5
        assert not build()
    else:
        assert array == "em32_tetra"
