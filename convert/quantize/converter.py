"""Trained Keras net -> TFLite flatbuffer, float or full int8."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence

import keras
import numpy as np
import tensorflow as tf

from convert.quantize.ties import without_ties


def pinned(
    examples: Sequence[Mapping[str, np.ndarray]], tensor: str, quantization: tuple[float, int]
) -> list[dict[str, np.ndarray]]:
    """Calibration examples from which the input `tensor` gets this int8 scale and zero point: those of its maker."""
    scale, zero_point = quantization
    low, high = ((end - zero_point) * scale for end in (-128, 127))
    clipped = [{**example, tensor: np.clip(example[tensor], low, high)} for example in examples]
    values = clipped[0][tensor] = clipped[0][tensor].copy()
    values.flat[:2] = low, high  # two of the many: what follows keeps its range
    return clipped


def to_tflite(model: keras.Model, calibration: Iterable[Mapping[str, np.ndarray]] | None = None) -> bytes:
    """Flatbuffer of `model` for batches of one; all int8, inputs and outputs too, if `calibration` is given.

    Examples are dicts by input name, without the batch axis. They are fed by signature name: the converter has an input
    order of its own. An int8 net has no product that processors round otherwise: see `convert/quantize/ties.py`.
    """
    signature = {
        tensor.name: keras.InputSpec(shape=(1, *tensor.shape[1:]), dtype="float32", name=tensor.name)
        for tensor in model.inputs
    }
    with tempfile.TemporaryDirectory() as folder:
        model.export(folder, format="tf_saved_model", input_signature=[signature], verbose=False)
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        if calibration is not None:

            def examples() -> Iterator[tuple[str, dict[str, np.ndarray]]]:
                for example in calibration:
                    yield "serving_default", {name: value[None].astype(np.float32) for name, value in example.items()}

            converter.optimizations = [tf.lite.Optimize.DEFAULT]
            converter.representative_dataset = examples
            converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            converter.inference_input_type = tf.int8
            converter.inference_output_type = tf.int8
        flatbuffer = bytes(converter.convert())
        return flatbuffer if calibration is None else without_ties(flatbuffer)
