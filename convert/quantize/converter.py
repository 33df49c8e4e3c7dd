"""A trained Keras net -> a TFLite flatbuffer, in float32 or entirely in int8.

The int8 converter needs examples of all inputs (the calibration), from which it takes the range of every tensor.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import keras
import numpy as np
import tensorflow as tf

from convert.quantize.ties import without_ties
from convert.tensorflow_import import quiet_converter

Examples = Iterable[Mapping[str, np.ndarray]]
"""Inputs by tensor name, without the batch axis."""


def pinned(
    examples: Sequence[Mapping[str, np.ndarray]], tensor: str, quantization: tuple[float, int]
) -> list[dict[str, np.ndarray]]:
    """Change calibration examples so that the converter gives one input a certain scale and zero point.

    An input that another net hands on as int8 (`shared_*`) must be quantized exactly as that net does it.

    Args:
        examples: inputs by tensor name, without the batch axis.
        tensor: the input.
        quantization: the scale and zero point that it must get.

    Returns:
        New examples: values of `tensor` are clipped to the int8 range, and the first example has both ends of it.
    """
    scale, zero_point = quantization
    low, high = ((end - zero_point) * scale for end in (-128, 127))
    clipped = [{**example, tensor: np.clip(example[tensor], low, high)} for example in examples]
    values = clipped[0][tensor] = clipped[0][tensor].copy()
    values.flat[:2] = low, high  # only two of many values, so the ranges of later tensors hardly change
    return clipped


def to_tflite(model: keras.Model, calibration: Examples | None = None) -> bytes:
    """Convert a Keras model to a TFLite flatbuffer for batches of one.

    Args:
        model: the model; every input has a name.
        calibration: inputs by tensor name, without the batch axis. If it is given, the net is int8 throughout, inputs
            and outputs included, and gives the same result on every processor (`convert.quantize.ties`).
    """
    with saved(model) as folder:
        return saved_to_tflite(folder, calibration)


@contextmanager
def saved(model: keras.Model) -> Iterator[str]:
    """Save a Keras model for batches of one in a temporary folder, from which it is converted as often as wanted."""
    signature = {
        tensor.name: keras.InputSpec(shape=(1, *tensor.shape[1:]), dtype="float32", name=tensor.name)
        for tensor in model.inputs
    }
    with tempfile.TemporaryDirectory() as folder:
        model.export(folder, format="tf_saved_model", input_signature=[signature], verbose=False)
        yield folder


def saved_to_tflite(folder: str, calibration: Examples | None = None) -> bytes:
    """Convert a model that was `saved`; see `to_tflite`."""
    converter = tf.lite.TFLiteConverter.from_saved_model(folder)
    if calibration is not None:

        def examples() -> Iterator[tuple[str, dict[str, np.ndarray]]]:
            for example in calibration:  # by signature name, as the converter has its own order of inputs
                yield "serving_default", {name: value[None].astype(np.float32) for name, value in example.items()}

        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = examples
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = tf.int8
        converter.inference_output_type = tf.int8
    with quiet_converter():
        flatbuffer = bytes(converter.convert())
    return flatbuffer if calibration is None else without_ties(flatbuffer)
