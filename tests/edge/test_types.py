import dataclasses
import inspect

import pytest

from edge import types

RECORDS = [kind for _, kind in inspect.getmembers(types, dataclasses.is_dataclass)]


def test_all_records_are_tested():
    names = {kind.__name__ for kind in RECORDS}
    assert names == {
        "AudioBlock",
        "Spectra",
        "FeatureFrames",
        "TrackFrames",
        "Event",
        "EventUpdate",
        "FrameRow",
        "LiveFrame",
    }


@pytest.mark.parametrize("kind", RECORDS)
def test_records_are_frozen_and_slotted(kind):
    record = kind(*range(len(dataclasses.fields(kind))))
    assert not hasattr(record, "__dict__")
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(record, dataclasses.fields(kind)[0].name, 7)


def test_block_follows_without_a_gap_by_default():
    assert types.AudioBlock(None, 3).lost == 0
