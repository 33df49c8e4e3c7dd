"""Vectors -> angles: what the last layers of DOAE in `etri-edge` are taught before anything else.

They have to turn a vector into its azimuth and elevation, whatever its length. Examples of this cost nothing, so they
need not wait for what sounds teach: taught with the rest alone, they were 19 degrees off in the median where the
vectors themselves were 12.
"""

from __future__ import annotations

import keras
import numpy as np
from keras import layers

from convert.losses import direction_loss
from convert.systems.etri_dev import direction_error_deg
from edge.geometry import azimuth_elevation_deg
from edge.types import FloatArray

ANGLE_LAYERS = ("angle1", "angle2", "dense")
SEEN = 200  # vectors in an example
LENGTHS = (0.3, 12.0)  # that weighed intensities have
STEPS, BATCH_SIZE, LEARNING_RATE = 3000, 16, 3e-3
UNTAUGHT_DEG = 30.0


def teach_angles(net: keras.Model) -> None:
    """Train `ANGLE_LAYERS` of a DOAE, if they know nothing, on vectors in the order y, z, x of the intensities."""
    model = _angles_of(net)
    rng = np.random.default_rng(0)
    vectors, target = _examples(rng)
    if direction_error_deg(target, np.asarray(model(vectors))) < UNTAUGHT_DEG:
        return
    schedule = keras.optimizers.schedules.CosineDecay(LEARNING_RATE, STEPS)
    model.compile(keras.optimizers.Adam(schedule), direction_loss())
    for _ in range(STEPS):
        model.train_on_batch(*_examples(rng))


def _angles_of(net: keras.Model) -> keras.Model:
    """The layers alone: vectors (SEEN, 1, 3) -> azimuth and elevation / 180 degrees (SEEN, 2)."""
    x = vectors = keras.Input((SEEN, 1, 3))
    for name in ANGLE_LAYERS:
        x = net.get_layer(name)(x)
    return keras.Model(vectors, layers.Reshape((SEEN, 2))(layers.Activation("tanh")(x)))


def _examples(rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Vectors (examples, SEEN, 1, 3) and what they are to become (examples, SEEN, 3): angles / 180 and 1."""
    directions = rng.normal(size=(BATCH_SIZE, SEEN, 3))
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    azimuth_deg, elevation_deg = azimuth_elevation_deg(directions)
    least, most = np.log(LENGTHS)
    lengths = np.exp(rng.uniform(least, most, (BATCH_SIZE, SEEN, 1)))
    vectors = (lengths * directions)[..., None, [1, 2, 0]]
    target = np.stack([azimuth_deg / 180.0, elevation_deg / 180.0, np.ones_like(azimuth_deg)], axis=-1)
    return vectors.astype(np.float32), target.astype(np.float32)
