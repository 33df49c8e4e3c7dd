import hashlib
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

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
from edge.runtime.pipeline import build_system
from edge.systems.coloc import causal as coloc_causal
from edge.systems.coloc import streaming as coloc_streaming
from edge.systems.coloc import window as coloc_window
from edge.systems.coloc.settings import MODES
from tests.edge.nets.bundles import changed, run_on_a_second

NETS = {*coloc_window.NETS, *coloc_streaming.NETS}


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
        for mode, system in (("window", coloc_window), ("streaming", coloc_streaming), ("streaming", coloc_causal)):
            if set(system.NETS) <= bundle.flatbuffers.keys():
                run_on_a_second(bundle, mode)


def test_nets_run_with_the_threads_asked_for(tiny_bundle):
    x = np.random.default_rng(0).normal(size=(10, 3)).astype(np.float32)
    one, two = (load_bundle(str(tiny_bundle)).nets(threads)["localizer_encoder"] for threads in (1, 2))
    assert isinstance(one, LiteRtNet)
    assert_array_equal(one(direction=x)["embedding"], two(direction=x)["embedding"])


def test_operations_in_float_are_named_where_there_are_any(folder, tmp_path):
    bundle = load_bundle(str(folder))
    for name, operations in (("int8", ()), ("floats", ("NEG", "SPLIT"))):
        write_bundle(tmp_path / name, replace(bundle, manifest=replace(bundle.manifest, float_ops=operations)))
        assert load_bundle(str(tmp_path / name)).manifest.float_ops == operations
        assert ("float_ops" in json.loads((tmp_path / name / MANIFEST).read_text())) == bool(operations)


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
