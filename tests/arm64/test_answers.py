import functools
import importlib

import pytest

import edge.nets.interpreter
from edge.nets.bundle import load_bundle
from tests.arm64 import answers


def test_a_net_without_xnnpack_is_an_error(monkeypatch):
    kinds = importlib.import_module(edge.nets.interpreter.Interpreter.__module__).OpResolverType
    plain = functools.partial(
        edge.nets.interpreter.Interpreter, experimental_op_resolver_type=kinds.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    )
    monkeypatch.setattr("edge.nets.net.Interpreter", plain)
    flatbuffer = load_bundle("etri-edge").flatbuffers["sad"]
    with pytest.raises(RuntimeError, match="XNNPACK is off"):
        answers.operations(flatbuffer)
