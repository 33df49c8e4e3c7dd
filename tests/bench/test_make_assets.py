import math

import numpy as np

from bench.assets import SELDNET_INPUT, SELDNET_OUTPUT
from bench.make_assets import random_images, seldnet_model


def test_the_net_of_the_recipe_has_the_published_size():
    model = seldnet_model()
    assert model.inputs[0].shape == (None, *SELDNET_INPUT)
    assert model.outputs[0].shape == (None, *SELDNET_OUTPUT)
    assert sum(math.prod(weight.shape) for weight in model.trainable_weights) == 884_597


def test_images_differ_and_are_in_range():
    one, other = random_images(2)
    assert one.shape == (224, 224, 3) and not np.array_equal(one, other)
    assert -1.0 <= one.min() < -0.9 and 0.9 < one.max() <= 1.0
