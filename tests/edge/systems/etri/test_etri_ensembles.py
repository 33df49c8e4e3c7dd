"""Ensembles: nets of ETRI that answer together, and what their names say."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from edge.geometry import azimuth_elevation_deg
from edge.runtime.pipeline import build_system
from edge.systems.ensembles import member_name, members, net_of
from edge.systems.etri.window import NETS
from tests.edge.etri_scene import FakeNet, Replaced, Scene, bundle
from tests.edge.scenes import BELL, NAMES

QUICK = {"post_sed": False, "post_doa": False}
COUNTS = {"sad": 2, "sed": 3, "doae": 2}


def with_ensembles(scene, counts=COUNTS):
    """Adds nets that answer alike."""
    for name, count in counts.items():
        scene.nets |= {member_name(name, number): FakeNet(scene, name) for number in range(2, count + 1)}
    return scene


def test_names_of_members():
    names = [member_name("sed", number) for number in (1, 2, 3, 12)]
    assert names == ["sed", "sed_2", "sed_3", "sed_12"]
    assert {net_of(name) for name in names} == {"sed"}
    assert members("sed", names) == ["sed", "sed_2", "sed_3"]  # without the twelfth: those between are missing
    assert members("sad", names) == ["sad"]
    assert net_of("localizer_encoder") == "localizer_encoder"


def test_members_that_agree_answer_as_one():
    for length in (1, 7, 12, 60, 83):
        scene = with_ensembles(Scene())
        scene.check(scene.answers(scene.system(window_labels=10, hop_labels=6, **QUICK), range(length)), range(length))


def test_members_are_asked_one_in_each_step_and_windows_are_answered_in_their_order():
    scene = with_ensembles(Scene(lambda label: [BELL] if label < 10 else []))
    answers = scene.answers(scene.system(0, window_labels=10, hop_labels=2, **QUICK), range(30), finish=False)
    first = scene.calls[0][2]
    steps = [(step, name) for step, name, numbers in scene.calls if numbers == first]
    assert [step for step, _ in steps] == list(range(steps[0][0], steps[0][0] + 7))
    assert [name for _, name in steps] == ["sad"] * 2 + ["sed"] * 3 + ["doae"] * 2
    scene.check(answers, range(2 * len(answers)))  # those of windows in silence wait, though no net is asked
    assert scene.count("sed") == scene.count("doae") * 3 / 2 < scene.count("sad") * 3 / 2


def test_the_latency_has_a_step_for_each_member():
    scene = with_ensembles(Scene())
    assert scene.system().latency_s == pytest.approx(Scene().system().latency_s + 0.4)
    scene.check_latency(scene.system(1, window_labels=10, hop_labels=6, path_labels=7))


def test_probabilities_are_averaged():
    scene = Scene("one")
    scene.nets["sad_2"] = Replaced(scene, "sad", lambda number: [0.35])  # with 0.95: 0.65
    scene.nets["sed_2"] = Replaced(scene, "sed", lambda number: [0.3, 0.1, 0.1, 0.9])  # with 0.9, 0.1, 0.1, 0.1
    heard = scene.answers(scene.system(**QUICK), range(20))
    activity = np.concatenate([each.activity for each in heard])
    assert_allclose(activity.max(axis=1), [[0.6, 0.0, 0.0, 0.0]] * 20, atol=1e-6)
    quiet = scene.answers(scene.system(sad_threshold=0.7, **QUICK), range(20))
    assert not any(each.activity.any() for each in quiet)


def test_of_directions_the_vectors_are_averaged():
    """170 and -170 degrees are 180, not 0; the mean of their angles would be."""
    scene = Scene(lambda label: [(0, 170.0, 0.0)])
    scene.nets["doae_2"] = Replaced(scene, "doae", lambda number: [-170.0 / 180.0] * len(NAMES) + [0.0] * len(NAMES))
    answers = scene.answers(scene.system(**QUICK), range(20))
    direction = np.concatenate([each.direction[:, 0] for each in answers])
    assert_allclose(np.linalg.norm(direction, axis=-1), 1.0, atol=1e-6)
    assert_allclose(np.abs(azimuth_elevation_deg(direction)[0]), 180.0, atol=1e-3)


def test_the_tensors_of_members_are_checked():
    described = bundle().manifest.nets
    whole = bundle(nets=described | {"sed_2": described["sed"]})
    nets = dict.fromkeys([*NETS, "sed_2"])
    assert build_system(whole, nets=nets).latency_s == pytest.approx(build_system(bundle(), nets=nets).latency_s)
    with pytest.raises(ValueError, match=r"^tiny: sed_2: got features of shape \[200, 64, 10\], wanted \[200, 64, 3\]"):
        build_system(bundle(nets=described | {"sed_2": described["doae"]}), nets=nets)
