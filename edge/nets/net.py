"""Float32 arrays by tensor name -> float32 arrays by tensor name, whatever number format the net computes in.

A system knows only the protocol `Net`. Keras, float TFLite and int8 TFLite implement it, so the same loop runs and
evaluates all three.

Two kinds of tensors keep the format of the net, int8 in an int8 net. `state_*` is an output of one call and an input of
the next: a `Past` holds it. `shared_*` is an output of one net and an input of another one that has the same scale.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edge.nets.interpreter import Interpreter
from edge.stderr import silent_stderr
from edge.types import FloatArray

STATE_PREFIX = "state_"
"""Begin of the names of tensors that carry state from call to call."""

SHARED_PREFIX = "shared_"
"""Begin of the names of tensors that go from one net to another without conversion."""

Raw = NDArray[Any]
"""A tensor without its batch axis, in float32 or in the format of the net."""

Past = dict[str, Raw]
"""State that a net has after a call, by tensor name, in the format of the net and with the batch axis."""

ONE_THREAD = {"BATCH_MATMUL"}
"""Operations that give another, wrong result in every call when an (emulated) Cortex-A72 runs them in several threads:
TFLite's own kernel, for 200 x 50 times 50 x 128 in int8. An A76 and x86-64 do not have the fault."""


class Net(Protocol):
    """One net with named inputs and outputs, without a batch axis."""

    def __call__(self, past: Past | None = None, **inputs: Raw) -> dict[str, Raw]:
        """Compute all outputs.

        Args:
            past: State of the call before, or `fresh()`; it is replaced by the new state in place. None for a net
                without state.
            **inputs: Input tensors by name, without the batch axis. Those called `shared_*` are in the format of the
                net, all others float32.

        Returns:
            Output tensors by name, without `state_*`; those called `shared_*` in the format of the net, all others
            float32.
        """
        ...

    def fresh(self) -> Past:
        """Return the state before the first call: zeros."""
        ...


def open_interpreter(content: bytes, threads: int, **options: Any) -> Any:
    """Make a TFLite interpreter and allocate its tensors.

    Args:
        content: A TFLite flatbuffer.
        threads: Threads to use. A net with an operation of ONE_THREAD gets one.
        **options: Further options of the interpreter.

    Returns:
        The interpreter.

    Raises:
        ValueError: The flatbuffer is none.
        RuntimeError: The net has operations that the runtime does not know.
    """
    interpreter = Interpreter(model_content=content, num_threads=threads, **options)
    interpreter.allocate_tensors()
    if threads > 1 and any(each["op_name"] in ONE_THREAD for each in interpreter._get_ops_details()):
        return open_interpreter(content, 1, **options)
    return interpreter


