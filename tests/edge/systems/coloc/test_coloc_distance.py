"""The distance that CoLoC's classifier tells: its scale, and which event it is told of, in both modes."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from edge.nets.bundle import load_bundle
from edge.runtime.pipeline import build_system
from edge.systems.coloc.distance import FARTHEST_M, NEAREST_M, metres
from tests.edge.coloc_scene import SOUNDING, Scene
from tests.paths import GOLDEN

ALL_AT_ONCE = {"window_labels": 8, "hop_labels": 8}


class TellsDistance:
    """A classifier's net that says one tenth and a tenth for each class number: sources differ, and so do labels."""

    def __init__(self, net):
        self.net, self.fresh = net, net.fresh

    def __call__(self, past=None, **inputs):
        answer = self.net(past, **inputs)
        likeliest = answer["output"][:, :-1].argmax(axis=-1)
        return answer | {"distance": (0.1 * (1 + likeliest[:, None])).astype(np.float32)}


def telling_scene():
    scene = Scene("mixed")
    for name in ("classifier", "classifier_recurrence"):
        scene.nets[name] = TellsDistance(scene.nets[name])
    return scene


def test_the_scale_is_logarithmic():
    assert_allclose(metres(np.array([0.0, 0.5, 1.0], np.float32)), [NEAREST_M, 2.0, FARTHEST_M], rtol=1e-6)
    steps = metres(np.arange(257, dtype=np.float32) / 256)
    assert_allclose(steps[1:] / steps[:-1], 1.0163, atol=1e-3)  # a step of int8


@pytest.mark.parametrize("changes", [{"mode": "streaming", "look_ahead_labels": 2}, {"mode": "window", **ALL_AT_ONCE}])
def test_each_source_has_its_own_distance(changes):
    scene, labels = telling_scene(), range(16)
    answers = scene.answers(scene.system(max_overlap=3, distance=True, **changes), labels)
    scene.check(answers, labels)
    distance_m = np.concatenate([answer.distance_m for answer in answers])
    assert distance_m.shape == (16, 3) and distance_m.dtype == np.float32
    told = 0
    for label in labels:
        for slot, vector in enumerate(SOUNDING["mixed"](label)):
            wanted_m = metres(np.float32(0.1 * (1 + scene.class_of(vector))))
            assert distance_m[label, slot] == pytest.approx(wanted_m, rel=1e-6)
            told += 1
    assert told > 20


@pytest.mark.parametrize("changes", [{"mode": "streaming", "look_ahead_labels": 2}, {"mode": "window", **ALL_AT_ONCE}])
def test_without_the_setting_no_distance_is_told(changes):
    scene = telling_scene()
    answers = scene.answers(scene.system(max_overlap=3, **changes), range(16))
    scene.check(answers, range(16))
    assert all(answer.distance_m is None for answer in answers)


@pytest.mark.parametrize("mode", ["window", "streaming"])
def test_a_bundle_without_the_output_is_refused(mode):
    bundle = load_bundle(str(GOLDEN / "tiny-bundle"))
    net = {"window": "classifier", "streaming": "classifier_recurrence"}[mode]
    with pytest.raises(ValueError, match=rf"{net}: got distance of shape \[\], wanted \[\d+, 1\] by .* and distance"):
        build_system(bundle, overrides={"mode": mode, "distance": True})
