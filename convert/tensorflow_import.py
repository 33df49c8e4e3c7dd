"""TensorFlow's import, in silence and with one clear line where it is not installed."""

from __future__ import annotations

import importlib
import os

from edge.stderr import silent_stderr


def import_tensorflow() -> None:
    """Import it now, so that its absence is one clear line, and in silence: on stderr one line means one error.

    Keras, if it comes after, computes with it, whatever it was trained with.
    """
    os.environ["KERAS_BACKEND"] = "tensorflow"
    try:
        with silent_stderr():  # each time it says how it was built, and that there is no GPU
            importlib.import_module("tensorflow").config.list_physical_devices()
    except ModuleNotFoundError as error:
        raise ValueError(f"got no {error.name}, wanted it: pip install 'seld-edge[convert]'") from None
