"""What a manifest states of nets and tensors, against what a system needs."""

from dataclasses import replace

import pytest

from edge.systems.bundle_checks import ANY, check_feature_kind, check_nets, check_shapes, described_tensors
from tests.edge.etri_scene import bundle

NET = {"file": "net.tflite", "sha256": "", "inputs": {"features": [10, 64, 3]}, "outputs": {"output": [10, 2]}}
MANIFEST = replace(bundle().manifest, nets={"net": NET})


def test_nets_that_are_missing_are_named():
    nets = dict.fromkeys(("b", "a"))
    check_nets(MANIFEST, nets, ("a", "b"))
    with pytest.raises(ValueError, match=r"^tiny: got nets a, b, wanted also c, d$"):
        check_nets(MANIFEST, nets, ("c", "a", "d"))
    with pytest.raises(ValueError, match=r"^tiny: got nets a, b, wanted for mode 'x' also c$"):
        check_nets(MANIFEST, nets, ("c",), "for mode 'x'")


def test_features_of_another_kind_are_refused():
    check_feature_kind(MANIFEST, "etri")
    with pytest.raises(ValueError, match=r"^tiny: got features 'etri', wanted 'two_step'$"):
        check_feature_kind(MANIFEST, "two_step")


def test_tensors_are_the_inputs_and_the_outputs():
    assert described_tensors(MANIFEST, "net") == {"features": [10, 64, 3], "output": [10, 2]}


@pytest.mark.parametrize("shape", [[10, 64, 3], [10, ANY, 3], [ANY, ANY, ANY]])
def test_shapes_that_fit(shape):
    check_shapes(MANIFEST, {"net": {"features": shape, "output": [10, 2]}}, "a setting")


@pytest.mark.parametrize("shape", [[10, 64, 4], [10, ANY], [ANY, ANY, ANY, ANY], []])
def test_shapes_that_do_not_fit(shape):
    with pytest.raises(ValueError, match=r"^tiny: net: got features of shape \[10, 64, 3\], wanted .* by a setting$"):
        check_shapes(MANIFEST, {"net": {"output": [10, 2], "features": shape}}, "a setting")


def test_a_tensor_that_is_missing_has_no_shape():
    with pytest.raises(ValueError, match=r"^tiny: net: got masks of shape \[\], wanted \[5\] by a setting$"):
        check_shapes(MANIFEST, {"net": {"masks": [5]}}, "a setting")


def test_nets_that_are_not_described_are_not_checked():
    check_shapes(MANIFEST, {"other": {"features": [1]}}, "a setting")
