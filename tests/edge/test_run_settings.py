import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from edge.audio.sources import RawFormat
from edge.outputs.line_file import LineFileSettings
from edge.outputs.mqtt_link import MqttSettings
from edge.run_settings import MicrophoneSettings, PrometheusSettings, RunSettings, read_settings
from edge.runtime.budget import BudgetSettings
from edge.settings import build, read_toml

EVERYTHING = """
model = "my-model"
source = "mic"
array = "foa_fuma"
sinks = ["jsonl:-", "dcase:out.csv"]
realtime = true
stats = "stats.json"
metrics_minutes = 1
threads = 2
blas_threads = 3

[budget]
step_ms = 80
governor = false
window_steps = 30
misses = 4
backlog_ms = 400
room = 0.5
recover_steps = 12
most_recover_steps = 100

[system]
max_overlap = 1

[decode]
on = 0.6
min_duration_labels = 2

[microphone]
device = "ReSpeaker"
deadline_s = 5

[stdin]
sample_type = "f32le"
sample_rate_hz = 48000
channels = 6

[jsonl]
max_mb = 10
keep = 3

[mqtt]
host = "broker.lan"
tls = true
user = "seld"
home_assistant = false

[prometheus]
port = 9101
textfile = "/run/seld.prom"
"""


@pytest.fixture
def written(tmp_path):
    def write(text):
        path = tmp_path / "a.toml"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return write


def test_every_setting_is_read(written):
    assert read_settings(written(EVERYTHING)) == RunSettings(
        model="my-model",
        source="mic",
        array="foa_fuma",
        sinks=("jsonl:-", "dcase:out.csv"),
        realtime=True,
        stats="stats.json",
        metrics_minutes=1.0,
        threads=2,
        blas_threads=3,
        budget=BudgetSettings(80.0, False, 30, 4, 400.0, 0.5, 12, 100),
        system={"max_overlap": 1},
        decode={"on": 0.6, "min_duration_labels": 2},
        microphone=MicrophoneSettings("ReSpeaker", 5.0),
        stdin=RawFormat("f32le", 48000, 6),
        jsonl=LineFileSettings(10.0, 3),
        mqtt=MqttSettings("broker.lan", tls=True, user="seld", home_assistant=False),
        prometheus=PrometheusSettings(9101, textfile="/run/seld.prom"),
    )


