"""A Keras model -> a net with the interface of the device's nets, so that the device's loop can run it."""

from __future__ import annotations

from collections.abc import Mapping

import keras
import numpy as np
import tensorflow as tf

from edge.nets.net import STATE_PREFIX, Past
from edge.types import FloatArray


class KerasNet:
    """A Keras model behind the `Net` protocol of `edge.nets.net`."""

    def __init__(self, model: keras.Model) -> None:
        names = [item.name for item in model.inputs]
        self._inputs = names
        self._states = {item.name: item.shape[1:] for item in model.inputs if item.name.startswith(STATE_PREFIX)}
        signature = [tf.TensorSpec((1, *item.shape[1:]), item.dtype) for item in model.inputs]
        self._call = tf.function(
            lambda *values: model(dict(zip(names, values, strict=True)), training=False), input_signature=signature
        ).get_concrete_function()  # a third faster than a lookup of the function in every call

    def __call__(self, past: Past | None = None, **inputs: FloatArray) -> dict[str, FloatArray]:
        """Compute all outputs.

        Args:
            past: the states of the net by tensor name; they are replaced by the new ones.
            inputs: the other inputs by tensor name, without the batch axis.

        Returns:
            The outputs by tensor name, without the batch axis and without states if `past` is given.
        """
        values = {name: value[None] for name, value in inputs.items()} | {
            name: (past or {})[name] for name in self._states
        }
        outputs = self._call(*(tf.constant(values[name]) for name in self._inputs))
        answers = {name: np.asarray(value) for name, value in outputs.items()}
        if past is not None:
            past.update({name: answers.pop(name) for name in self._states})
        return {name: value[0] for name, value in answers.items()}

    def fresh(self) -> Past:
        """Return the initial states: zeros (1, ...) by tensor name."""
        return {name: np.zeros((1, *shape), np.float32) for name, shape in self._states.items()}


def computed(net: KerasNet, example: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
    """Compute all outputs of a net, new states among them, for one example that holds the old states.

    Args:
        net: the net.
        example: inputs and states by tensor name, without the batch axis.

    Returns:
        Outputs and new states by tensor name, without the batch axis.
    """
    past = {name: value[None] for name, value in example.items() if name.startswith(STATE_PREFIX)}
    answers = net(past, **{name: value for name, value in example.items() if name not in past})
    return {**answers, **{name: value[0] for name, value in past.items()}}
