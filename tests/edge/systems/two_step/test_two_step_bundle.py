"""Settings of two-step, and bundles that fit them or do not."""

import pytest

from edge.arrays.profile import load_array
from edge.frontend.maps import FeatureSettings
from edge.runtime.pipeline import build_pipeline, build_system
from edge.systems.two_step.settings import TwoStepSettings
from edge.systems.two_step.window import FUSED, NETS, TwoStep
from tests.edge.two_step_scene import SHAPES, bundle, changed

NO_NETS = dict.fromkeys(NETS)
NONSENSE = {
    "max_overlap": (0, 4),
    "threshold": (0.0, 1.0),
    "sure": (0.0, 1.0),
    "unify_deg": (-1.0, 91.0),
    "steer_deg": (-1.0, 91.0),
    "steer_share": (-0.1, 1.1),
}


@pytest.mark.parametrize("name", [*NONSENSE, "hop_labels"])
def test_settings_out_of_range_are_refused(name):
    for value in NONSENSE.get(name, (0, 51)):
        with pytest.raises(ValueError, match=rf"^got .*{name} {value}, wanted "):
            TwoStepSettings(**{name: value})


def test_a_bundle_names_its_system_and_its_settings_can_be_overridden():
    system = build_system(bundle(), nets=NO_NETS)
    assert isinstance(system, TwoStep)
    assert system.latency_s == pytest.approx(1.0 + 0.5 + 0.3)
    assert system.array == load_array("foa")
    assert build_system(bundle(), nets=NO_NETS, array=load_array("open_tetra")).array == load_array("open_tetra")
    system = build_system(bundle(shapes={}), nets=NO_NETS, overrides={"hop_labels": 20, "max_overlap": 2})
    assert system.latency_s == pytest.approx(2.3) and system.settings.max_overlap == 2
    with pytest.raises(ValueError, match=r"^system: got unknown key 'overlap', wanted one of max_overlap, "):
        build_system(bundle(), nets=NO_NETS, overrides={"overlap": 3})


def test_a_pipeline_refuses_beams_of_another_array():
    system = build_system(bundle(), nets=NO_NETS, array=load_array("open_tetra"))
    with pytest.raises(ValueError, match=r"^tiny: got a system for array open_tetra, wanted one for em32_tetra$"):
        build_pipeline(bundle(), load_array("em32_tetra"), system)
    assert build_pipeline(bundle(), load_array("open_tetra"), system).clock is system.clock


def test_an_input_that_the_system_does_not_give_is_refused():
    for name, wanted in (("sed", "features"), ("fusion", "features, beams, doa, sed")):
        with pytest.raises(ValueError, match=rf"^tiny: {name}: got an input 'pitch', wanted {wanted} only$"):
            build_system(bundle(changed(name, "inputs", "pitch", 20, 1)), nets=NO_NETS)


def test_a_bundle_that_does_not_fit_is_refused_with_the_reason():
    with pytest.raises(ValueError, match=r"^tiny: got nets doa, fusion, wanted also sed$"):
        build_system(bundle(), nets=dict.fromkeys(("fusion", "doa")))
    with pytest.raises(ValueError, match=r"^tiny: got features 'logmel_iv', wanted 'two_step'$"):
        build_system(bundle(features=FeatureSettings()), nets=NO_NETS)
    wanted = r"got features of shape \[100, 64, 7\], wanted \[150, 64, 7\] by window_labels 30$"
    with pytest.raises(ValueError, match=rf"^tiny: doa: {wanted}"):
        build_system(bundle(), nets=NO_NETS, overrides={"window_labels": 30})


def test_every_tensor_is_checked():
    for name, tensors in SHAPES.items():
        for kind, tensor in [(kind, tensor) for kind, shapes in tensors.items() for tensor in shapes]:
            shape = tensors[kind][tensor]
            broken = [changed(name, kind, tensor, 8, *shape[1:]), changed(name, kind, tensor, *shape[:-1], 8)]
            if tensor not in FUSED or kind == "outputs":
                broken.append(changed(name, kind, tensor))
            for each in broken:
                with pytest.raises(ValueError, match=r"^tiny: \w+: got \w+ of shape .*, wanted \[.*window_labels 20$"):
                    build_system(bundle(each), nets=NO_NETS)