def test_an_empty_file_is_all_defaults(written):
    assert read_settings(written("")) == RunSettings()
    assert RunSettings().sinks == ("jsonl:-",) and RunSettings().source is None
    assert RunSettings().blas_threads == 1 and RunSettings().budget.step_ms == 100.0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("modle = 'a'", "got unknown key 'modle', wanted one of model, source, array, sinks, realtime, stats,"),
        ("[microphone]\ngain = 2", "microphone: got unknown key 'gain', wanted one of device, deadline_s"),
        ("[stdin]\nrate = 2", "stdin: got unknown key 'rate', wanted one of sample_type, sample_rate_hz, channels"),
        ("[decode]\nonn = 0.5", "decode: got unknown key 'onn', wanted one of on, off, smoothing"),
        ("model = 3", "model: got 3, wanted str"),
        ("threads = '1'", "threads: got '1', wanted int"),
        ("threads = 1.0", r"threads: got 1\.0, wanted int"),
        ("threads = true", "threads: got True, wanted int"),
        ("threads = 0", "got threads 0, wanted 1 to 64"),
        ("threads = 65", "got threads 65, wanted 1 to 64"),
        ("blas_threads = 0", "got blas_threads 0, wanted 1 to 64"),
        ("blas_threads = 65", "got blas_threads 65, wanted 1 to 64"),
        ("blas_threads = true", "blas_threads: got True, wanted int"),
        ("realtime = 1", "realtime: got 1, wanted bool"),
        ("stats = 1", "stats: got 1, wanted str"),
        ("metrics_minutes = -1", r"got metrics_minutes -1\.0, wanted 0 or 0\.01 to 1000000"),
        ("metrics_minutes = 0.0000001", r"got metrics_minutes 1e-07, wanted 0 or 0\.01 to"),
        ("[budget]\nstep = 1", "budget: got unknown key 'step', wanted one of step_ms, governor, window_steps"),
        ("[budget]\ngovernor = 'on'", "budget: governor: got 'on', wanted bool"),
        ("[budget]\nmisses = 0", "budget: got misses 0 and window_steps 20, wanted 1 <= misses <= window_steps"),
        ("sinks = 'null'", "sinks: got 'null', wanted a list"),
        ("sinks = ['null', 1]", r"sinks\[1\]: got 1, wanted str"),
        ("sinks = []", "got no sinks, wanted at least one"),
        ("system = 1", "system: got 1, wanted a table"),
        ("microphone = 'a'", "microphone: got 'a', wanted a table"),
        ("[[microphone]]", "microphone: got .*, wanted a table"),
        ("[microphone]\ndevice = 1", "microphone: device: got 1, wanted str"),
        ("[microphone]\ndeadline_s = 'a'", "microphone: deadline_s: got 'a', wanted float"),
        ("[microphone]\ndeadline_s = true", "microphone: deadline_s: got True, wanted float"),
        ("[microphone]\ndeadline_s = nan", "microphone: deadline_s: got nan, wanted a finite number"),
        ("[microphone]\ndeadline_s = inf", "microphone: deadline_s: got inf, wanted a finite number"),
        (f"[microphone]\ndeadline_s = 1{'0' * 400}", "microphone: deadline_s: got inf, wanted a finite number"),
        ("[stdin]\nsample_type = 'mp3'", "stdin: raw samples: got type 'mp3', wanted one of s16le, s32le, f32le"),
        ("[jsonl]\nkeep = 0", "jsonl: got keep 0, wanted 1 to 1000"),
        ("[mqtt]\nport = 0", "mqtt: got port 0, wanted 1 to 65535"),
        ("[mqtt]\nprefix = 'a/#'", "mqtt: got prefix 'a/#', wanted a topic without wildcards"),
        ("[mqtt]\nhost = 'a b'", "mqtt: got host 'a b', wanted a name or an address"),
        ("[prometheus]\nport = 70000", "prometheus: got port 70000, wanted 1 to 65535"),
        ("[prometheus]\ntextfile = 'a'", "prometheus: got textfile 'a', wanted a name that ends with .prom"),
        ("[prometheus]\nevery_s = 0", r"prometheus: got every_s 0\.0, wanted 1 to 86400"),
        ("a = ", "not valid TOML: "),
        ("a = 1\na = 2", "not valid TOML: "),
        ("threads = 1" + "0" * 5000, "not valid TOML: "),
        (b"model = '\xff'", "got byte 0xff at 9, wanted UTF-8"),
        ("a = " + "[" * 100_000, "not valid TOML: "),
    ],
)
def test_what_is_wrong_is_one_line_that_names_the_file(written, text, message):
    path = written(text)
    with pytest.raises(ValueError, match=rf"^{path}: {message}[^\n]*$"):
        read_settings(path)


def test_a_file_that_cannot_be_read(tmp_path):
    for path, reason in ((tmp_path / "none.toml", "No such file or directory"), (tmp_path, "not a regular file")):
        with pytest.raises(ValueError, match=rf"^{path}: {reason}$"):
            read_settings(path)


KEYS = st.sampled_from(
    [
        *("model", "sinks", "threads", "budget", "misses", "system", "decode", "microphone", "stdin", "on", "device"),
        *("jsonl", "max_mb", "keep", "mqtt", "host", "port", "prefix", "client_id", "ca_file", "prometheus", "x"),
    ]
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=8
)


@given(st.dictionaries(KEYS, VALUES, max_size=5))
def test_any_table_is_settings_or_a_value_error(table):
    try:
        settings = build(RunSettings, table, "here")
    except ValueError as error:
        assert str(error).startswith("here: ")
        assert "\n" not in str(error)
    else:
        assert 1 <= settings.threads <= 64 and all(isinstance(sink, str) for sink in settings.sinks)


PIECES = ["=", "[", "]", "[[", "]]", "{", "}", '"', "'", '"""', "\n", "#", ".", ",", " ", "1e999", "nan", "\\u", "\x00"]
PIECES += ["threads", "sinks", "decode", "1979-05-27T07:32:00Z", "0x", "\r", "true", "é", "_", "-", "9" * 50]


@given(
    st.binary(max_size=60) | st.lists(st.sampled_from(PIECES), max_size=25).map(lambda parts: "".join(parts).encode())
)
@example(b"\xef\xbb\xbfthreads = 1")
@example(b"[a.b.c]\n[a]\nb.c = 1")
@example(json.dumps({"threads": 1}).encode())
def test_any_bytes_are_a_table_or_a_value_error(tmp_path, content):
    path = tmp_path / "wild.toml"
    path.write_bytes(content)
    try:
        assert isinstance(read_toml(path), dict)
        read_settings(path)
    except ValueError as error:
        assert str(error).startswith(f"{path}: ")
        assert "\n" not in str(error)
