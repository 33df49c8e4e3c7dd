"""TensorFlow's import, in silence and with one clear line where it is not installed."""

from __future__ import annotations

import importlib

from edge.litert import silent_stderr


def import_tensorflow() -> None:
    """Import it now, so that its absence is one clear line, and in silence: on stderr one line means one error."""
    try:
        with silent_stderr():  # each time it says how it was built, and that there is no GPU
            importlib.import_module("tensorflow").config.list_physical_devices()
    except ModuleNotFoundError as error:
        raise ValueError(f"got no {error.name}, wanted it: pip install 'seld-edge[convert]'") from None
