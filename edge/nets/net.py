"""Nets called by tensor name: float32 arrays in, float32 arrays out, whatever the net computes in.

A system sees only `Net`. Keras, float TFLite and int8 TFLite are three of them, so the same loop runs and judges all.

Two kinds of tensor stay as the net has them, int8 in an int8 net. `state_*` comes out of one call and goes into the
next: a `Past` keeps it. `shared_*` comes out of one net and goes into another that was quantised with the same scale.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edge.nets.interpreter import Interpreter
from edge.stderr import silent_stderr
from edge.types import FloatArray

STATE_PREFIX = "state_"
SHARED_PREFIX = "shared_"

Raw = NDArray[Any]
Past = dict[str, Raw]
"""What a net remembers of the calls before, by tensor name."""


ONE_THREAD = {"BATCH_MATMUL"}
"""Operations that give another, wrong answer each time in several threads on an (emulated) Cortex-A72: TFLite's own
kernel, for 200 x 50 times 50 x 128 in int8. An A76 and x86-64 do not show it."""


class Net(Protocol):
    """One net with named inputs and outputs, without a batch axis."""

    def __call__(self, past: Past | None = None, **inputs: Raw) -> dict[str, Raw]:
        """Compute all outputs. Tensors called `state_*` are read from `past`, which gets the new ones."""
        ...

    def fresh(self) -> Past:
        """The past of a net that was not called yet: zeros."""
        ...


def open_interpreter(content: bytes, threads: int, **options: Any) -> Any:
    """A TFLite interpreter with room for its tensors; in one thread, however many are given, if it must be."""
    interpreter = Interpreter(model_content=content, num_threads=threads, **options)
    interpreter.allocate_tensors()
    if threads > 1 and any(each["op_name"] in ONE_THREAD for each in interpreter._get_ops_details()):
        return open_interpreter(content, 1, **options)
    return interpreter


class LiteRtNet:
    """A TFLite flatbuffer with one signature. Raises ValueError if it is none that can be run."""

    def __init__(self, flatbuffer: bytes | Path, threads: int = 1, **options: Any) -> None:
        """`options` are further ones of the interpreter: see `bench/options.py` for what they bring."""
        content = flatbuffer.read_bytes() if isinstance(flatbuffer, Path) else flatbuffer
        try:
            with silent_stderr():
                self._interpreter = open_interpreter(content, threads, **options)
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
        self._indices = {name: detail["index"] for name, detail in self.inputs.items()}
        self._scales = {name: Scale.of(detail) for name, detail in self.inputs.items() if not _raw(name)}
        self._answers = [
            (name, detail["index"], None if _raw(name) else Scale.of(detail)) for name, detail in self.outputs.items()
        ]

    def __call__(self, past: Past | None = None, **inputs: Raw) -> dict[str, Raw]:
        """Quantise, invoke, dequantise. Raises ValueError if names or shapes are not the net's or a past is missing."""
        if inputs.keys() != self._wanted:
            raise ValueError(f"got inputs {sorted(inputs)}, wanted {sorted(self._wanted)}")
        if self._states and past is None:
            raise ValueError(f"got no past, wanted one with {', '.join(self._states)}")
        interpreter, indices = self._interpreter, self._indices
        for name, value in inputs.items():
            if value.shape != self.input_shapes[name]:
                raise ValueError(f"got {name} of shape {value.shape}, wanted {self.input_shapes[name]}")
            scale = self._scales.get(name)
            interpreter.set_tensor(indices[name], (value if scale is None else scale.quantise(value))[None])
        for name in self._states:
            interpreter.set_tensor(indices[name], past[name])  # type: ignore[index]
        interpreter.invoke()
        answers: dict[str, Raw] = {}
        for name, index, scale in self._answers:
            raw = interpreter.get_tensor(index)
            if scale is not None:
                answers[name] = scale.dequantise(raw[0])
            elif name in self._states:
                past[name] = raw  # type: ignore[index]
            else:
                answers[name] = raw[0]
        return answers

    def fresh(self) -> Past:
        """The past of a net that was not called yet: zeros."""
        return {
            name: quantise(np.zeros(self.inputs[name]["shape"], np.float32), self.inputs[name]) for name in self._states
        }

    def computed(self, example: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
        """All outputs for all inputs, carried and shared tensors among them, as float32."""
        for name, value in example.items():
            self._interpreter.set_tensor(self.inputs[name]["index"], quantise(value[None], self.inputs[name]))
        self._interpreter.invoke()
        raw = {name: self._interpreter.get_tensor(detail["index"])[0] for name, detail in self.outputs.items()}
        return {name: dequantise(value, self.outputs[name]) for name, value in raw.items()}

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


def check_shared(giver: Net, taker: Net, name: str) -> None:
    """Raise ValueError if a `shared_*` tensor does not mean the same in two TFLite nets."""
    if not isinstance(giver, LiteRtNet) or not isinstance(taker, LiteRtNet):
        return
    (scale, zero_point), (wanted_scale, wanted_zero) = (
        detail[name]["quantization"] for detail in (giver.outputs, taker.inputs)
    )
    if zero_point != wanted_zero or abs(scale - wanted_scale) > 1e-4 * abs(wanted_scale):
        raise ValueError(
            f"got {name} with scale {scale:.6g} and zero {zero_point}, wanted {wanted_scale:.6g} and {wanted_zero}"
        )


def _shapes(details: Mapping[str, Mapping[str, Any]]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(int(size) for size in detail["shape"][1:]) for name, detail in details.items()}


def _raw(name: str) -> bool:
    return name.startswith((STATE_PREFIX, SHARED_PREFIX))


@dataclass(frozen=True, slots=True)
class Scale:
    """How a tensor holds numbers, worked out once."""

    kind: np.dtype[Any]
    step: np.float32
    steps_per_unit: np.float32
    zero_point: np.float32
    least: np.float32  # in steps from zero
    most: np.float32

    @classmethod
    def of(cls, detail: Mapping[str, Any]) -> Scale:
        """That of a tensor as the interpreter describes it."""
        kind = np.dtype(detail["dtype"])
        step, zero_point = detail["quantization"]
        if kind == np.float32:
            return cls(kind, *(np.float32(0.0),) * 5)
        limits = np.iinfo(kind)
        least, most = limits.min - zero_point, limits.max - zero_point
        return cls(kind, *map(np.float32, (step, 1.0 / step, zero_point, least, most)))

    def quantise(self, values: FloatArray) -> NDArray[Any]:
        """float32 -> the tensor's type. Rounds and clips before the cast: a plain cast would wrap 130 to -126."""
        if self.kind == np.float32:
            return np.ascontiguousarray(values, np.float32)
        steps = values * self.steps_per_unit
        np.rint(steps, out=steps)
        steps.clip(self.least, self.most, out=steps)  # much faster than np.clip, np.minimum and np.maximum
        steps += self.zero_point
        return steps.astype(self.kind)

    def dequantise(self, values: NDArray[Any]) -> FloatArray:
        """The tensor's type -> float32."""
        if self.kind == np.float32:
            return values
        result: FloatArray = np.subtract(values, self.zero_point, dtype=np.float32)
        result *= self.step
        return result


def quantise(values: FloatArray, detail: Mapping[str, Any]) -> NDArray[Any]:
    """float32 -> the type of the tensor with `detail`."""
    return Scale.of(detail).quantise(values)


def dequantise(values: NDArray[Any], detail: Mapping[str, Any]) -> FloatArray:
    """The type of the tensor with `detail` -> float32."""
    return Scale.of(detail).dequantise(values)
