"""The devices of this machine -> batches that are divided among all of them; each device has the whole net.

Keras distributes under JAX alone. A step gives what one device would give, but for the order of float sums: losses that
are no mean over the chunks of a batch, and norms, are computed over the whole batch.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

import keras

log = logging.getLogger(__name__)


def share_batches(batch_sizes: Iterable[int]) -> int:
    """Have all models that are built from now on trained on all devices together, if there are several.

    Args:
        batch_sizes: Of the trainings to come.

    Returns:
        The number of devices.

    Raises:
        ValueError: The backend of Keras cannot do it, or a batch cannot be divided among the devices.
    """
    if keras.backend.backend() != "jax":
        raise ValueError(f"data-parallel: got backend {keras.backend.backend()}, wanted KERAS_BACKEND=jax")
    devices = keras.distribution.list_devices()
    for size in batch_sizes:
        if size % len(devices):
            raise ValueError(f"data-parallel: got a batch of {size}, wanted a multiple of {len(devices)}, the devices")
    if len(devices) > 1:
        keras.distribution.set_distribution(keras.distribution.DataParallel(devices=devices))
    log.info("a batch is shared by %d devices: %s", len(devices), ", ".join(devices))
    return len(devices)
