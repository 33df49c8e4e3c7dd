"""Nets called by tensor name: float32 arrays in, float32 arrays out, whatever the net computes in.

A system sees only `Net`. Keras, float TFLite and int8 TFLite are three of them, so the same loop runs and judges all.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edge.litert import Interpreter, silent_stderr
from edge.types import FloatArray

STATE_PREFIX = "state_"


class Net(Protocol):
    """One net with named inputs and outputs, without a batch axis."""

    def __call__(self, **inputs: FloatArray) -> dict[str, FloatArray]:
        """Compute all outputs. Tensors called `state_*` are carried from call to call and are not passed."""
        ...

    def reset(self) -> None:
        """Set the carried state to zero."""
        ...


class LiteRtNet:
    """A TFLite flatbuffer with one signature. Raises ValueError if it is none that can be run."""

    def __init__(self, flatbuffer: bytes | Path, threads: int = 1) -> None:
        content = flatbuffer.read_bytes() if isinstance(flatbuffer, Path) else flatbuffer
        try:
            with silent_stderr():
                self._interpreter = Interpreter(model_content=content, num_threads=threads)
                self._interpreter.allocate_tensors()
            runner = self._interpreter.get_signature_runner()
        except (ValueError, RuntimeError) as error:
            raise ValueError(f"got no net that TFLite can run: {' '.join(str(error).split())}") from None
        self.inputs: dict[str, dict[str, Any]] = dict(runner.get_input_details())
        self.outputs: dict[str, dict[str, Any]] = dict(runner.get_output_details())
        self.input_shapes = _shapes(self.inputs)  # without the batch axis
        self.output_shapes = _shapes(self.outputs)
        self._states = sorted(name for name in self.inputs if name.startswith(STATE_PREFIX))
        for name in self._states:
            self._check_state(name)
        self._wanted = {name for name in self.inputs if name not in self._states}
        self.reset()

    def __call__(self, **inputs: FloatArray) -> dict[str, FloatArray]:
        """Quantise, invoke, dequantise. Raises ValueError if names or shapes are not the net's."""
        if inputs.keys() != self._wanted:
            raise ValueError(f"got inputs {sorted(inputs)}, wanted {sorted(self._wanted)}")
        for name, value in inputs.items():
            detail = self.inputs[name]
            if value.shape != self.input_shapes[name]:
                raise ValueError(f"got {name} of shape {value.shape}, wanted {self.input_shapes[name]}")
            self._interpreter.set_tensor(detail["index"], quantise(value[None], detail))
        self._interpreter.invoke()
        for name in self._states:
            state = self._interpreter.get_tensor(self.outputs[name]["index"])
            self._interpreter.set_tensor(self.inputs[name]["index"], state)
        return {
            name: dequantise(self._interpreter.get_tensor(detail["index"]), detail)[0]
            for name, detail in self.outputs.items()
            if name not in self._states
        }

    def reset(self) -> None:
        """Set the carried state to zero."""
        for name in self._states:
            detail = self.inputs[name]
            zeros = np.zeros(detail["shape"], np.float32)
            self._interpreter.set_tensor(detail["index"], quantise(zeros, detail))

    def tensor_types(self) -> dict[str, int]:
        """How many tensors of each type the graph has, for the audit of a quantised net."""
        counts: dict[str, int] = {}
        for detail in self._interpreter.get_tensor_details():
            name = np.dtype(detail["dtype"]).name
            counts[name] = counts.get(name, 0) + 1
        return counts

    def _check_state(self, name: str) -> None:
        detail, out = self.inputs[name], self.outputs.get(name)
        same = out is not None and detail["quantization"] == out["quantization"] and detail["dtype"] == out["dtype"]
        if not same:
            raise ValueError(f"got {name} with another scale at the output, wanted the same: states are carried raw")


def _shapes(details: Mapping[str, Mapping[str, Any]]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(int(size) for size in detail["shape"][1:]) for name, detail in details.items()}


def quantise(values: FloatArray, detail: Mapping[str, Any]) -> NDArray[Any]:
    """float32 -> the tensor's type. Rounds and clips before the cast: a plain cast would wrap 130 to -126."""
    kind = np.dtype(detail["dtype"])
    if kind == np.float32:
        return np.ascontiguousarray(values, np.float32)
    scale, zero_point = detail["quantization"]
    limits = np.iinfo(kind)
    steps = np.rint(values * np.float32(1.0 / scale)) + np.float32(zero_point)
    return np.clip(steps, limits.min, limits.max).astype(kind)


def dequantise(values: NDArray[Any], detail: Mapping[str, Any]) -> FloatArray:
    """The tensor's type -> float32."""
    if values.dtype == np.float32:
        return values
    scale, zero_point = detail["quantization"]
    return (values.astype(np.float32) - np.float32(zero_point)) * np.float32(scale)
