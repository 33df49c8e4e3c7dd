"""Writes `golden/tiny-bundle` and `golden/tiny-nets`, which the tests of `edge` run. Needs the extra `convert`.

    python tests/make_tiny_bundle.py

The tiny bundle is CoLoC in int8 with nets set by hand instead of trained, so that the whole device path can be tested
with answers that are known: the localizer's direction is the mean intensity vector and is empty once it is told of a
direction, the classifier hears whether the lower or the upper half of the bands is louder. The tiny nets carry a state;
the state of `drifting.tflite` has another scale at its output than at its input, which `edge.nets` has to refuse.
"""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
from keras import layers, ops

from convert.quantize import to_tflite
from edge.bundle import Bundle, Manifest, write_bundle
from edge.geometry import unit_vector

GOLDEN = Path(__file__).parent / "golden"
LABELS, HOP_LABELS, FRAMES_PER_LABEL, BANDS, EMBEDDING = 10, 2, 5, 64, 6
FRAMES = LABELS * FRAMES_PER_LABEL
INTENSITY = 0.75 / (12000 / 512)  # of one plane wave in any band: Slaney's filters have unit area over Hz
MAP_MEAN = [-40.0] * 4 + [0.0] * 3
MAP_DEVIATION = [40.0] * 4 + [INTENSITY] * 3
LOUDER = 12.0  # logits per 40 dB of difference between the halves


def encoder(name: str) -> keras.Model:
    """Directions (labels, 3) -> the positive and the negative part of each coordinate; the origin gives zeros."""
    direction = keras.Input((LABELS, 3), name="direction")
    dense = layers.Dense(EMBEDDING, activation="relu", name="dense")
    model = keras.Model({"direction": direction}, {"embedding": dense(direction)}, name=name)
    dense.set_weights([np.hstack([np.eye(3), -np.eye(3)]), np.zeros(EMBEDDING)])
    return model


def localizer() -> keras.Model:
    """Features and embedding -> mean intensity vector x, y, z per label frame; zero if a direction is known."""
    features, embedding = inputs()
    means = layers.AveragePooling2D((FRAMES_PER_LABEL, BANDS))(features)
    turned = layers.Dense(3, use_bias=False, name="turned")
    gate = layers.Dense(3, activation="relu", name="gate")
    vector = turned(ops.reshape(means, (-1, LABELS, 7)))
    model = keras.Model({"features": features, "embedding": embedding}, {"output": vector * gate(embedding)})
    weights = np.zeros((7, 3))
    weights[6, 0] = weights[4, 1] = weights[5, 2] = 1.0  # the maps are in the order y, z, x
    turned.set_weights([weights])
    gate.set_weights([np.full((EMBEDDING, 3), -2.0), np.ones(3)])  # coordinates of a unit vector add up to 1 or more
    return model


def classifier() -> keras.Model:
    """Features and embedding -> probability of "low", "high" and none of them; none where the embedding is empty."""
    features, embedding = inputs()
    halves = layers.AveragePooling2D((FRAMES_PER_LABEL, BANDS // 2))(features)
    heard, told = layers.Dense(3, use_bias=False, name="heard"), layers.Dense(3, name="told")
    logits = heard(ops.reshape(halves, (-1, LABELS, 14))) + told(embedding)
    output = layers.Softmax()(logits)
    model = keras.Model({"features": features, "embedding": embedding}, {"output": output})
    weights = np.zeros((14, 3))
    weights[0], weights[7] = (LOUDER, -LOUDER, 0.0), (-LOUDER, LOUDER, 0.0)  # log-mel of W, lower and upper half
    heard.set_weights([weights])
    told.set_weights([np.tile([8.0, 8.0, -8.0], (EMBEDDING, 1)), np.array([-4.0, -4.0, 4.0])])
    return model


def inputs() -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """Inputs of localizer and classifier."""
    return keras.Input((FRAMES, BANDS, 7), name="features"), keras.Input((LABELS, EMBEDDING), name="embedding")


def calibration(nets: tuple[str, ...]) -> list[dict[str, np.ndarray]]:
    """Inputs over all that the nets will meet: silence to full scale, low and high, from everywhere."""
    rng = np.random.default_rng(1)
    examples = []
    for number in range(60):
        toward = unit_vector(rng.uniform(-180, 180, LABELS), rng.uniform(-90, 90, LABELS)).astype(np.float32)
        if number < 6:
            toward[:] = np.eye(3)[number % 3] * (1 if number < 3 else -1)
        direction = toward * rng.integers(0, 2, (LABELS, 1))
        features = np.zeros((FRAMES, BANDS, 7), np.float32)
        features[..., :4] = rng.uniform(-1.5, 1.5)
        half = slice(0, BANDS // 2) if number % 2 else slice(BANDS // 2, BANDS)
        features[:, half, :4] = rng.uniform(-1.5, 1.5)
        features[..., 4:] = np.repeat(toward[:, [1, 2, 0]], FRAMES_PER_LABEL, axis=0)[:, None]
        embedding = np.maximum(np.hstack([direction, -direction]), 0.0)
        known = {"direction": direction, "features": features, "embedding": embedding}
        examples.append({name: known[name] for name in nets})
    return examples


def write_tiny_bundle(folder: Path) -> None:
    """The bundle that the tests of the device path run."""
    encode, listen = ("direction",), ("features", "embedding")
    flatbuffers = {
        "localizer_encoder": to_tflite(encoder("localizer_encoder"), calibration(encode)),
        "localizer": to_tflite(localizer(), calibration(listen)),
        "classifier_encoder": to_tflite(encoder("classifier_encoder"), calibration(encode)),
        "classifier": to_tflite(classifier(), calibration(listen)),
    }
    manifest = Manifest(
        format=1,
        name="tiny",
        system="coloc",
        precision="int8",
        class_names=("low", "high"),
        statistics_sha256="",
        nets={},
        settings={"window_labels": LABELS, "hop_labels": HOP_LABELS, "max_overlap": 2},
    )
    mean = np.tile(np.array(MAP_MEAN, np.float32), (BANDS, 1))
    deviation = np.tile(np.array(MAP_DEVIATION, np.float32), (BANDS, 1))
    write_bundle(folder, Bundle(manifest, flatbuffers, mean, deviation))


def state_net(gain: float) -> bytes:
    """y = x + state and state = gain * (x + state): the scale of the state stays the same if `gain` is one half."""
    x, state = keras.Input((3,), name="x"), keras.Input((3,), name="state_sum")
    y = x + state
    model = keras.Model({"x": x, "state_sum": state}, {"y": y, "state_sum": y * gain})
    ends = [np.full(3, value, np.float32) for value in (-1.0, 0.0, 1.0)]
    return to_tflite(model, [{"x": a, "state_sum": b} for a in ends for b in ends])


def main() -> None:
    """Write all."""
    write_tiny_bundle(GOLDEN / "tiny-bundle")
    nets = GOLDEN / "tiny-nets"
    nets.mkdir(exist_ok=True)
    (nets / "state.tflite").write_bytes(state_net(0.5))
    (nets / "drifting.tflite").write_bytes(state_net(0.25))


if __name__ == "__main__":
    main()
