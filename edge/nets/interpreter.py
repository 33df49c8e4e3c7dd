"""The TFLite interpreter: ai-edge-litert where it is installed, its predecessor tflite-runtime otherwise."""

from __future__ import annotations

import contextlib
import importlib
import os
from collections.abc import Iterator
from typing import Any

_PACKAGES = {"ai-edge-litert": "ai_edge_litert.interpreter", "tflite-runtime": "tflite_runtime.interpreter"}


def _find() -> tuple[str, Any]:
    for package, module in _PACKAGES.items():
        try:
            return package, importlib.import_module(module).Interpreter
        except ModuleNotFoundError as error:
            if error.name != module.partition(".")[0]:
                raise
    raise ModuleNotFoundError("no TFLite runtime is installed: pip install ai-edge-litert (or tflite-runtime)")


@contextlib.contextmanager
def silent_stderr() -> Iterator[None]:
    """Keep the notes of the runtime off stderr, where a line means an error.

    It has no switch for them, so file descriptor 2 is turned away meanwhile.
    """
    try:
        kept = os.dup(2)
    except OSError:  # closed: nobody reads
        yield
        return
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 2)
        os.close(nowhere)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


RUNTIME, Interpreter = _find()
