"""Manifests of bundles that are refused: by their content, or because the nets are others than it says."""

import copy
import json
import shutil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.nets.bundle import MANIFEST, load_bundle, read_manifest
from edge.runtime.pipeline import build_system
from edge.systems.coloc import streaming as coloc_streaming
from edge.systems.coloc import window as coloc_window
from edge.systems.coloc.settings import MODES
from tests.edge.nets.bundles import changed, run_on_a_second


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"format": 2}, "got format 2, wanted 1"),
        ({"format": 0}, "got format 0, wanted 1"),
        ({"format": "1"}, "format: got '1', wanted int"),
        ({"formats": 1}, "got unknown key 'formats', wanted one of format, name, system"),
        ({"stft__hop": 480}, "stft: got unknown key 'hop', wanted one of sample_rate_hz"),
        ({"stft__hop_samples": 480.0}, r"stft: hop_samples: got 480\.0, wanted int"),
        ({"stft__hop_samples": 0}, "stft: got hop 0, window 960"),
        ({"stft__sample_rate_hz": 10**400}, "stft: got sample_rate_hz 10+, wanted 1 to 192000"),
        ({"features__kind": "mfcc"}, "features: got feature kind 'mfcc'"),
        ({"features__bands": 0}, "features: got 0 bands"),
        ({"decode__on": 2.0}, "decode: got on 2.0 and off 0.3"),
        ({"decode__join_deg": 10**400}, "decode: join_deg: got inf, wanted a finite number"),
        ({"class_names": "low"}, "class_names: got 'low', wanted a list"),
        ({"class_names": ["low", 2]}, r"class_names\[1\]: got 2, wanted str"),
        ({"nets": []}, r"nets: got \[\], wanted a table"),
        ({"nets__localizer": "localizer.tflite"}, "nets: localizer: got 'localizer.tflite', wanted an object"),
        ({"nets__localizer__size": 1}, "nets: localizer: got unknown key 'size'"),
        ({"nets__localizer__file": 1}, "nets: localizer: file: got 1, wanted str"),
        ({"nets__localizer__inputs": [1]}, r"nets: localizer: inputs: got \[1\], wanted a table"),
        ({"name": None}, "name: got None, wanted str"),
    ],
)
def test_invalid_manifests_are_refused(folder, entries, message):
    changed(folder, **entries)
    with pytest.raises(ValueError, match=rf"^{folder / MANIFEST}: {message}[^\n]*$"):
        load_bundle(str(folder))


@pytest.mark.parametrize("key", ["format", "name", "system", "precision", "class_names", "statistics_sha256", "nets"])
def test_incomplete_manifests_are_refused(folder, key):
    table = json.loads((folder / MANIFEST).read_text())
    del table[key]
    (folder / MANIFEST).write_text(json.dumps(table))
    with pytest.raises(ValueError, match=rf"^{folder / MANIFEST}: got no '{key}', wanted one$"):
        load_bundle(str(folder))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not valid JSON: "),
        (b"{", "not valid JSON: "),
        (b"\xff\xfe", "got byte 0xff at 0, wanted UTF-8"),
        (b"[" * 100_000, "not valid JSON: "),
        (b"[]", "got list, wanted an object"),
        (b"null", "got NoneType, wanted an object"),
    ],
)
def test_manifests_other_than_a_json_object_are_refused(folder, content, message):
    (folder / MANIFEST).write_bytes(content)
    with pytest.raises(ValueError, match=rf"^{folder / MANIFEST}: {message}[^\n]*$"):
        load_bundle(str(folder))


@pytest.mark.parametrize("file", ["../bundle/localizer.tflite", "/etc/passwd", "sub/localizer.tflite"])
def test_files_outside_the_bundle_are_refused(folder, file):
    changed(folder, nets__localizer__file=file)
    with pytest.raises(ValueError, match=r"wanted one inside the bundle$"):
        load_bundle(str(folder))


@pytest.mark.parametrize("file", ["", ".", "..", "a\0b"])
def test_damaged_files_are_refused(folder, file):
    changed(folder, nets__localizer__file=file)
    with pytest.raises(ValueError, match=r"^[^\n]+$"):
        load_bundle(str(folder))


@pytest.mark.parametrize(
    ("mode", "entries"),
    [
        ("window", {"nets__localizer__inputs__features": [50, 64, 8]}),
        ("window", {"nets__localizer__inputs__features": 5}),
        ("window", {"nets__localizer__inputs": {}}),
        ("window", {"nets__localizer__inputs__more": [1]}),
        ("window", {"nets__classifier__outputs__output": [10, 4]}),
        ("window", {"nets__localizer_encoder__outputs": {"output": [10, 6]}}),
        ("streaming", {"nets__localizer_front__outputs__shared_maps": [5, 2, 8]}),
        ("streaming", {"nets__classifier_recurrence__inputs__state_forward1": [1, 4]}),
    ],
)
def test_nets_other_than_those_of_the_manifest_are_refused(folder, mode, entries):
    changed(folder, **entries)
    message = r"^tiny: \w+: got (in|out)puts \{.*\}, wanted \{.*\}$"
    with pytest.raises(ValueError, match=message):
        dict(load_bundle(str(folder)).nets())
    with pytest.raises(ValueError, match=message):
        run_on_a_second(load_bundle(str(folder)), mode)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "entries",
    [
        {"settings__window_labels": 12},
        {"stft__frames_per_label": 4},
        {"class_names": ["low"]},
        {"class_names": ["low", "high", "other"]},
        {"features__bands": 32},
        {"features": {"kind": "logpower_phase_iv", "bands": 513}},
    ],
)
def test_nets_of_another_size_than_the_settings_are_refused(folder, entries, mode):
    changed(folder, **entries)
    bundle = load_bundle(str(folder))
    dict(bundle.nets())
    with pytest.raises(
        ValueError, match=r"^tiny: \w+: got \w+ of shape \[.*\], wanted \[.*\] by window_labels 1[02] and "
    ):
        build_system(bundle, overrides={"mode": mode})


