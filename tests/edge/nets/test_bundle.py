import copy
import hashlib
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from edge.arrays.profile import load_array
from edge.nets.bundle import (
    MANIFEST,
    STATISTICS,
    find_bundle,
    load_bundle,
    read_manifest,
    shipped_bundles,
    write_bundle,
)
from edge.nets.net import LiteRtNet
from edge.runtime.pipeline import build_pipeline, build_system
from edge.systems.coloc import streaming as coloc_streaming
from edge.systems.coloc import window as coloc_window
from edge.systems.coloc.settings import MODES
from edge.types import AudioBlock

NETS = {*coloc_window.NETS, *coloc_streaming.NETS}


@pytest.fixture
def folder(tmp_path, tiny_bundle):
    """A copy of the tiny bundle that a test may change."""
    return shutil.copytree(tiny_bundle, tmp_path / "bundle")


def changed(folder, **entries):
    """Change entries of the manifest; `nets__localizer__file` is a path into nested tables."""
    table = json.loads((folder / MANIFEST).read_text())
    for path, value in entries.items():
        *way, last = path.split("__")
        inner = table
        for step in way:
            inner = inner[step]
        inner[last] = value
    (folder / MANIFEST).write_text(json.dumps(table))


def run_on_a_second(bundle, mode="window"):
    """Everything that `seld-edge` does with a bundle."""
    pipeline = build_pipeline(bundle, load_array("foa"), build_system(bundle, overrides={"mode": mode}))
    noise = np.random.default_rng(0).normal(0, 0.1, (bundle.manifest.stft.label_samples * 12, 4)).astype(np.float32)
    return [*pipeline.push(AudioBlock(noise, 0)), *pipeline.finish()]


def test_tiny_bundle_loads(tiny_bundle):
    bundle = load_bundle(str(tiny_bundle))
    assert bundle.manifest.class_names == ("low", "high")
    assert set(bundle.nets()) == NETS
    assert bundle.mean.shape == bundle.deviation.shape == (64, 7)
    assert bundle.extractor().map_names[0] == "logmel_w"
    for mode in MODES:
        run_on_a_second(bundle, mode)


def test_nets_are_loaded_on_request(tiny_bundle):
    """A system uses the nets of its mode; the others take no memory."""
    bundle = load_bundle(str(tiny_bundle))
    nets = replace(bundle, flatbuffers={**bundle.flatbuffers, "localizer": b"no net"}).nets()
    assert "localizer_front" in nets and nets["localizer_front"] is nets["localizer_front"]
    assert len(nets) == len(NETS) and "localiser" not in nets
    with pytest.raises(ValueError, match=r"^got no net that TFLite can run: "):
        nets["localizer"]
    assert isinstance(build_system(bundle, nets=nets, overrides={"mode": "streaming"}), coloc_streaming.ColocStreaming)


def test_written_and_read_again_is_the_same(tmp_path, tiny_bundle):
    bundle = load_bundle(str(tiny_bundle))
    write_bundle(tmp_path / "again", replace(bundle, manifest=replace(bundle.manifest, name="again")))
    again = load_bundle(str(tmp_path / "again"))
    assert again.manifest == replace(bundle.manifest, name="again")
    assert again.flatbuffers == bundle.flatbuffers
    assert_array_equal(again.mean, bundle.mean)
    assert_array_equal(again.deviation, bundle.deviation)
    assert sorted(p.name for p in (tmp_path / "again").iterdir()) == sorted(p.name for p in tiny_bundle.iterdir())


def test_write_takes_hashes_and_shapes_from_the_files(tmp_path, tiny_bundle):
    bundle = load_bundle(str(tiny_bundle))
    forgetful = replace(bundle, manifest=replace(bundle.manifest, nets={}, statistics_sha256="wrong"))
    write_bundle(tmp_path / "again", forgetful)
    assert load_bundle(str(tmp_path / "again")).manifest == bundle.manifest


FILES = [*(f"{name}.tflite" for name in sorted(NETS)), STATISTICS]


@settings(max_examples=60)
@given(st.sampled_from(FILES), st.floats(0, 1, exclude_max=True), st.integers(1, 255))
@example(STATISTICS, 0.0, 1)
@example("localizer.tflite", 0.9999, 128)
def test_changed_byte_is_refused(tmp_path_factory, tiny_bundle, name, where, flip):
    folder = shutil.copytree(tiny_bundle, tmp_path_factory.mktemp("spoilt") / "bundle")
    content = bytearray((folder / name).read_bytes())
    content[int(where * len(content))] ^= flip
    (folder / name).write_bytes(content)
    with pytest.raises(ValueError, match=rf"{name}: got sha256 \w+\.\.\., wanted \w+\.\.\.: the file was changed$"):
        load_bundle(str(folder))


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("change", ["longer", "shorter", "empty"])
def test_longer_or_shorter_file_is_refused(folder, name, change):
    content = (folder / name).read_bytes()
    (folder / name).write_bytes({"longer": content + b"\0", "shorter": content[:-1], "empty": b""}[change])
    with pytest.raises(ValueError, match=rf"^{folder / name}: got sha256 .* the file was changed$"):
        load_bundle(str(folder))


