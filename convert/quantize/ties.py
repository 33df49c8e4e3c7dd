"""An int8 TFLite net -> the same net with slightly changed scales, which gives the same result on every processor.

A tie is a product of two int8 values that lies exactly, or almost exactly, halfway between two quantization steps of
the output. XNNPACK rounds ties to the even step on x86-64 and up on ARM, and near-ties depend on float32 arithmetic
that ARM does not use; so the same net would give different results. Scales come from calibration and are approximate
anyway, so one of the three scales of each MUL is changed by some 1e-5 until none of its 65,536 products is a tie.

Tensors that must have equal scales (the two ends of a RESHAPE, for example) are changed together. The scales of
constants, of the inputs of the net, and of outputs that other calls take as int8 (`state_*`, `shared_*`) are kept.

    python -m convert.quantize.ties FOLDER      # for an int8 bundle that was exported without this step
"""

from __future__ import annotations

import argparse
import logging
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import cycle
from pathlib import Path

import numpy as np
from tensorflow.lite.python import schema_py_generated as schema

from edge.nets.bundle import load_bundle, write_bundle
from edge.nets.net import SHARED_PREFIX, STATE_PREFIX
from edge.types import FloatArray

log = logging.getLogger(__name__)

CLEAR = 2.0**-21  # least relative distance of a product from a tie; float32 arithmetic errs by at most 2**-23
MOVE = 2.0**-17  # relative change of a scale; multiples of it are tried: 1, -1, 2, -2 and so on, or -1, 1, -2, 2
MOST_MOVES = 128
LOWEST, HIGHEST = -128, 127  # of int8
TAKES_ANY_SCALES = {"ADD", "SUB", "MUL", "FULLY_CONNECTED", "CONV_2D", "DEPTHWISE_CONV_2D", "BATCH_MATMUL", "QUANTIZE"}
GIVES_ONE_SCALE = {"LOGISTIC", "TANH", "SOFTMAX"}  # fixed output scale, any input scale; all other operations: equal
_NAMES = {code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)}

Quantization = tuple[np.float32, int]  # scale and zero point
Product = tuple[int, int, int]  # a MUL: the numbers of its two input tensors and its output tensor


@dataclass(frozen=True)
class QuantizedGraph:
    """The quantization of a flatbuffer; tensors are numbered as in the flatbuffer."""

    scales: Mapping[int, FloatArray]  # of int8 tensors with a single scale: (1,), a view of the flatbuffer
    zeros: Mapping[int, int]  # their zero points
    products: Sequence[Product]
    kin: Mapping[int, frozenset[int]]  # for tensors whose scale may change: all tensors that must change with it


def without_ties(flatbuffer: bytes) -> bytes:
    """Change scales of a flatbuffer so that no MUL has ties.

    A MUL whose scales must not change keeps its ties, and a warning is logged.

    Args:
        flatbuffer: an int8 TFLite net.

    Returns:
        The changed net; identical to `flatbuffer` if there are no ties.

    Raises:
        ValueError: the net has more than one graph, that is, loops.
    """
    changed = bytearray(flatbuffer)
    graph = _read(changed)
    of_tensor: dict[int, list[Product]] = defaultdict(list)
    for product in graph.products:
        for tensor in product:
            of_tensor[tensor].append(product)
    directions = cycle((1, -1))  # alternate, or former ties would all be rounded in the same direction
    for product in graph.products:
        if not _ties_of(graph, product):
            continue
        direction = next(directions)
        if not any(_moved(graph, tensor, direction, product, of_tensor) for tensor in reversed(product)):
            log.warning("the MUL of tensors %s keeps its ties: processors will differ by one step there", product)
    return bytes(changed)


def tied_products(flatbuffer: bytes) -> int:
    """Count the MULs of a net that have ties.

    Raises:
        ValueError: the net has more than one graph.
    """
    graph = _read(bytearray(flatbuffer))
    return sum(_ties_of(graph, product) > 0 for product in graph.products)


def ties(first: Quantization, second: Quantization, output: Quantization) -> int:
    """Count the different products of two int8 values that are ties, or too close to a tie.

    Args:
        first: scale and zero point of the first input.
        second: scale and zero point of the second input.
        output: scale and zero point of the output.
    """
    factor, zero = np.float32(first[0] * second[0]) / output[0], output[1]
    products = _products(first[1], second[1]) * float(factor)  # exact in float64: 17 bits times 24 bits
    inside = products[(products > LOWEST - zero) & (products < HIGHEST - zero)]  # all others are clipped
    return int(np.count_nonzero(abs(inside % 1.0 - 0.5) <= CLEAR * abs(inside)))


