"""Statistics of a run that was never made, for the tests of metrics."""

from edge.outputs.device_info import DeviceInfo
from edge.runtime.governor import GovernorStats
from edge.runtime.statistics import MachineStats, RunStats
from edge.stage_clock import Timing

DEVICE = DeviceInfo("coloc-edge", "foa")
STATS = RunStats(
    steps=1000,
    answers=500,
    missed_steps=3,
    lost_samples=2400,
    governor=GovernorStats(2, 150.0, 1, "1 track", {"2 tracks": 90.0, "1 track": 10.0}),
    step=Timing(1000, 1.5, 2.5, 3.5, 9.0),
    answer=Timing(500, 2.0, 3.0, 4.0, 9.0),
    stages={"stft": Timing(1000, 0.25, 0.5, 0.75, 1.0), "nets": Timing(1000, 1.25, 1.5, 1.75, 2.0)},
    events={"bell": 4, 'a "b"\\\n': 1},
    updates={"begin": 4, "discarded": 1},
    sectors={"door": 2},
    dropped={"mqtt:": 7, "jsonl:-": 0},
    workers={"mqtt:": False, "jsonl:-": True},
    machine=MachineStats(51.5, 138.25),
    repaired_samples=5,
    faulty_channels={2: "silent"},
    sound_level_db=-31.5,
)
