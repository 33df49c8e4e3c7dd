import json
from pathlib import Path

import pytest

from convert.data.corpora import CORPORA, find_recordings
from edge.arrays.profile import load_array
from edge.scoring.annotations import Label, write_annotations


def recording(root: Path, audio: str, relative: str, labels: list[Label]) -> None:
    """An (empty) wav and its labels in the layout of the DCASE data sets."""
    wav = root / f"{audio}_dev" / relative
    csv = (root / "metadata_dev" / relative).with_suffix(".csv")
    for path in (wav, csv):
        path.parent.mkdir(parents=True, exist_ok=True)
    wav.touch()
    write_annotations(csv, labels)


def splits(found):
    return {item.wav.name: item.split for item in found}


@pytest.mark.parametrize("audio", ["foa", "mic"])
def test_starss_splits_are_folders(tmp_path, audio):
    label = Label(3, 10, 0, -20.0, 5.0, 120.0)
    for folder in ("dev-train-sony", "dev-train-tau", "dev-test-sony", "dev-test-tau"):
        recording(tmp_path, audio, f"{folder}/fold3_{folder}_mix001.wav", [label])
    found = find_recordings(tmp_path, "starss23", audio)
    assert splits(found) == {
        "fold3_dev-test-sony_mix001.wav": "test",
        "fold3_dev-test-tau_mix001.wav": "test",
        "fold3_dev-train-sony_mix001.wav": "train",
        "fold3_dev-train-tau_mix001.wav": "train",
    }
    assert {item.array.name for item in found} == {{"foa": "foa", "mic": "em32_tetra"}[audio]}
    names = ("door", "water_tap")
    assert found[0].labels(names) == [Label(3, 1, 0, -20.0, 5.0, 120.0)]
    assert found[0].labels(("door",)) == []  # a class that is not wanted is left out


def test_tnsse_2020_splits_are_folds(tmp_path):
    for fold in (1, 2, 3, 6):
        recording(tmp_path, "foa", f"fold{fold}_room1_mix001_ov1.wav", [Label(0, 7, 0, 0.0, 0.0)])
    found = find_recordings(tmp_path, "tnsse2020")
    assert [item.split for item in found] == ["test", "val", "train", "train"]
    assert found[0].labels(["fire"]) == [Label(0, 0, 0, 0.0, 0.0)]


def test_tnsse_2021_and_the_synthetic_mixtures(tmp_path):
    for folder, split in (("dev-train", "train"), ("dev-val", "val"), ("dev-test", "test")):
        recording(tmp_path / "a", "foa", f"{folder}/fold1_room1_{split}.wav", [Label(0, 11, 0, 0.0, 0.0)])
    assert splits(find_recordings(tmp_path / "a", "tnsse2021")) == {
        "fold1_room1_train.wav": "train",
        "fold1_room1_val.wav": "val",
        "fold1_room1_test.wav": "test",
    }
    recording(tmp_path / "b", "foa", "dev-train-synth/fold1_room1_mix001.wav", [])
    assert splits(find_recordings(tmp_path / "b", "dcase2022_synth")) == {"fold1_room1_mix001.wav": "train"}


def test_own_scenes_bring_their_class_names(tmp_path):
    (tmp_path / "a.wav").touch()
    write_annotations(tmp_path / "a.csv", [Label(1, 1, 0, 10.0, 0.0)])
    (tmp_path / "scenes.json").write_text(json.dumps({"class_names": ["bell", "dog"]}))
    (found,) = find_recordings(tmp_path)
    assert found.split is None
    assert found.array == load_array("foa")
    assert found.labels(("dog", "bell")) == [Label(1, 0, 0, 10.0, 0.0)]


# `unique_classes` of parameter.py in github.com/sharathadavanne/seld-dcase2020 (6612efe) and seld-dcase2021 (0e3f0f6);
# "Sound event classes" in the README of STARSS23 (zenodo.org/record/7880637), the same 13 as in STARSS22. The synthetic
# mixtures have the classes of STARSS22: generation_parameters.py of github.com/danielkrause/DCASE2022-data-generator.
PUBLISHED = {
    "tnsse2020": "alarm baby crash dog engine female_scream female_speech fire footsteps knock male_scream male_speech "
    "phone piano",
    "tnsse2021": "alarm baby crash dog female_scream female_speech footsteps knock male_scream male_speech phone piano",
    "starss22": "female_speech male_speech clapping telephone laughter domestic footsteps door music "
    "musical_instrument water_tap bell knock",
}
OUR_SPELLING = {"baby": "baby_cry", "dog": "dog_bark", "phone": "telephone"}


@pytest.mark.parametrize("name", CORPORA)
def test_classes_are_numbered_as_their_publisher_does(name):
    same_as = {"starss23": "starss22", "dcase2022_synth": "starss22"}
    words = PUBLISHED[same_as.get(name, name)].split()
    assert CORPORA[name] == tuple(OUR_SPELLING.get(word, word) for word in words)


def without_labels(root):
    recording(root, "foa", "dev-train/a.wav", [])
    (root / "metadata_dev" / "dev-train" / "a.csv").unlink()


def without_audio(root):
    (root / "metadata_dev").mkdir()


def without_recordings(root):
    (root / "metadata_dev").mkdir()
    (root / "foa_dev").mkdir()


def with_an_odd_folder(root):
    recording(root, "foa", "training/a.wav", [])


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (without_labels, "a.csv"),
        (without_audio, "foa_dev"),
        (without_recordings, "foa_dev"),
        (with_an_odd_folder, "training"),
    ],
)
def test_missing_or_malformed_parts_of_a_corpus_are_named(tmp_path, spoil, named):
    spoil(tmp_path)
    with pytest.raises(ValueError, match=named) as caught:
        find_recordings(tmp_path, "tnsse2021")
    assert "\n" not in str(caught.value)


def test_unknown_folds_and_names_are_refused(tmp_path):
    recording(tmp_path, "foa", "room1_mix001.wav", [])
    with pytest.raises(ValueError, match="fold"):
        find_recordings(tmp_path, "tnsse2020")
    with pytest.raises(ValueError, match="starss99"):
        find_recordings(tmp_path, "starss99")
    with pytest.raises(ValueError, match="got audio 'stereo', wanted one of foa, mic"):
        find_recordings(tmp_path, "starss23", "stereo")