@pytest.mark.parametrize("name", FILES)
def test_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(ValueError, match=rf"^{folder / name}: No such file or directory$"):
        load_bundle(str(folder))


def test_missing_bundles_are_refused(tmp_path, folder):
    for name in ("coloc-giant", str(tmp_path / "none"), str(tmp_path)):
        with pytest.raises(ValueError, match=rf"^model '{name}': got no such bundle, wanted .* or a folder$"):
            load_bundle(name)
    (folder / MANIFEST).unlink()
    with pytest.raises(ValueError, match=r": got no such bundle, "):
        find_bundle(str(folder))
    with pytest.raises(ValueError, match=r"manifest\.json: No such file or directory$"):
        read_manifest(folder)


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


def test_shared_tensors_with_different_scales_are_refused(folder):
    """Each net is right, but they were not quantised together."""
    bundle = load_bundle(str(folder))
    nets = dict(bundle.nets())
    scale, zero = nets["localizer_front"].outputs["shared_maps"]["quantization"]
    detail = {**nets["localizer_blocks"].inputs["shared_maps"], "quantization": (2 * scale, zero)}
    nets["localizer_blocks"].inputs["shared_maps"] = detail
    with pytest.raises(ValueError, match=r"^got shared_maps with scale .*, wanted "):
        build_system(bundle, nets=nets, overrides={"mode": "streaming"})
    nets["localizer_blocks"].inputs["shared_maps"]["quantization"] = (scale, zero)
    rows = nets["classifier_blocks"].outputs["shared_labels"]
    nets["classifier_blocks"].outputs["shared_labels"] = {**rows, "quantization": (rows["quantization"][0], 5)}
    with pytest.raises(ValueError, match=r"^got shared_labels with scale .* and zero 5, wanted "):
        build_system(bundle, nets=nets, overrides={"mode": "streaming"})


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


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not numpy",
        b"\x93NUMPY\x01\x00\x10\x00{'descr': '<f4'\0\n",  # fuzzing found it: tokenize's own error
        np.zeros((3, 64, 7), np.float32),
        np.zeros((2, 64, 7), np.float32),  # a deviation of zero
        np.full((2, 64, 7), np.nan, np.float32),
        np.ones((2, 64, 7), np.float64),
        np.ones((), np.float32),
        np.array([{}, {}]),
    ],
)
def test_statistics_out_of_range_are_refused(folder, content):
    """The hashes are right: the bundle was written so."""
    path = folder / STATISTICS
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        np.save(path, content)
    changed(folder, statistics_sha256=hashlib.sha256(path.read_bytes()).hexdigest())
    with pytest.raises(ValueError, match=rf"^{path}: [^\n]+$"):
        load_bundle(str(folder))


def test_statistics_of_another_shape_are_refused(folder):
    bundle = load_bundle(str(folder))
    write_bundle(folder, replace(bundle, mean=bundle.mean[:32], deviation=bundle.deviation[:32]))
    with pytest.raises(ValueError, match=r"^got statistics of shape \(32, 7\) and \(32, 7\), wanted \(64, 7\)$"):
        build_system(load_bundle(str(folder)))


@pytest.mark.skipif(not shipped_bundles(), reason="no bundle is shipped yet")
def test_every_shipped_bundle_loads_and_runs():
    for name, folder in shipped_bundles().items():
        assert find_bundle(name) == folder
        bundle = load_bundle(name)
        assert bundle.manifest.name == name
        for mode, nets in (("window", coloc_window.NETS), ("streaming", coloc_streaming.NETS)):
            if set(nets) <= bundle.flatbuffers.keys():
                run_on_a_second(bundle, mode)


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


def test_nets_run_with_the_threads_asked_for(tiny_bundle):
    x = np.random.default_rng(0).normal(size=(10, 3)).astype(np.float32)
    one, two = (load_bundle(str(tiny_bundle)).nets(threads)["localizer_encoder"] for threads in (1, 2))
    assert isinstance(one, LiteRtNet)
    assert_array_equal(one(direction=x)["embedding"], two(direction=x)["embedding"])


def test_an_unchecked_bundle_is_told_when_it_is_loaded(folder, tmp_path, caplog):
    bundle = load_bundle(str(folder))
    assert "unchecked" not in json.loads((folder / MANIFEST).read_text())  # as older manifests
    assert not bundle.manifest.unchecked
    assert caplog.messages == []
    write_bundle(tmp_path / "again", bundle)
    assert "unchecked" not in json.loads((tmp_path / "again" / MANIFEST).read_text())
    write_bundle(tmp_path / "unchecked", replace(bundle, manifest=replace(bundle.manifest, unchecked=True)))
    assert load_bundle(str(tmp_path / "unchecked")).manifest.unchecked
    assert caplog.messages == [
        f"{tmp_path / 'unchecked'}: this bundle is unchecked: its nets may find less than those that were trained"
    ]
    changed(folder, unchecked="no")
    with pytest.raises(ValueError, match=r"manifest\.json: unchecked: got 'no', wanted bool"):
        load_bundle(str(folder))


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
