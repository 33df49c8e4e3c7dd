import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from edge.nets import interpreter as litert
from edge.nets.bundle import load_bundle
from edge.nets.net import LiteRtNet, check_shared, dequantise, quantise

STEP = 2.0 / 255.0  # of the tensors x and state_sum


def detail(scale=0.5, zero_point=3, dtype=np.int8):
    return {"dtype": dtype, "quantization": (scale, zero_point)}


@pytest.fixture
def state_net(golden):
    """y = x + state, then state = y / 2; three numbers each, x and state in -1..1."""
    return LiteRtNet(golden / "tiny-nets" / "state.tflite")


def floats(*values):
    return np.array(values, np.float32)


def test_quantise_rounds_to_the_nearest_step():
    assert_array_equal(quantise(floats(0.0, 0.2, 0.3, 0.7, 0.8, -0.3, -0.2), detail()), [3, 3, 4, 4, 5, 2, 3])
    assert quantise(floats(1.0), detail()).dtype == np.int8


def test_quantise_clips_where_a_plain_cast_would_wrap():
    values = floats(63.5, -65.5, 1e9, -1e9)  # 130, -128, far out
    with np.errstate(invalid="ignore"):
        wrapped = (np.rint(values / 0.5) + 3).astype(np.int64).astype(np.int8)
    assert wrapped[0] == -126
    assert_array_equal(quantise(values, detail()), [127, -128, 127, -128])


def test_quantise_knows_the_range_of_each_type():
    assert_array_equal(quantise(floats(-9.0, 1e9), detail(0.5, 10, np.uint8)), [0, 255])
    assert_array_equal(quantise(floats(-1e9, 1e9), detail(0.5, 0, np.int16)), [-32768, 32767])


def test_float_tensors_pass_unchanged():
    values = floats(0.1, 1e9, -3e-9)
    assert_array_equal(quantise(values, detail(0.0, 0, np.float32)), values)
    assert_array_equal(dequantise(values, detail(0.0, 0, np.float32)), values)


@given(
    st.floats(1e-4, 10.0),
    st.integers(-128, 127),
    st.lists(st.floats(-3e3, 3e3, width=32), min_size=1, max_size=20),
)
def test_quantise_and_dequantise_are_within_half_a_step_or_saturate(scale, zero_point, values):
    tensor = detail(scale, zero_point)
    values = np.array(values, np.float32)
    back = dequantise(quantise(values, tensor), tensor)
    low, high = (-128 - zero_point) * scale, (127 - zero_point) * scale
    assert back.dtype == np.float32
    assert_allclose(back, np.clip(values, low, high), rtol=1e-5, atol=scale * 0.501 + 1e-6)


def test_state_is_carried_and_not_shown(state_net):
    x = floats(1.0, 0.5, -0.25)
    state, past = np.zeros(3), state_net.fresh()
    for _ in range(6):
        outputs = state_net(past, x=x)
        assert list(outputs) == ["y"]
        assert_allclose(outputs["y"], x + state, atol=3 * STEP)
        state = (x + state) / 2
    assert outputs["y"][0] > 1.9  # it has built up


def test_fresh_past_is_the_zero_point_of_the_net(state_net):
    detail = state_net.inputs["state_sum"]
    past = state_net.fresh()
    assert list(past) == ["state_sum"] and past["state_sum"].dtype == np.int8
    assert_array_equal(past["state_sum"], np.full((1, 3), detail["quantization"][1]))
    assert_array_equal(dequantise(past["state_sum"], detail), 0.0)


def test_pasts_belong_to_the_caller_and_are_independent(state_net, golden):
    """One net that processes two streams by turns gives for each what a net of its own would give."""
    streams = [[floats(0.9, -0.9, 0.1)] * 4, [floats(-0.2, 0.4, 0.8)] * 4]
    alone = []
    for stream in streams:
        net = LiteRtNet(golden / "tiny-nets" / "state.tflite")
        past = net.fresh()
        alone.append([net(past, x=x)["y"] for x in stream])
    pasts = [state_net.fresh(), state_net.fresh()]
    turns = [
        [state_net(past, x=x)["y"] for past, x in zip(pasts, turn, strict=True)] for turn in zip(*streams, strict=True)
    ]
    assert_array_equal(np.swapaxes(turns, 0, 1), alone)
    assert np.any(alone[0][0] != alone[0][1])
    assert_array_equal([state_net(state_net.fresh(), x=x)["y"] for x in streams[0]], [alone[0][0]] * 4)


