"""A model and its optimizer <-> a checkpoint on disk that a training goes on from."""

from __future__ import annotations

import logging
from io import BytesIO
from pathlib import Path
from typing import Any

import keras
import numpy as np

from edge.files import write_atomically

log = logging.getLogger(__name__)


def save_checkpoint(model: keras.Model, step: int, path: Path) -> None:
    """Write all variables of a model and its optimizer after `step` steps; a checkpoint there is replaced at once."""
    arrays: dict[str, Any] = {f"v{index:04d}": np.asarray(variable) for index, variable in enumerate(_variables(model))}
    content = BytesIO()
    np.savez(content, step=np.array(step), **arrays)
    write_atomically(path, content.getvalue())


def restore_checkpoint(model: keras.Model, path: Path) -> int:
    """Load a checkpoint into a model and its optimizer.

    Returns:
        The number of steps that were done: 0 without a checkpoint.

    Raises:
        ValueError: The checkpoint is that of another net.
    """
    if not path.is_file():
        return 0
    with np.load(path) as arrays:
        variables = _variables(model)
        if len(arrays.files) != len(variables) + 1:
            raise ValueError(f"{path}: got {len(arrays.files) - 1} variables, wanted {len(variables)}: another net's?")
        for index, variable in enumerate(variables):
            value = arrays[f"v{index:04d}"]
            if value.shape != tuple(variable.shape):
                raise ValueError(f"{path}: got {variable.path} {value.shape}, wanted {variable.shape}: another net's?")
            variable.assign(value)
        step = int(arrays["step"])
    log.info("%s: training goes on at step %d", path, step)
    return step


def _variables(model: keras.Model) -> list[keras.Variable]:
    return [*model.variables, *model.optimizer.variables]