class LiteRtNet:
    """A `Net` made of a TFLite flatbuffer with one signature.

    Attributes:
        inputs: Descriptions of the input tensors by name, as the interpreter gives them.
        outputs: Descriptions of the output tensors by name.
        input_shapes: Shapes of the input tensors by name, without the batch axis.
        output_shapes: Shapes of the output tensors by name, without the batch axis.
    """

    def __init__(self, flatbuffer: bytes | Path, threads: int = 1, **options: Any) -> None:
        """Load the net.

        Args:
            flatbuffer: Content of a TFLite file, or its path.
            threads: Threads of the interpreter.
            **options: Further options of the interpreter: `bench/options.py` measures them.

        Raises:
            ValueError: The interpreter cannot run the flatbuffer, or a state has different scales at input and output.
            OSError: The file cannot be read.
        """
        content = flatbuffer.read_bytes() if isinstance(flatbuffer, Path) else flatbuffer
        try:
            with silent_stderr():
                self._interpreter = open_interpreter(content, threads, **options)
            runner = self._interpreter.get_signature_runner()
        except (ValueError, RuntimeError) as error:
            raise ValueError(f"got no net that TFLite can run: {' '.join(str(error).split())}") from None
        self.inputs: dict[str, dict[str, Any]] = dict(runner.get_input_details())
        self.outputs: dict[str, dict[str, Any]] = dict(runner.get_output_details())
        self.input_shapes = _shapes(self.inputs)
        self.output_shapes = _shapes(self.outputs)
        self._states = sorted(name for name in self.inputs if name.startswith(STATE_PREFIX))
        for name in self._states:
            self._check_state(name)
        self._wanted = {name for name in self.inputs if name not in self._states}
        self._indices = {name: detail["index"] for name, detail in self.inputs.items()}
        self._scales = {name: Scale.of(detail) for name, detail in self.inputs.items() if not _raw(name)}
        self._results = [
            (name, detail["index"], None if _raw(name) else Scale.of(detail)) for name, detail in self.outputs.items()
        ]

    def __call__(self, past: Past | None = None, **inputs: Raw) -> dict[str, Raw]:
        """Quantise the inputs, invoke the interpreter, dequantise the outputs: see `Net`.

        Args:
            past: State, which is replaced in place.
            **inputs: Input tensors by name, without the batch axis.

        Returns:
            Output tensors by name, without the batch axis.

        Raises:
            ValueError: Names or shapes are not those of the net, or a net with state got no past.
        """
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
        results: dict[str, Raw] = {}
        for name, index, scale in self._results:
            raw = interpreter.get_tensor(index)
            if scale is not None:
                results[name] = scale.dequantise(raw[0])
            elif name in self._states:
                past[name] = raw  # type: ignore[index]
            else:
                results[name] = raw[0]
        return results

    def fresh(self) -> Past:
        """Return the state before the first call: zeros in the format of the net."""
        return {
            name: quantise(np.zeros(self.inputs[name]["shape"], np.float32), self.inputs[name]) for name in self._states
        }

    def computed(self, example: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
        """Compute all outputs as float32, for the comparison of nets.

        Args:
            example: All input tensors by name, without the batch axis, as float32: also `state_*` and `shared_*`.

        Returns:
            All output tensors by name, without the batch axis, as float32: also `state_*` and `shared_*`.
        """
        for name, value in example.items():
            self._interpreter.set_tensor(self.inputs[name]["index"], quantise(value[None], self.inputs[name]))
        self._interpreter.invoke()
        raw = {name: self._interpreter.get_tensor(detail["index"])[0] for name, detail in self.outputs.items()}
        return {name: dequantise(value, self.outputs[name]) for name, value in raw.items()}

    def tensor_types(self) -> dict[str, int]:
        """Count the tensors of the graph by the name of their type, for the audit of a quantised net."""
        counts: dict[str, int] = {}
        for detail in self._interpreter.get_tensor_details():
            name = np.dtype(detail["dtype"]).name
            counts[name] = counts.get(name, 0) + 1
        return counts

    def float_tensors_of(self, operations: Collection[str]) -> tuple[int, tuple[str, ...]]:
        """Find the float tensors that certain operations take or give, for the audit of a quantised net.

        Args:
            operations: Names of TFLite operations, such as NEG.

        Returns:
            Their number, and those of the operations that have any, sorted.
        """
        details = self._interpreter.get_tensor_details()
        floats = {each["index"] for each in details if np.issubdtype(each["dtype"], np.floating)}
        tensors: set[int] = set()
        names: set[str] = set()
        for each in self._interpreter._get_ops_details():
            own = floats.intersection([*each["inputs"], *each["outputs"]])
            if own and each["op_name"] in operations:
                tensors |= own
                names.add(each["op_name"])
        return len(tensors), tuple(sorted(names))

    def _check_state(self, name: str) -> None:
        detail, out = self.inputs[name], self.outputs.get(name)
        same = out is not None and detail["quantization"] == out["quantization"] and detail["dtype"] == out["dtype"]
        if not same:
            raise ValueError(f"got {name} with another scale at the output, wanted the same: states are carried raw")


def check_shared(giver: Net, taker: Net, name: str) -> None:
    """Check that a `shared_*` tensor has the same scale in two nets. Nets other than TFLite ones share float32.

    Args:
        giver: Net that has the tensor as an output.
        taker: Net that has it as an input.
        name: Name of the tensor.

    Raises:
        ValueError: Scale or zero point differ.
    """
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
    """Number format of a tensor, precomputed for quick conversion: value = step * (integer - zero_point)."""

    kind: np.dtype[Any]  # float32, for which the rest is unused, or an integer type
    step: np.float32
    steps_per_unit: np.float32
    zero_point: np.float32
    least: np.float32  # smallest value, in steps from zero
    most: np.float32  # largest value, in steps from zero

    @classmethod
    def of(cls, detail: Mapping[str, Any]) -> Scale:
        """Take the format from the interpreter's description of a tensor."""
        kind = np.dtype(detail["dtype"])
        step, zero_point = detail["quantization"]
        if kind == np.float32:
            return cls(kind, *(np.float32(0.0),) * 5)
        limits = np.iinfo(kind)
        least, most = limits.min - zero_point, limits.max - zero_point
        return cls(kind, *map(np.float32, (step, 1.0 / step, zero_point, least, most)))

    def quantise(self, values: FloatArray) -> NDArray[Any]:
        """Convert float32 values of any shape to the type of the tensor.

        Values are rounded and clipped before the cast: a plain cast would wrap 130 to -126.
        """
        if self.kind == np.float32:
            return np.ascontiguousarray(values, np.float32)
        steps = values * self.steps_per_unit
        np.rint(steps, out=steps)
        steps.clip(self.least, self.most, out=steps)  # much faster than np.clip
        steps += self.zero_point
        return steps.astype(self.kind)

    def dequantise(self, values: NDArray[Any]) -> FloatArray:
        """Convert values of the tensor's type, of any shape, to float32."""
        if self.kind == np.float32:
            return values
        result: FloatArray = np.subtract(values, self.zero_point, dtype=np.float32)
        result *= self.step
        return result


def quantise(values: FloatArray, detail: Mapping[str, Any]) -> NDArray[Any]:
    """Convert values to the format of a tensor.

    Args:
        values: float32 values of any shape.
        detail: Description of the tensor by the interpreter.

    Returns:
        Values of the tensor's type.
    """
    return Scale.of(detail).quantise(values)


def dequantise(values: NDArray[Any], detail: Mapping[str, Any]) -> FloatArray:
    """Convert values in the format of a tensor to float32.

    Args:
        values: Values of the tensor's type, of any shape.
        detail: Description of the tensor by the interpreter.

    Returns:
        float32 values.
    """
    return Scale.of(detail).dequantise(values)
