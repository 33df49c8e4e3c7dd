from bench.machine import machine_record, throttling
from edge.runtime.machine import rss_mb, temperature_c

FILES = {
    "proc/device-tree/model": "Raspberry Pi 4 Model B Rev 1.4\0",
    "proc/meminfo": "MemTotal:        3884160 kB\nMemFree:  1 kB\n",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "ondemand\n",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_max_freq": "1800000\n",
    "sys/class/thermal/thermal_zone0/temp": "61835\n",
    "sys/devices/platform/soc/soc:firmware/get_throttled": "50005\n",
}


def test_a_raspberry_pi(tmp_path):
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    record = machine_record(tmp_path)
    assert record["board"] == "Raspberry Pi 4 Model B Rev 1.4"
    assert (record["governor"], record["max_mhz"], record["memory_mb"]) == ("ondemand", 1800, 3977)
    assert record["temperature_c"] == temperature_c(tmp_path) == 61.835
    assert record["throttling"] == [
        "under-voltage",
        "throttled",
        "under-voltage has occurred",
        "throttling has occurred",
    ]


def test_a_machine_that_says_nothing(tmp_path):
    record = machine_record(tmp_path)
    assert record["board"] == "unknown"
    assert [record[name] for name in ("governor", "max_mhz", "memory_mb", "temperature_c")] == [None] * 4
    assert throttling(tmp_path) is None


def test_a_pc_is_known_by_its_processor(tmp_path):
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text("processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\n")
    assert machine_record(tmp_path)["board"] == "Some CPU @ 2 GHz"


def test_this_machine():
    record = machine_record()
    assert record["cores"] >= 1 and record["board"] and record["runtime"]
    assert 10.0 < rss_mb() < 10_000.0
