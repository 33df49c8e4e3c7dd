"""Installed packages -> the TFLite interpreter: ai-edge-litert, or its predecessor tflite-runtime in its absence.

`RUNTIME` is the name of the package that was found, `Interpreter` its class. Importing this module raises
ModuleNotFoundError where neither is installed.
"""

from __future__ import annotations

import importlib
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


RUNTIME, Interpreter = _find()