@pytest.mark.parametrize("mode", MODES)
def test_swapped_nets_are_refused(folder, mode):
    """The manifest describes the nets rightly, under wrong names."""
    good = json.loads((folder / MANIFEST).read_text())
    names = sorted({"window": coloc_window.NETS, "streaming": coloc_streaming.NETS}[mode])
    for one, other in zip(names, names[1:] + names[:1], strict=True):
        (folder / MANIFEST).write_text(json.dumps(good | {"nets": good["nets"] | {one: good["nets"][other]}}))
        with pytest.raises(ValueError, match=rf"^tiny: {one}: got \w+ of shape \[.*\], wanted \["):
            run_on_a_second(load_bundle(str(folder)), mode)


def test_missing_net_and_unknown_system_are_refused(folder):
    changed(folder, system="coloco")
    with pytest.raises(ValueError, match=r"^tiny: got system 'coloco', wanted one of coloc"):
        build_system(load_bundle(str(folder)))
    table = json.loads((folder / MANIFEST).read_text())
    del table["nets"]["classifier"]
    (folder / MANIFEST).write_text(json.dumps(table | {"system": "coloc"}))
    with pytest.raises(ValueError, match=r"^tiny: got nets .*, wanted for mode 'window' also classifier$"):
        build_system(load_bundle(str(folder)))
    build_system(load_bundle(str(folder)), overrides={"mode": "streaming"})


def ways(table, way=()):
    """Paths of all entries of a nested table."""
    for key in table if isinstance(table, dict) else range(len(table)):
        yield (*way, key)
        if isinstance(table[key], dict | list):
            yield from ways(table[key], (*way, key))


SCALARS = st.sampled_from([0, 1, -1, 2, 5, 10, 50, 10**6, 0.5, 1e-9, "", "coloc", "foa", True, None, float("inf")])


VALUES = st.recursive(
    SCALARS | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@settings(max_examples=150)
@given(st.data())
def test_any_manifest_runs_or_is_a_value_error(tmp_path_factory, tiny_bundle, data):
    good = json.loads((tiny_bundle / MANIFEST).read_text())
    table = copy.deepcopy(good)
    for _ in range(data.draw(st.integers(1, 3), "changes")):
        *way, last = data.draw(st.sampled_from(list(ways(table))), "way") if table else ["x"]
        inner = table
        for step in way:
            inner = inner[step]
        match data.draw(st.sampled_from(["set", "set", "delete", "add"]), "how"):
            case "delete":
                del inner[last]
            case "add" if isinstance(inner, dict):
                inner[data.draw(st.text(max_size=5))] = data.draw(VALUES)
            case _:
                inner[last] = data.draw(VALUES, "value")
    folder = tmp_path_factory.getbasetemp() / "wild"
    shutil.copytree(tiny_bundle, folder, dirs_exist_ok=True)
    (folder / MANIFEST).write_text(json.dumps(table))
    try:
        run_on_a_second(load_bundle(str(folder)), data.draw(st.sampled_from(MODES), "mode"))
    except ValueError as error:
        assert str(error)


@settings(max_examples=60)
@given(st.binary(max_size=40) | st.text('{}[]":,01nul\\ ', max_size=30).map(str.encode), st.integers(0, 2000))
def test_any_text_is_a_manifest_or_a_value_error(tmp_path_factory, tiny_bundle, content, at):
    good = (tiny_bundle / MANIFEST).read_bytes()
    folder = tmp_path_factory.getbasetemp() / "wild-text"
    folder.mkdir(exist_ok=True)
    for text in (content, good[:at] + content + good[at:], good[:at] + content + good[at + len(content) :]):
        (folder / MANIFEST).write_bytes(text)
        try:
            assert read_manifest(folder).format == 1
        except ValueError as error:
            assert str(error).startswith(f"{folder / MANIFEST}: ")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"low"', r'"lo\ud800w"', r"got '\\ud800', half of a surrogate pair, wanted whole characters"),
        ('"low"', r'"lo\nw"', r"got name 'lo\\nw', wanted printable characters"),
        ('"low"', r'"lo\u0007w"', r"got name 'lo\\x07w', wanted printable characters"),
    ],
)
def test_names_of_classes_can_be_printed(tmp_path, tiny_bundle, old, new, message):
    text = (tiny_bundle / MANIFEST).read_text()
    assert old in text
    (tmp_path / MANIFEST).write_text(text.replace(old, new))
    with pytest.raises(ValueError, match=rf"^[^\n]*manifest\.json: {message}$"):
        read_manifest(tmp_path)