@lru_cache(maxsize=256)
def _products(first_zero: int, second_zero: int) -> FloatArray:
    values = np.arange(LOWEST, HIGHEST + 1)
    return np.unique(np.multiply.outer(values - first_zero, values - second_zero)).astype(np.float64)


def _ties_of(graph: QuantizedGraph, product: Product) -> int:
    if not all(tensor in graph.scales for tensor in product):
        return 0  # a MUL of float tensors
    return ties(*((graph.scales[tensor][0], graph.zeros[tensor]) for tensor in product))


def _moved(
    graph: QuantizedGraph, tensor: int, direction: int, product: Product, of_tensor: Mapping[int, Sequence[Product]]
) -> bool:
    """Change the scale of a tensor until this MUL has no ties and no other MUL gets any.

    `direction` is 1 to try a larger scale first, -1 for a smaller one. Returns False if no scale was found; all scales
    are as before then.
    """
    kin = graph.kin.get(tensor, frozenset())
    before = {member: graph.scales[member].copy() for member in kin}
    others = {other for member in kin for other in of_tensor[member]} - {product}
    untied = [other for other in others if not _ties_of(graph, other)]
    for factor in _factors(direction) if kin else ():
        for member, scale in before.items():
            graph.scales[member][:] = scale * np.float32(factor)
        if not _ties_of(graph, product) and not any(_ties_of(graph, other) for other in untied):
            return True
    for member, scale in before.items():
        graph.scales[member][:] = scale
    return False


def _factors(direction: int) -> Iterator[float]:
    for times in range(1, MOST_MOVES + 1):
        yield 1.0 + direction * times * MOVE
        yield 1.0 - direction * times * MOVE


def _read(content: bytearray) -> QuantizedGraph:
    """Read the quantization of a flatbuffer; the scales are views, so that writing to them changes the flatbuffer."""
    model = schema.Model.GetRootAs(content)
    if (graphs := model.SubgraphsLength()) != 1:
        raise ValueError(f"got {graphs} graphs in a net, wanted one: loops must be unrolled")
    graph = model.Subgraphs(0)
    codes = [_NAMES[model.OperatorCodes(i).BuiltinCode()] for i in range(model.OperatorCodesLength())]
    scales, zeros = {}, {}
    fixed = {*graph.InputsAsNumpy().tolist(), *_handed_on(model)}
    for number in range(graph.TensorsLength()):
        tensor = graph.Tensors(number)
        quantization = tensor.Quantization()
        if tensor.Type() == schema.TensorType.INT8 and quantization.ScaleLength() == 1:
            scales[number], zeros[number] = quantization.ScaleAsNumpy(), quantization.ZeroPoint(0)
            if model.Buffers(tensor.Buffer()).DataLength():
                fixed.add(number)  # a constant
    products = []
    group = {number: {number} for number in scales}
    for i in range(graph.OperatorsLength()):
        operator = graph.Operators(i)
        name = codes[operator.OpcodeIndex()]
        inputs, outputs = operator.InputsAsNumpy().tolist(), operator.OutputsAsNumpy().tolist()
        if name == "MUL":
            products.append((*inputs, *outputs))
        elif name in GIVES_ONE_SCALE:
            fixed |= set(outputs)
        if name not in TAKES_ANY_SCALES | GIVES_ONE_SCALE:
            together: set[int] = set().union(*(group[n] for n in [*inputs, *outputs] if n in scales))
            for member in together:
                group[member] = together
    kin = {number: frozenset(members) for number, members in group.items() if not members & fixed}
    return QuantizedGraph(scales, zeros, products, kin)


def _handed_on(model: schema.Model) -> Iterator[int]:
    """Yield the output tensors that another call or net takes as they are."""
    for i in range(model.SignatureDefsLength()):
        signature = model.SignatureDefs(i)
        for output in map(signature.Outputs, range(signature.OutputsLength())):
            if output.Name().decode().startswith((STATE_PREFIX, SHARED_PREFIX)):
                yield output.TensorIndex()


def main(words: Sequence[str] | None = None) -> None:
    """Remove the ties from the nets of a bundle, in place."""
    parser = argparse.ArgumentParser(prog="python -m convert.quantize.ties", description=main.__doc__)
    parser.add_argument("folder", type=Path, help="folder of an int8 bundle")
    folder = parser.parse_args(words).folder
    bundle = load_bundle(str(folder))
    for name, flatbuffer in bundle.flatbuffers.items():
        print(f"{name}: {tied_products(flatbuffer)} MULs with ties")
    write_bundle(folder, replace(bundle, flatbuffers={k: without_ties(v) for k, v in bundle.flatbuffers.items()}))


if __name__ == "__main__":
    main()