def test_past_that_was_kept_is_not_overwritten_by_later_calls(state_net):
    past = state_net.fresh()
    state_net(past, x=floats(0.9, 0.9, 0.9))
    kept = dict(past)
    values = kept["state_sum"].copy()
    state_net(past, x=floats(0.9, 0.9, 0.9))
    assert_array_equal(kept["state_sum"], values)
    assert np.all(past["state_sum"] > values)


def test_net_with_state_needs_a_past(state_net, tiny_bundle):
    with pytest.raises(ValueError, match=r"^got no past, wanted one with state_sum$"):
        state_net(x=floats(0.0, 0.0, 0.0))
    encoder = LiteRtNet(tiny_bundle / "localizer_encoder.tflite")
    assert encoder.fresh() == {}
    direction = np.zeros((10, 3), np.float32)
    assert_array_equal(encoder(direction=direction)["embedding"], encoder({}, direction=direction)["embedding"])


def test_inputs_beyond_the_range_saturate(state_net):
    y = state_net(state_net.fresh(), x=floats(50.0, -50.0, 0.0))["y"]
    assert_allclose(y, [1.0, -1.0, 0.0], atol=2 * STEP)


def test_outputs_are_not_overwritten_by_the_next_call(state_net):
    first = state_net(state_net.fresh(), x=floats(0.5, 0.5, 0.5))["y"]
    kept = first.copy()
    state_net(state_net.fresh(), x=floats(-0.5, -0.5, -0.5))
    assert_array_equal(first, kept)


def test_inputs_are_not_changed(state_net):
    x = floats(0.5, 5.0, -0.3)
    kept = x.copy()
    state_net(state_net.fresh(), x=x)
    assert_array_equal(x, kept)


def test_computed_takes_and_returns_all_tensors(state_net):
    """States are among them, as float32: the quantization ladder compares them."""
    x, state = floats(0.5, -0.5, 0.25), floats(0.8, 0.4, -0.2)
    computed = state_net.computed({"x": x, "state_sum": state})
    assert computed.keys() == {"y", "state_sum"}
    assert_allclose(computed["y"], x + state, atol=3 * STEP)
    assert_allclose(computed["state_sum"], (x + state) / 2, atol=3 * STEP)


# Tensors that one net hands to another


@pytest.fixture
def stages(tiny_bundle):
    """Front and blocks of a localizer: shared maps go from one to the other."""
    return [LiteRtNet(tiny_bundle / f"localizer_{part}.tflite") for part in ("front", "blocks")]


def test_shared_tensors_are_not_converted(stages):
    front, blocks = stages
    past, told = front.fresh(), blocks.fresh()
    features = np.random.default_rng(0).uniform(-1, 1, (5, 64, 7)).astype(np.float32)
    condition = np.zeros((7, 1, 6), np.float32)
    front(past, features=features)
    maps = front(past, features=features)["shared_maps"]
    assert maps.dtype == np.int8 and maps.shape == (5, 2, 7)
    detail = front.outputs["shared_maps"]
    means = features.reshape(5, 2, 32, 7).mean(axis=2)
    assert_allclose(dequantise(maps, detail), means, atol=1.5 * detail["quantization"][0])
    for _ in range(3):
        labels = blocks(told, shared_maps=maps, condition=condition)["shared_labels"]
    assert labels.dtype == np.int8
    heard = dequantise(labels, blocks.outputs["shared_labels"])[0, 0, :14].reshape(2, 7)
    assert_allclose(heard, means.mean(axis=0), atol=3 * detail["quantization"][0])
    with pytest.raises(ValueError, match=r"FLOAT32|float32"):
        blocks(told, shared_maps=means, condition=condition)


def test_check_shared_compares_scales(stages):
    front, blocks = stages
    check_shared(front, blocks, "shared_maps")
    scale, zero = front.outputs["shared_maps"]["quantization"]
    for wrong in ((scale * 1.01, zero), (scale, zero + 1), (scale / 2, zero)):
        blocks.inputs["shared_maps"] = {**blocks.inputs["shared_maps"], "quantization": wrong}
        with pytest.raises(ValueError, match=r"^got shared_maps with scale 0\.\d+ and zero -?\d+, wanted 0\.\d+ and "):
            check_shared(front, blocks, "shared_maps")
    blocks.inputs["shared_maps"]["quantization"] = (scale * 1.00001, zero)  # as far as floats are written down
    check_shared(front, blocks, "shared_maps")


