import numpy as np
import pytest

from edge.arrays.profile import load_array
from edge.nets.bundle import load_bundle
from edge.runtime.pipeline import build_pipeline, build_system
from edge.runtime.sound_level import SoundLevel, SoundLevelSettings
from tests.edge.scenes import run_through


def test_the_mean_of_an_interval_and_the_offset():
    level = SoundLevel(SoundLevelSettings(every_s=0.2, offset_db=94.0), 0.1)
    told = []
    for label, power in enumerate((0.5, 1.5, 10.0, 10.0, 0.0, 0.0, 1.0)):
        level.add(label, power)
        told.append(level.level_db)
    assert told == [None, 94.0, 94.0, 104.0, 104.0, None, None]
    level.reset()
    assert level.level_db is None


def test_a_gap_shortens_an_interval():
    level = SoundLevel(SoundLevelSettings(every_s=0.5), 0.1)
    for label, power in ((0, 100.0), (8, 1.0), (9, 1.0)):
        level.add(label, power)
    assert level.level_db == 0.0


@pytest.mark.parametrize("wrong", [{"every_s": 0.01}, {"every_s": 4000.0}, {"offset_db": 300.0}])
def test_settings_out_of_range(wrong):
    with pytest.raises(ValueError, match=f"got {next(iter(wrong))}"):
        SoundLevelSettings(**wrong)


def test_level_of_a_tone_in_the_loop_whatever_the_blocks_and_nothing_else_changes(tiny_bundle, sounds, cut):
    bundle = load_bundle(str(tiny_bundle))

    def through(size, level):
        pipeline = build_pipeline(bundle, load_array("foa"), build_system(bundle), level=level)
        return run_through(pipeline, cut(sounds, size)), pipeline

    plain, pipeline = through(4096, None)
    assert pipeline.sound_level is None
    found = [through(size, SoundLevelSettings(every_s=0.5, offset_db=100.0)) for size in (481, 4096, 10**6)]
    assert [items for items, _ in found] == [plain] * 3
    assert len({pipeline.sound_level.level_db for _, pipeline in found}) == 1
    silent_db = 100.0 + 20 * np.log10(1e-4) + 10 * np.log10(2)  # the last half second: noise of 1e-4, nearly white
    assert found[0][1].sound_level.level_db == pytest.approx(silent_db, abs=3.0)
