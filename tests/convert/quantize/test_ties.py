"""Ties, products halfway between two quantization steps, are found and removed (see convert/quantize/ties.py)."""

from __future__ import annotations

import logging
from dataclasses import replace
from fractions import Fraction
from unittest import mock

import keras
import numpy as np
import pytest
from keras import layers
from tensorflow.lite.python import schema_py_generated as schema

from convert.quantize import converter as quantize
from convert.quantize import ties
from convert.quantize.converter import to_tflite
from convert.quantize.ties import main, tied_products, without_ties
from edge.nets.bundle import load_bundle, shipped_bundles, write_bundle
from edge.nets.net import LiteRtNet
from tests.make_tiny_bundle import GOLDEN

SIGMOID = (np.float32(1 / 256), -128)
STATE = (np.float32(0.007843138), -1)  # of a GRU: what it hands on is between -1 and 1


def rounded(first, second, output, on_arm):
    """All 65,536 products of two int8 numbers as steps of the output, as the two kernels of XNNPACK compute them."""
    values = np.arange(-128, 128)
    products = np.multiply.outer(values - first[1], values - second[1])
    factor = np.float32(first[0] * second[0]) / output[0]
    if on_arm:  # 31 bits, exact, up
        exact = Fraction(float(factor))
        up = np.array(
            [(2 * int(p) * exact.numerator + exact.denominator) // (2 * exact.denominator) for p in products.flat]
        )
        steps = up.reshape(products.shape)
    else:  # float32, to the even
        steps = np.rint(products.astype(np.float32) * factor).astype(int)
    return np.clip(steps + output[1], -128, 127)


@pytest.mark.parametrize("second", [STATE, (np.float32(0.0078431275), 0), (np.float32(0.031572387), -21)])
def test_where_there_are_no_ties_both_kernels_agree(second):
    """Where there are ties, the two kernels differ."""
    told = set()
    for times in range(-20, 21):
        output = (np.float32(second[0] * (1.0 + times * ties.MOVE)), second[1])
        apart = rounded(SIGMOID, second, output, True) - rounded(SIGMOID, second, output, False)
        found = ties.ties(SIGMOID, second, output)
        told.add(found > 0)
        assert found or not apart.any()
        if times == 0:
            assert found >= 100 and abs(apart).max() == 1
    assert told == {True, False}


@pytest.fixture(scope="module")
def model():
    """Products like those of a GRU, one of which is concatenated with another tensor."""
    x, h, g = (keras.Input((16,), name=name) for name in "xhg")
    new, other = ((1.0 - keras.ops.sigmoid(gate)) * keras.ops.tanh(h) for gate in (x, g))
    return keras.Model([x, h, g], {"kept": keras.ops.sigmoid(g) * new, "joined": layers.Concatenate()([new, other])})


def examples():
    rng = np.random.default_rng(0)
    return [{name: rng.uniform(-20, 20, 16).astype(np.float32) for name in "xhg"} for _ in range(60)]


@pytest.fixture(scope="module")
def tied(model):
    """The net as the converter returns it, with ties."""
    with mock.patch.object(quantize, "without_ties", lambda flatbuffer: flatbuffer):
        return to_tflite(model, examples())


def test_converted_nets_have_no_ties_and_the_same_answers(model, tied):
    assert tied_products(tied) >= 2
    exported = to_tflite(model, examples())
    assert exported == without_ties(tied) and tied_products(exported) == 0 and without_ties(exported) == exported
    old, new = scales(tied), scales(exported)
    assert max(abs(new[number] / old[number] - 1.0) for number in old) < 1e-4
    before, after = LiteRtNet(tied), LiteRtNet(exported)
    for example in examples():
        got, wanted = after(**example), before(**example)
        for name, detail in before.outputs.items():
            assert abs(got[name] - wanted[name]).max() <= 1.01 * detail["quantization"][0]


def scales(flatbuffer):
    """The scales of all tensors that have one, by number."""
    graph = schema.Model.GetRootAs(bytearray(flatbuffer)).Subgraphs(0)
    quantizations = {number: graph.Tensors(number).Quantization() for number in range(graph.TensorsLength())}
    return {number: q.Scale(0) for number, q in quantizations.items() if q is not None and q.ScaleLength() == 1}


def test_tensors_that_must_have_equal_scales_still_have(tied):
    """Otherwise XNNPACK would leave the CONCATENATION to TFLite."""
    exported = without_ties(tied)
    before, after = scales(tied), scales(exported)
    assert before != after
    graph = schema.Model.GetRootAs(bytearray(exported))
    [joined] = [ends for name, ends in operations(graph) if name == "CONCATENATION"]
    assert len({before[n] for n in joined}) == len({after[n] for n in joined}) == 1
    assert before[joined[0]] != after[joined[0]]


def operations(model):
    graph = model.Subgraphs(0)
    for i in range(graph.OperatorsLength()):
        operator = graph.Operators(i)
        code = model.OperatorCodes(operator.OpcodeIndex()).BuiltinCode()
        yield ties._NAMES[code], [*operator.InputsAsNumpy().tolist(), *operator.OutputsAsNumpy().tolist()]


@pytest.mark.parametrize("name", ["state_sum", "shared_sum"])
def test_a_mul_that_keeps_its_ties_is_logged(caplog, name):
    """Both inputs of the MUL are inputs of the net, and its output is a state, so no scale may change."""
    given = [keras.Input((4,), name=name) for name in ("x", "y")]
    model = keras.Model(given, {name: given[0] * given[1]})
    ends = (-127 / 128, 1.0)
    values = [{"x": np.full(4, x, np.float32), "y": np.full(4, y, np.float32)} for x in ends for y in ends]
    with caplog.at_level(logging.WARNING, "convert.quantize.ties"):
        flatbuffer = to_tflite(model, values)
    assert tied_products(flatbuffer) == 1
    assert "keeps its ties" in caplog.text


def test_float_nets_have_no_ties(model):
    flatbuffer = to_tflite(model)
    assert tied_products(flatbuffer) == 0 and without_ties(flatbuffer) == flatbuffer


def test_a_net_with_a_loop_is_refused():
    """The scales in the body of the loop would not be changed."""
    sequence = keras.Input((5, 3), name="x")
    flatbuffer = to_tflite(keras.Model({"x": sequence}, {"y": layers.GRU(2)(sequence)}))
    with pytest.raises(ValueError, match="wanted one: loops must be unrolled"):
        tied_products(flatbuffer)


@pytest.mark.parametrize("name", sorted(shipped_bundles()))
def test_shipped_nets_have_none(name):
    found = {net: tied_products(flatbuffer) for net, flatbuffer in load_bundle(name).flatbuffers.items()}
    assert not any(found.values()), found


def test_an_older_bundle_is_rewritten(tmp_path, capsys, tied):
    """The hashes are updated, and a second run changes nothing."""
    bundle = load_bundle(str(GOLDEN / "tiny-bundle"))
    write_bundle(tmp_path, replace(bundle, flatbuffers={"net": tied}))
    main([str(tmp_path)])
    assert capsys.readouterr().out == f"net: {tied_products(tied)} MULs with ties\n"
    assert load_bundle(str(tmp_path)).flatbuffers == {"net": without_ties(tied)}
    files = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    main([str(tmp_path)])
    assert files == {path.name: path.read_bytes() for path in tmp_path.iterdir()}