def test_state_with_another_scale_at_the_output_is_refused(golden):
    with pytest.raises(ValueError, match=r"^got state_sum with another scale at the output, wanted the same"):
        LiteRtNet(golden / "tiny-nets" / "drifting.tflite")


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({}, r"^got inputs \[\], wanted \['x'\]$"),
        ({"y": np.zeros(3)}, r"^got inputs \['y'\], wanted \['x'\]$"),
        ({"x": np.zeros(3), "z": np.zeros(3)}, r"^got inputs \['x', 'z'\], wanted \['x'\]$"),
        ({"x": np.zeros(3), "state_sum": np.zeros(3)}, r"^got inputs \['state_sum', 'x'\], wanted \['x'\]$"),
        ({"x": np.zeros(4)}, r"^got x of shape \(4,\), wanted \(3,\)$"),
        ({"x": np.zeros((1, 3))}, r"^got x of shape \(1, 3\), wanted \(3,\)$"),
        ({"x": np.zeros(())}, r"^got x of shape \(\), wanted \(3,\)$"),
    ],
)
def test_wrong_names_and_shapes(state_net, inputs, message):
    with pytest.raises(ValueError, match=message):
        state_net(state_net.fresh(), **{name: value.astype(np.float32) for name, value in inputs.items()})
    answer = state_net(state_net.fresh(), x=floats(0.5, 0.5, 0.5))["y"]
    assert_allclose(answer, 0.5, atol=2 * STEP)  # nothing was set by the attempt


def test_tiny_nets_have_integer_tensors_only(golden, tiny_bundle):
    for path in [*tiny_bundle.glob("*.tflite"), *(golden / "tiny-nets").glob("state.tflite")]:
        types = LiteRtNet(path).tensor_types()
        assert types.pop("int8") >= 2
        assert set(types) <= {"int32"}  # shapes and biases


def test_file_and_its_content_are_the_same_net(golden):
    path = golden / "tiny-nets" / "state.tflite"
    x = floats(0.3, 0.2, 0.1)
    one, other = LiteRtNet(path), LiteRtNet(path.read_bytes(), threads=2)
    assert_array_equal(one(one.fresh(), x=x)["y"], other(other.fresh(), x=x)["y"])


@pytest.mark.parametrize("damage", ["nothing", "text", "half", "old"])
def test_other_content_than_a_net_is_refused_in_one_line(golden, damage):
    good = (golden / "tiny-nets" / "state.tflite").read_bytes()
    content = {"nothing": b"", "text": b"no net " * 99, "half": good[: len(good) // 2], "old": good[:8] + bytes(500)}
    with pytest.raises(ValueError, match=r"^got no net that TFLite can run: [^\n]+$"):
        LiteRtNet(content[damage])


@pytest.mark.parametrize("stderr", ["open", "closed"])
def test_runtime_prints_nothing_on_stderr(golden, stderr):
    """TFLite announces its delegate once per process. Python's own output still arrives afterwards."""
    path = golden / "tiny-nets" / "state.tflite"
    code = f"""
import os, sys
from pathlib import Path
from edge.nets.net import LiteRtNet
if {stderr == "closed"}: os.close(2)
LiteRtNet(Path({str(path)!r}))
if {stderr == "open"}: print("afterwards", file=sys.stderr)
print("done")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=dict(os.environ))
    assert (done.returncode, done.stdout) == (0, "done\n")
    assert done.stderr == ("afterwards\n" if stderr == "open" else "")


@pytest.mark.parametrize(("name", "net", "threads"), [("two-step-edge", "fusion", 1), ("coloc-edge", "localizer", 3)])
def test_operations_that_fail_in_several_threads_get_one(monkeypatch, name, net, threads):
    """Products of two batches: see `nets.ONE_THREAD`."""
    asked = []

    def interpreter(num_threads, **options):
        asked.append(num_threads)
        return litert.Interpreter(num_threads=num_threads, **options)

    monkeypatch.setattr("edge.nets.net.Interpreter", interpreter)
    LiteRtNet(load_bundle(name).flatbuffers[net], threads=3)
    assert (asked[0], asked[-1]) == (3, threads)
