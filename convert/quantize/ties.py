"""int8 TFLite net -> the same net with some scales a trifle other, so that every processor says the same.

Where the product of two int8 tensors lies halfway between two steps of the output, XNNPACK takes the even step on
x86-64 and the upper one on ARM; where it nearly does, float32 decides on x86-64, which ARM does without. Scales come
from what was calibrated, so one that is moved by a hundred-thousandth is as good: one of a MUL's three is, until all
65,536 products keep clear of the middle. What must have equal scales (the ends of a RESHAPE, say) is moved together;
constants, what a net takes, and what it hands on raw (`state_*`, `shared_*`) keep theirs.

    python -m convert.quantize.ties FOLDER      # of a bundle from before this was part of the export
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

CLEAR = 2.0**-21  # of a product, which must be this far from the middle: float32 errs by 2**-23 however it is computed
MOVE = 2.0**-17  # of a scale, times 1, -1, 2, -2 and so on, or -1, 1, -2, 2
MOST_MOVES = 128
LOWEST, HIGHEST = -128, 127
TAKES_ANY_SCALES = {"ADD", "SUB", "MUL", "FULLY_CONNECTED", "CONV_2D", "DEPTHWISE_CONV_2D", "BATCH_MATMUL", "QUANTIZE"}
GIVES_ONE_SCALE = {"LOGISTIC", "TANH", "SOFTMAX"}  # and takes any; of what is in neither, all scales move together
_NAMES = {code: name for name, code in vars(schema.BuiltinOperator).items() if isinstance(code, int)}

Scale = tuple[np.float32, int]  # and zero point
Product = tuple[int, int, int]  # a MUL: the tensors of its inputs and of its output


@dataclass(frozen=True)
class Net:
    """What is asked of a flatbuffer, tensors by number."""

    scales: Mapping[int, FloatArray]  # of int8 tensors with one scale: (1,), a view of the flatbuffer
    zeros: Mapping[int, int]
    products: Sequence[Product]
    kin: Mapping[int, frozenset[int]]  # whose scales can be moved: all that must be moved with it


def without_ties(flatbuffer: bytes) -> bytes:
    """A flatbuffer in which no MUL has a product between two steps; one that has none already is returned as it is.

    A MUL none of whose scales may be moved stays as it was, and a line in the log says so. Raises ValueError if a net
    has loops.
    """
    changed = bytearray(flatbuffer)
    net = _read(changed)
    of_tensor: dict[int, list[Product]] = defaultdict(list)
    for product in net.products:
        for tensor in product:
            of_tensor[tensor].append(product)
    ways = cycle((1, -1))  # so that what lay halfway is not always rounded towards zero
    for product in net.products:
        if not _tied(net, product):
            continue
        way = next(ways)
        if not any(_moved(net, tensor, way, product, of_tensor) for tensor in reversed(product)):
            log.warning("a MUL of tensors %s keeps its ties: processors will differ by one step there", product)
    return bytes(changed)


def tied_products(flatbuffer: bytes) -> int:
    """How many MULs of a net have a product that processors may round otherwise."""
    net = _read(bytearray(flatbuffer))
    return sum(_tied(net, product) > 0 for product in net.products)


def ties(first: Scale, second: Scale, output: Scale) -> int:
    """How many different products of two int8 numbers are too near to the middle between two steps of the output."""
    factor, zero = np.float32(first[0] * second[0]) / output[0], output[1]
    products = _products(first[1], second[1]) * float(factor)  # exact: 17 bits times 24
    inside = products[(products > LOWEST - zero) & (products < HIGHEST - zero)]  # the rest is clipped
    return int(np.count_nonzero(abs(inside % 1.0 - 0.5) <= CLEAR * abs(inside)))


@lru_cache(maxsize=256)
def _products(first_zero: int, second_zero: int) -> FloatArray:
    values = np.arange(LOWEST, HIGHEST + 1)
    return np.unique(np.multiply.outer(values - first_zero, values - second_zero)).astype(np.float64)


def _tied(net: Net, product: Product) -> int:
    if not all(tensor in net.scales for tensor in product):
        return 0  # a MUL of floats
    return ties(*((net.scales[tensor][0], net.zeros[tensor]) for tensor in product))


def _moved(net: Net, tensor: int, way: int, product: Product, of_tensor: Mapping[int, Sequence[Product]]) -> bool:
    """Move the scale of a tensor until this MUL has no ties, and no other gets any. False: as if nothing was done.

    `way`: 1 or -1, whether rather up or down.
    """
    kin = net.kin.get(tensor, frozenset())
    before = {member: net.scales[member].copy() for member in kin}
    others = {other for member in kin for other in of_tensor[member]} - {product}
    untied = [other for other in others if not _tied(net, other)]
    for factor in _factors(way) if kin else ():
        for member, scale in before.items():
            net.scales[member][:] = scale * np.float32(factor)
        if not _tied(net, product) and not any(_tied(net, other) for other in untied):
            return True
    for member, scale in before.items():
        net.scales[member][:] = scale
    return False


def _factors(way: int) -> Iterator[float]:
    for times in range(1, MOST_MOVES + 1):
        yield 1.0 + way * times * MOVE
        yield 1.0 - way * times * MOVE


def _read(content: bytearray) -> Net:
    model = schema.Model.GetRootAs(content)
    if (graphs := model.SubgraphsLength()) != 1:
        raise ValueError(f"got {graphs} graphs in a net, wanted one: loops have to be unrolled")
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
    return Net(scales, zeros, products, kin)


def _handed_on(model: schema.Model) -> Iterator[int]:
    for i in range(model.SignatureDefsLength()):
        signature = model.SignatureDefs(i)
        for output in map(signature.Outputs, range(signature.OutputsLength())):
            if output.Name().decode().startswith((STATE_PREFIX, SHARED_PREFIX)):
                yield output.TensorIndex()


def main(words: Sequence[str] | None = None) -> None:
    """Write the bundle in a folder anew, without ties."""
    parser = argparse.ArgumentParser(prog="python -m convert.quantize.ties", description=main.__doc__)
    parser.add_argument("folder", type=Path, help="of an int8 bundle")
    folder = parser.parse_args(words).folder
    bundle = load_bundle(str(folder))
    for name, flatbuffer in bundle.flatbuffers.items():
        print(f"{name}: {tied_products(flatbuffer)} MULs with ties")
    write_bundle(folder, replace(bundle, flatbuffers={k: without_ties(v) for k, v in bundle.flatbuffers.items()}))


if __name__ == "__main__":
    main()
