"""TrellisNet against its equations in numpy."""

from __future__ import annotations

import keras
import numpy as np
import pytest
from keras import ops

from convert.layers.trellis import TrellisNet
from convert.quantize.converter import to_tflite
from convert.quantize.ladder import snr_db
from edge.nets.net import LiteRtNet

INPUTS, UNITS, ROWS = 5, 3, 20
DILATIONS = (1, 1, 2, 4)


def trellis(dilations: tuple[int, ...] = DILATIONS, seed: int = 0) -> TrellisNet:
    """A net with weights as after a training."""
    rng = np.random.default_rng(seed)
    layer = TrellisNet(UNITS, dilations)
    layer.build((None, ROWS, INPUTS))
    layer.set_weights([rng.normal(size=weight.shape) for weight in layer.get_weights()])
    return layer


def sequence(seed: int = 1, batch: int = 2) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(batch, ROWS, INPUTS)).astype(np.float32)


def states(layer: TrellisNet, x: np.ndarray) -> np.ndarray:
    return ops.convert_to_numpy(layer(x))


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1.0 / (1.0 + np.exp(-x))


def by_numpy(layer: TrellisNet, x: np.ndarray) -> np.ndarray:
    """The equations for one sequence (T, n), row by row."""
    input_direction, input_length, hidden_direction, hidden_length, bias = layer.get_weights()
    W = input_direction / np.linalg.norm(input_direction, axis=0) * input_length
    U = hidden_direction / np.linalg.norm(hidden_direction, axis=0) * hidden_length
    h, c = np.zeros((len(x), UNITS)), np.zeros((len(x), UNITS))

    def at(rows: np.ndarray, t: int) -> np.ndarray:
        return rows[t] if t >= 0 else np.zeros_like(rows[0])

    for d in layer.dilations:
        new_h, new_c = np.zeros_like(h), np.zeros_like(c)
        for t in range(len(x)):
            gates = at(x, t - d) @ W[:INPUTS] + x[t] @ W[INPUTS:] + at(h, t - d) @ U[:UNITS] + h[t] @ U[UNITS:] + bias
            i, o, g, f = np.split(gates, 4)
            new_c[t] = sigmoid(f) * at(c, t - d) + sigmoid(i) * np.tanh(g)
            new_h[t] = sigmoid(o) * np.tanh(new_c[t])
        h, c = new_h, new_c
    return h


@pytest.mark.parametrize("dilations", [DILATIONS, (1,), (3, 1), (30, 2)])
def test_it_follows_its_equations(dilations: tuple[int, ...]) -> None:
    layer, x = trellis(dilations), sequence()
    expected = np.stack([by_numpy(layer, each) for each in x])
    assert expected.shape == (2, ROWS, UNITS)
    np.testing.assert_allclose(states(layer, x), expected, atol=1e-5)


def test_a_change_is_heard_from_its_row_on_and_as_far_as_the_dilations_reach() -> None:
    layer, x = trellis(), sequence(batch=1)
    changed, at = x.copy(), 7
    changed[:, at] += 1.0
    before, after = states(layer, x)[0], states(layer, changed)[0]
    np.testing.assert_array_equal(after[:at], before[:at])
    moved = np.flatnonzero(np.any(after != before, axis=-1))
    assert moved[0] == at
    assert moved[-1] == at + sum(DILATIONS)


def test_every_level_has_the_same_weights() -> None:
    one, many = TrellisNet(UNITS, (1,)), TrellisNet(UNITS, (1, 1, 2, 4, 8))
    for layer in (one, many):
        layer.build((None, ROWS, INPUTS))
    kernels = 2 * (INPUTS + UNITS) * 4 * UNITS
    assert many.count_params() == one.count_params() == kernels + 3 * 4 * UNITS  # two lengths and a bias
    assert sum(int(np.prod(weight.shape)) for weight in many.trainable_weights) == many.count_params()


def test_weights_are_directions_times_lengths() -> None:
    layer, x = trellis(), sequence()
    expected = states(layer, x)
    layer.input_direction.assign(layer.input_direction * np.linspace(0.5, 9.0, 4 * UNITS))
    layer.hidden_direction.assign(7.0 * layer.hidden_direction)
    np.testing.assert_allclose(states(layer, x), expected, atol=1e-5)
    for length in (layer.input_length, layer.hidden_length):
        kept = ops.convert_to_numpy(length)
        length.assign(2.0 * kept)
        assert np.abs(states(layer, x) - expected).max() > 0.1
        length.assign(kept)


def test_an_int8_trellis_has_no_float_tensor() -> None:
    inputs = keras.Input((ROWS, INPUTS), name="x")
    layer = trellis()
    model = keras.Model({"x": inputs}, {"y": layer(inputs)})
    net = LiteRtNet(to_tflite(model, [{"x": sequence(seed, 1)[0]} for seed in range(40)]))
    types = net.tensor_types()
    assert types["int8"] > 0
    assert not [name for name in types if name.startswith("float")]
    examples = [sequence(100 + seed, 1) for seed in range(10)]
    wanted = np.stack([states(layer, x)[0] for x in examples])
    got = np.stack([net(x=x[0])["y"] for x in examples])
    assert snr_db(wanted, got) > 20.0


@pytest.mark.parametrize(("units", "dilations"), [(0, (1,)), (3, ()), (3, (1, 0))])
def test_a_net_without_units_levels_or_past_is_refused(units: int, dilations: tuple[int, ...]) -> None:
    with pytest.raises(
        ValueError, match=r"got units .*, dilations .*, wanted at least 1 and one or more, all positive"
    ):
        TrellisNet(units, dilations)
