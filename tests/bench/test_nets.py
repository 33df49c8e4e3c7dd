import numpy as np
import pytest

from bench.nets import ForcedNet, TimedNet, force_live
from edge.geometry import angle_between_deg
from edge.nets.bundle import load_bundle
from edge.nets.net import LiteRtNet
from edge.runtime.pipeline import build_system
from edge.types import Spectra


@pytest.fixture(scope="module")
def bundle(tiny_bundle):
    return load_bundle(str(tiny_bundle))


def test_a_timed_net_answers_as_the_net(golden):
    net = LiteRtNet(golden / "tiny-nets" / "state.tflite")
    timed = TimedNet(net)
    x = np.full(3, 0.5, np.float32)
    past, timed_past = net.fresh(), timed.fresh()
    for _ in range(3):
        np.testing.assert_array_equal(timed(timed_past, x=x)["y"], net(past, x=x)["y"])
    assert len(timed.times_s) == 3 and min(timed.times_s) > 0.0


def test_a_forced_net_runs_the_net_and_answers_in_turn(bundle):
    called = TimedNet(bundle.nets()["classifier_encoder"])

    class Named:
        def __call__(self, past=None, **inputs):
            return {"output": called(past, **inputs)["embedding"]}

        fresh = called.fresh

    forced = ForcedNet(Named(), iter([np.array([1.0]), np.array([2.0])]))
    answers = [forced(direction=np.zeros((10, 3), np.float32))["output"] for _ in range(2)]
    assert [float(answer.min()) for answer in answers] == [float(answer.max()) for answer in answers] == [1.0, 2.0]
    assert len(called.times_s) == 2


@pytest.mark.parametrize("mode", ["window", "streaming"])
@pytest.mark.parametrize("slots", [1, 2, 3])
def test_every_slot_is_live_in_silence(bundle, mode, slots):
    nets = force_live(bundle.nets(), bundle.manifest, slots)
    system = build_system(bundle, overrides={"mode": mode, "max_overlap": slots}, nets=nets)
    silence = np.zeros((5, 4, 513), np.complex64)
    tracks = [tracks for label in range(60) for tracks in system.step(Spectra(silence, 5 * label))]
    direction = np.concatenate([each.direction for each in tracks])[-20:]
    activity = np.concatenate([each.activity for each in tracks])[-20:]
    assert direction.shape == (20, slots, 3)
    np.testing.assert_allclose(np.linalg.norm(direction, axis=-1), 1.0, atol=1e-6)
    for slot in range(1, slots):
        assert np.all(angle_between_deg(direction[:, slot], direction[:, slot - 1]) > 360.0 / slots - 1.0)
    np.testing.assert_array_equal(activity[..., 0], 1.0)
    assert not activity[..., 1:].any()
