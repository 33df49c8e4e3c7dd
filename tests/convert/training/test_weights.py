"""What the nets of two-step take over from CoLoC's."""

from __future__ import annotations

from dataclasses import replace

import keras
import numpy as np
import pytest

from convert.systems import find_system
from convert.training.recipes import find_recipe
from convert.training.warm_start import shipped_weights
from convert.training.weights import adopt_convolutions, load_stage, teach

TWO_STEP = find_system("two_step")


@pytest.mark.parametrize(("stage", "count"), [("doa", 3), ("fusion", 3), ("sed", 0)])
def test_two_step_begins_with_what_coloc_has_learnt_of_the_same_maps(stage: str, count: int) -> None:
    (net,) = TWO_STEP.build(stage, find_recipe("two-step-edge"), 13)
    assert teach(stage, net, shipped_weights()["coloc-edge"]) == count


def test_a_net_that_adopted_convolutions_hears_what_the_teacher_hears() -> None:
    recipe = find_recipe("two-step-edge")
    sizes = replace(recipe.sizes, fusion_activation="relu", fusion_pools=((5, 4), (1, 4), (1, 2)))  # as CoLoC has them
    (fusion,) = TWO_STEP.build("fusion", replace(recipe, sizes=sizes), 13)
    _, classifier = load_stage("classifier", find_recipe("coloc-edge"), 13, shipped_weights()["coloc-edge"])
    assert adopt_convolutions(fusion, classifier) == 3
    rng = np.random.default_rng(0)
    given = {name: rng.normal(size=(1, *x.shape[1:])).astype(np.float32) for name, x in fusion.input.items()}
    heard = keras.Model(fusion.input, fusion.get_layer("encoder3_relu").output)(given)
    told = {"features": given["features"], "embedding": np.zeros((1, 50, 5), np.float32)}
    taught = keras.Model(classifier.input, classifier.get_layer("block3_relu").output)(told)
    np.testing.assert_allclose(heard, taught, atol=1e-4)  # gates start closed, and beams unheard


def test_what_differs_in_shape_stays_as_it_is() -> None:
    recipe = find_recipe("two-step-edge")
    (fusion,) = TWO_STEP.build("fusion", replace(recipe, sizes=replace(recipe.sizes, fusion_filters=(32, 48, 64))), 13)
    before = fusion.get_layer("encoder2_conv").get_weights()
    assert teach("fusion", fusion, shipped_weights()["coloc-edge"]) == 1
    for kept, weight in zip(before, fusion.get_layer("encoder2_conv").get_weights(), strict=True):
        np.testing.assert_array_equal(kept, weight)
