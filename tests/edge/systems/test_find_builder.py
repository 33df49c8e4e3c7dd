"""Systems by name: those of the package, and one that another package adds by an entry point."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from edge.arrays.profile import load_array
from edge.nets.bundle import load_bundle
from edge.runtime.pipeline import build_pipeline, build_system
from edge.stage_clock import StageClock
from edge.systems import SYSTEMS, find_builder
from edge.types import AudioBlock
from tests.edge.scenes import events_of
from tests.paths import ROOT

LOUDEST = '''
"""A system without nets: something is where the intensity points, wherever it is loud."""

from dataclasses import dataclass

import numpy as np

from edge.settings import build
from edge.systems.label_stepper import LabelStepper
from edge.types import TrackFrames


@dataclass(frozen=True)
class Settings:
    max_overlap: int = 1
    loud_db: float = -50.0


class Loudest:
    levels = ("all",)

    def __init__(self, stepper, settings, classes, array):
        self.settings, self.array, self.clock = settings, array, stepper.clock
        self.latency_s = stepper.label_s
        self._stepper, self._classes = stepper, classes

    def step(self, spectra):
        label = self._stepper.label_of(spectra)
        if label != self._stepper.next_label:
            self._stepper.restart(label)
        for maps in self._stepper.push(spectra):
            vector = maps[..., [6, 4, 5]].mean(axis=(0, 1))
            activity, direction = np.zeros((1, 1, self._classes), np.float32), np.zeros((1, 1, 3), np.float32)
            if maps[..., 0].mean() > self.settings.loud_db:
                activity[..., 0], direction[0, 0] = 0.9, vector / np.linalg.norm(vector)
            self.clock.lap("loudest")
            yield TrackFrames(activity, direction, label)

    def finish(self):
        self._stepper.restart(self._stepper.next_label)
        return iter(())

    def reset(self):
        self._stepper.restart(0)

    def set_level(self, index):
        pass


def from_bundle(bundle, nets, overrides, array, clock):
    manifest = bundle.manifest
    settings = build(Settings, {**manifest.settings, **overrides}, "system")
    return Loudest(LabelStepper(bundle.extractor(), manifest.stft, clock), settings, len(manifest.class_names), array)


NO_BUILDER = 7
'''


@pytest.fixture
def install(tmp_path, monkeypatch):
    """A function that installs a distribution with the module above and entry points: name -> object of the module."""

    def installed(**objects):
        (tmp_path / "loudest_system.py").write_text(LOUDEST)
        information = tmp_path / "loudest_system-1.0.dist-info"
        information.mkdir()
        (information / "METADATA").write_text("Metadata-Version: 2.1\nName: loudest-system\nVersion: 1.0\n")
        lines = [f"{name} = {value}" for name, value in objects.items()]
        (information / "entry_points.txt").write_text("\n".join(["[seld_edge.systems]", *lines, ""]))
        monkeypatch.syspath_prepend(tmp_path)

    yield installed
    sys.modules.pop("loudest_system", None)


def bundle_of(tiny_bundle, system):
    """The tiny bundle, with another system and the default settings of that."""
    bundle = load_bundle(str(tiny_bundle))
    return replace(bundle, manifest=replace(bundle.manifest, system=system, settings={}))


def test_a_system_of_another_package_runs_in_the_pipeline(install, tiny_bundle, sounds):
    install(loudest="loudest_system:from_bundle")
    bundle, array, clock = bundle_of(tiny_bundle, "loudest"), load_array("foa"), StageClock()
    mean, deviation = np.zeros_like(bundle.mean), np.ones_like(bundle.deviation)
    system = build_system(replace(bundle, mean=mean, deviation=deviation), array=array, clock=clock)
    assert type(system).__name__ == "Loudest" and system.array is array
    pipeline = build_pipeline(bundle, array, system)
    events = events_of([*pipeline.push(AudioBlock(sounds, 0)), *pipeline.finish()])
    assert [(event.onset_s, event.offset_s) for event in events] == [(1.0, 2.0), (3.0, 4.0)]
    assert [event.azimuth_deg for event in events] == pytest.approx([30.0, -120.0], abs=1.0)
    assert [event.elevation_deg for event in events] == pytest.approx([-20.0, 40.0], abs=1.0)
    assert pipeline.clock is clock and {"stft", "features", "loudest", "decode"} <= clock.stages().keys()


def test_its_settings_are_checked_as_those_of_any_system(install, tiny_bundle):
    install(loudest="loudest_system:from_bundle")
    bundle = bundle_of(tiny_bundle, "loudest")
    assert build_system(bundle, overrides={"loud_db": -30.0}).settings.loud_db == -30.0
    with pytest.raises(ValueError, match=r"^system: got unknown key 'loudness', wanted one of max_overlap, loud_db"):
        build_system(bundle, overrides={"loudness": 3})


def test_an_unknown_system_is_told_which_there_are(install, tiny_bundle):
    bundle = bundle_of(tiny_bundle, "loudness")
    with pytest.raises(ValueError, match=r"^tiny: got system 'loudness', wanted one of coloc, etri, two_step$"):
        build_system(bundle)
    install(loudest="loudest_system:from_bundle", coloc="loudest_system:from_bundle")
    with pytest.raises(
        ValueError, match=r"^tiny: got system 'loudness', wanted one of coloc, etri, two_step, loudest$"
    ):
        build_system(bundle)


@pytest.mark.parametrize("value", ["no_such_module:from_bundle", "loudest_system:no_such_function"])
def test_an_entry_point_that_cannot_be_loaded_is_named(install, tiny_bundle, value):
    install(loudest=value)
    with pytest.raises(ValueError, match=rf"^tiny: system 'loudest': cannot load {value}: [^\n]*$"):
        build_system(bundle_of(tiny_bundle, "loudest"))


def test_an_entry_point_must_load_to_something_that_builds(install, tiny_bundle):
    install(loudest="loudest_system:NO_BUILDER")
    with pytest.raises(ValueError, match=r"^tiny: system 'loudest': got loudest_system:NO_BUILDER, wanted a callable$"):
        build_system(bundle_of(tiny_bundle, "loudest"))


def test_the_systems_of_the_package_cannot_be_replaced(install, tiny_bundle):
    install(coloc="loudest_system:from_bundle")
    assert find_builder(load_bundle(str(tiny_bundle)).manifest).__module__ == "edge.systems.coloc.build"


@pytest.mark.parametrize("name", SYSTEMS)
def test_a_system_is_imported_without_the_others(name):
    lines = f"""
import sys
from types import SimpleNamespace
from edge.systems import SYSTEMS, find_builder
assert find_builder(SimpleNamespace(name="tiny", system={name!r})).__module__ == "edge.systems.{name}.build"
print(*(other for other in SYSTEMS if any(module.startswith(f"edge.systems.{{other}}") for module in sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", lines], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr, done.stdout.split()) == (0, "", [name])
