"""File descriptor 2 turned away while a C library prints on it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator


@contextlib.contextmanager
def silent_stderr() -> Iterator[None]:
    """Discard everything that is written to file descriptor 2 inside the `with`.

    TFLite, TensorFlow, PortAudio and alsa-lib print notes there and have no switch for it; on stderr of this program a
    line means an error. Python's own `sys.stderr` is silenced too, as it writes to the same descriptor. Where
    descriptor 2 is closed, there is nothing to discard.
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
