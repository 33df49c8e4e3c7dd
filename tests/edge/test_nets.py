import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from edge.nets import LiteRtNet, dequantise, quantise

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
def test_there_and_back_within_half_a_step_or_at_the_end_of_the_range(scale, zero_point, values):
    tensor = detail(scale, zero_point)
    values = np.array(values, np.float32)
    back = dequantise(quantise(values, tensor), tensor)
    low, high = (-128 - zero_point) * scale, (127 - zero_point) * scale
    assert back.dtype == np.float32
    assert_allclose(back, np.clip(values, low, high), rtol=1e-5, atol=scale * 0.501 + 1e-6)


def test_state_is_carried_and_not_shown(state_net):
    x = floats(1.0, 0.5, -0.25)
    state = np.zeros(3)
    for _ in range(6):
        outputs = state_net(x=x)
        assert list(outputs) == ["y"]
        assert_allclose(outputs["y"], x + state, atol=3 * STEP)
        state = (x + state) / 2
    assert outputs["y"][0] > 1.9  # it has built up


def test_reset_sets_the_state_to_zero(state_net, golden):
    x = floats(0.9, -0.9, 0.1)
    first = [state_net(x=x)["y"] for _ in range(4)]
    state_net.reset()
    again = [state_net(x=x)["y"] for _ in range(4)]
    assert_array_equal(again, first)
    fresh = LiteRtNet(golden / "tiny-nets" / "state.tflite")
    assert_array_equal([fresh(x=x)["y"] for _ in range(4)], first)
    assert np.any(first[0] != first[1])


def test_inputs_beyond_the_range_saturate(state_net):
    assert_allclose(state_net(x=floats(50.0, -50.0, 0.0))["y"], [1.0, -1.0, 0.0], atol=2 * STEP)


def test_outputs_are_not_overwritten_by_the_next_call(state_net):
    first = state_net(x=floats(0.5, 0.5, 0.5))["y"]
    kept = first.copy()
    state_net(x=floats(-0.5, -0.5, -0.5))
    assert_array_equal(first, kept)


def test_inputs_are_left_alone(state_net):
    x = floats(0.5, 5.0, -0.3)
    kept = x.copy()
    state_net(x=x)
    assert_array_equal(x, kept)


def test_a_state_with_another_scale_at_the_output_is_refused(golden):
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
        state_net(**{name: value.astype(np.float32) for name, value in inputs.items()})
    assert_allclose(state_net(x=floats(0.5, 0.5, 0.5))["y"], 0.5, atol=2 * STEP)  # nothing was set by the attempt


def test_the_tiny_nets_are_integer_through_and_through(golden, tiny_bundle):
    for path in [*tiny_bundle.glob("*.tflite"), *(golden / "tiny-nets").glob("state.tflite")]:
        types = LiteRtNet(path).tensor_types()
        assert types.pop("int8") >= 2
        assert set(types) <= {"int32"}  # shapes and biases


def test_a_file_and_its_content_are_the_same_net(golden):
    path = golden / "tiny-nets" / "state.tflite"
    x = floats(0.3, 0.2, 0.1)
    assert_array_equal(LiteRtNet(path)(x=x)["y"], LiteRtNet(path.read_bytes(), threads=2)(x=x)["y"])


@pytest.mark.parametrize("damage", ["nothing", "text", "half", "old"])
def test_what_is_no_net_is_one_clear_line(golden, damage):
    good = (golden / "tiny-nets" / "state.tflite").read_bytes()
    content = {"nothing": b"", "text": b"no net " * 99, "half": good[: len(good) // 2], "old": good[:8] + bytes(500)}
    with pytest.raises(ValueError, match=r"^got no net that TFLite can run: [^\n]+$"):
        LiteRtNet(content[damage])


@pytest.mark.parametrize("stderr", ["open", "closed"])
def test_the_runtime_says_nothing_on_stderr(golden, stderr):
    """It would announce its delegate, once per process. Python's own words still get through afterwards."""
    path = golden / "tiny-nets" / "state.tflite"
    code = f"""
import os, sys
from pathlib import Path
from edge.nets import LiteRtNet
if {stderr == "closed"}: os.close(2)
LiteRtNet(Path({str(path)!r}))
if {stderr == "open"}: print("afterwards", file=sys.stderr)
print("done")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=dict(os.environ))
    assert (done.returncode, done.stdout) == (0, "done\n")
    assert done.stderr == ("afterwards\n" if stderr == "open" else "")
