"""A process without TensorFlow -> the same process with it, without its log lines on stderr.

Without these measures, two thirds of the output of a command are notes of TensorFlow. Errors still become exceptions.
"""

from __future__ import annotations

import importlib
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

from edge.stderr import silent_stderr

log = logging.getLogger(__name__)


def hide_tensorflow_logs() -> None:
    """Hide the log of TensorFlow, unless the user set another level. Call it before the first import.

    Its errors are hidden too: what stops a command is raised as an exception, and the rest are notes, such as that
    oneDNN has no kernel for an operation on this processor.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def import_tensorflow() -> None:
    """Import TensorFlow now, as the backend of Keras, without its messages.

    Raises:
        ValueError: TensorFlow is not installed.
    """
    os.environ["KERAS_BACKEND"] = "tensorflow"  # also for runs that were trained with another backend
    hide_tensorflow_logs()
    try:
        with silent_stderr():  # the import and the first look for devices write past the log
            importlib.import_module("tensorflow").config.list_physical_devices()
    except ModuleNotFoundError as error:
        raise ValueError(f"got no {error.name}, wanted it: pip install 'seld-edge[convert]'") from None


@contextmanager
def quiet_converter() -> Iterator[None]:
    """Hide what the TFLite converter writes to stderr past its log, unless our own log is verbose (`-v`)."""
    with (
        nullcontext() if log.isEnabledFor(logging.INFO) else silent_stderr(),
        warnings.catch_warnings(),
    ):
        warnings.filterwarnings("ignore", message=r"\s*Warning: tf.lite.Interpreter is deprecated")  # its own use
        yield
