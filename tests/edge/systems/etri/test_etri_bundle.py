"""Settings of ETRI, and bundles that fit them or do not."""

import itertools

import pytest

from edge.frontend.maps import FeatureExtractor, FeatureSettings
from edge.frontend.stft import StftSettings
from edge.runtime.pipeline import build_system
from edge.systems.etri.settings import EtriSettings
from edge.systems.etri.window import NETS, Etri
from tests.edge.etri_scene import BANDS, bundle


@pytest.mark.parametrize(
    "changes",
    [
        {"max_overlap": 0},
        {"max_overlap": 4},
        {"sad_threshold": 0.0},
        {"sed_threshold": 1.0},
        {"hop_labels": 0},
        {"hop_labels": 41},
        {"window_labels": 0, "hop_labels": 0},
        {"sad_median_labels": 4},
        {"sad_median_labels": -1},
        {"sad_median_labels": 203},
        {"path_labels": 10},
        {"sed_median_labels": {"bell": 2}},
        {"sed_median_labels": {"bell": "3"}},
        {"sed_median_labels": {"bell": 3.0}},
        {"speeds_deg_s": ()},
        {"speeds_deg_s": (0.0, -10.0)},
        {"path_deg": 0.0},
    ],
)
def test_settings_out_of_range_are_refused(changes):
    with pytest.raises(ValueError, match=r"^got .*, wanted "):
        EtriSettings(**changes)


def test_a_bundle_names_its_system_and_its_settings_can_be_overridden():
    nets = dict.fromkeys(NETS)
    system = build_system(bundle(), nets=nets)
    assert isinstance(system, Etri)
    late_s = 0.1 * FeatureExtractor(FeatureSettings("etri", BANDS), StftSettings()).look_ahead_labels
    assert system.latency_s == pytest.approx(late_s + 3.5 + 0.2 + 0.2 + 0.5)
    assert build_system(bundle(), nets=nets, overrides={"post_sed": False}).latency_s == pytest.approx(late_s + 4.2)
    assert build_system(bundle(), nets=nets, overrides={"post_doa": False}).latency_s == pytest.approx(late_s + 3.9)
    with pytest.raises(ValueError, match=r"^system: got unknown key 'overlap', wanted one of max_overlap, "):
        build_system(bundle(), nets=nets, overrides={"overlap": 3})
    with pytest.raises(ValueError, match=r"^system: got path_labels 4, wanted an odd number from 1 to 201$"):
        build_system(bundle(), nets=nets, overrides={"path_labels": 4})


def test_a_bundle_that_does_not_fit_is_refused_with_the_reason():
    with pytest.raises(ValueError, match=r"^tiny: got nets doae, sad, wanted also sed$"):
        build_system(bundle(), nets=dict.fromkeys(("sad", "doae")))
    nets = dict.fromkeys(NETS)
    with pytest.raises(ValueError, match=r"^tiny: got features 'logmel_iv', wanted 'etri'$"):
        build_system(bundle(features=FeatureSettings()), nets=nets)
    with pytest.raises(
        ValueError, match=r"^tiny: sad: got features of shape \[200, 64, 3\], wanted \[150, 64, 3\] by "
    ):
        build_system(bundle(), nets=nets, overrides={"window_labels": 30})
    with pytest.raises(ValueError, match=r"^got sed_median_labels of 'cat', wanted only low, high$"):
        build_system(bundle(settings={"sed_median_labels": {"cat": 3}}), nets=nets)


def test_every_tensor_is_checked():
    good = bundle().manifest.nets
    for name, kind in itertools.product(NETS, ("inputs", "outputs")):
        for described in ({}, {key: [*shape[:-1], 7] for key, shape in good[name][kind].items()}):
            broken = bundle(nets={**good, name: {**good[name], kind: described}})
            with pytest.raises(ValueError, match=rf"^tiny: {name}: got (features|output) of shape .*, wanted \["):
                build_system(broken, nets=dict.fromkeys(NETS))
