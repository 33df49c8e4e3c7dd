"""Weights set by hand -> `golden/tiny-bundle` and `golden/tiny-nets`, which tests run. Needs the extra `convert`.

    python tests/make_tiny_bundle.py

The tiny bundle is CoLoC in int8. Its nets are set by hand instead of trained, so that the answers of the whole device
path are known: the localizer gives the mean intensity vector, and a vector of zeros once the condition holds a
direction; the classifier decides whether the lower or the upper half of the bands is louder. The step nets answer the
same with the delays of real ones; their recurrences add a tenth of the label before. The tiny nets carry a state. The
state of `drifting.tflite` has another scale at its output than at its input, which `edge.nets.net` must refuse.
"""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
from keras import layers, ops

from convert.quantize.converter import pinned, to_tflite
from convert.quantize.keras_net import KerasNet
from convert.systems.recording_net import RecordingNet
from edge.geometry import unit_vector
from edge.nets.bundle import Bundle, Manifest, write_bundle
from edge.nets.net import SHARED_PREFIX, LiteRtNet
from edge.systems.coloc.passes import LONGEST_HOP, Pass

GOLDEN = Path(__file__).parent / "golden"
LABELS, HOP_LABELS, FRAMES_PER_LABEL, BANDS, EMBEDDING = 10, 2, 5, 64, 6
LOOK_AHEAD = 2
HALVES = 14  # values: the means of seven maps over the lower half of the bands, then over the upper half
FRAMES = LABELS * FRAMES_PER_LABEL
INTENSITY = 0.75 / (12000 / 512)  # of one plane wave, the same in all bands: Slaney's filters have unit area over Hz
MAP_MEAN = [-40.0] * 4 + [0.0] * 3
MAP_DEVIATION = [40.0] * 4 + [INTENSITY] * 3
LOUDER = 12.0  # logits for a difference of 40 dB between the halves


def encoder(name: str) -> keras.Model:
    """Directions (labels, 3) -> the positive and the negative part of each coordinate; the origin gives zeros."""
    direction = keras.Input((LABELS, 3), name="direction")
    dense = layers.Dense(EMBEDDING, activation="relu", name="dense")
    model = keras.Model({"direction": direction}, {"embedding": dense(direction)}, name=name)
    dense.set_weights([np.hstack([np.eye(3), -np.eye(3)]), np.zeros(EMBEDDING)])
    return model


def localizer() -> keras.Model:
    """Features and embedding -> mean intensity vector x, y, z per label frame; zeros where a direction is embedded."""
    features, embedding = inputs()
    output = located(halves(features, LABELS), embedding)
    return hand_set(keras.Model({"features": features, "embedding": embedding}, {"output": output}))


def classifier() -> keras.Model:
    """Features and embedding -> probabilities of "low", "high" and neither; "neither" where the embedding is zero."""
    features, embedding = inputs()
    output = layers.Softmax()(classified(halves(features, LABELS), embedding))
    return hand_set(keras.Model({"features": features, "embedding": embedding}, {"output": output}))


def front() -> keras.Model:
    """Features of a label frame -> means over the halves of the bands, for each frame of the label frame before."""
    features = keras.Input((FRAMES_PER_LABEL, BANDS, 7), name="features")
    before = keras.Input((FRAMES_PER_LABEL, 2, 7), name="state_frames")
    frames = layers.Concatenate(axis=1)([before, layers.AveragePooling2D((1, BANDS // 2))(features)])
    outputs = {"shared_maps": frames[:, :FRAMES_PER_LABEL], "state_frames": frames[:, FRAMES_PER_LABEL:]}
    return keras.Model({"features": features, "state_frames": before}, outputs)


def blocks() -> keras.Model:
    """Shared maps and condition of a label frame -> means over frames, and embedding, of two label frames before."""
    maps = keras.Input((FRAMES_PER_LABEL, 2, 7), name="shared_maps")
    condition = keras.Input((FRAMES_PER_LABEL + 2, 1, EMBEDDING), name="condition")
    second, third = (keras.Input((1, 1, HALVES + EMBEDDING), name=f"state_{name}") for name in ("second", "third"))
    means = ops.reshape(layers.AveragePooling2D((FRAMES_PER_LABEL, 1))(maps), (-1, 1, 1, HALVES))
    labels = layers.Concatenate(axis=1)([third, second, ops.concatenate([means, condition[:, 3:4]], axis=-1)])
    outputs = {"shared_labels": labels[:, :1], "state_third": labels[:, 1:2], "state_second": labels[:, 2:]}
    named = {"shared_maps": maps, "condition": condition, "state_second": second, "state_third": third}
    return keras.Model(named, outputs)


def recurrence(stage: str) -> keras.Model:
    """Shared labels of LOOK_AHEAD + 1 label frames -> answers about the first LONGEST_HOP of them."""
    seen = keras.Input((LOOK_AHEAD + 1, 1, HALVES + EMBEDDING), name="shared_labels")
    before = keras.Input((1, 3), name="state_forward1")
    rows = ops.reshape(seen[:, :LONGEST_HOP], (-1, LONGEST_HOP, HALVES + EMBEDDING))
    answer = located if stage == "localizer" else classified
    found = layers.Concatenate(axis=1)([before, answer(rows[..., :HALVES], rows[..., HALVES:])])
    output = 0.9 * found[:, 1:] + 0.1 * found[:, :-1]
    outputs = {"output": output if stage == "localizer" else layers.Softmax()(output), "state_forward1": found[:, 1:]}
    return hand_set(keras.Model({"shared_labels": seen, "state_forward1": before}, outputs))


def inputs() -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """The inputs of localizer and classifier: features and embedding."""
    return keras.Input((FRAMES, BANDS, 7), name="features"), keras.Input((LABELS, EMBEDDING), name="embedding")


def halves(features: keras.KerasTensor, labels: int) -> keras.KerasTensor:
    """Features -> means (labels, HALVES) over the frames of a label and the halves of the bands."""
    means = layers.AveragePooling2D((FRAMES_PER_LABEL, BANDS // 2))(features)
    return ops.reshape(means, (-1, labels, HALVES))


def located(means: keras.KerasTensor, embedding: keras.KerasTensor) -> keras.KerasTensor:
    """The intensity vector, or zeros where a direction is embedded."""
    vector = layers.Dense(3, use_bias=False, name="turned")(means)
    return vector * layers.Dense(3, activation="relu", name="gate")(embedding)


def classified(means: keras.KerasTensor, embedding: keras.KerasTensor) -> keras.KerasTensor:
    """Logits of "low", "high" and neither."""
    return layers.Dense(3, use_bias=False, name="heard")(means) + layers.Dense(3, name="told")(embedding)


def hand_set(model: keras.Model) -> keras.Model:
    """Set the weights of the layers that are known by name. Returns the model."""
    turned, heard = np.zeros((HALVES, 3)), np.zeros((HALVES, 3))
    for half in (0, 7):
        turned[half + 6, 0] = turned[half + 4, 1] = turned[half + 5, 2] = 0.5  # the maps are in the order y, z, x
    heard[0], heard[7] = (LOUDER, -LOUDER, 0.0), (-LOUDER, LOUDER, 0.0)  # log-mel of W, lower and upper half
    weights = {
        "turned": [turned],
        "gate": [np.full((EMBEDDING, 3), -2.0), np.ones(3)],  # coordinates of a unit vector add up to 1 or more
        "heard": [heard],
        "told": [np.tile([8.0, 8.0, -8.0], (EMBEDDING, 1)), np.array([-4.0, -4.0, 4.0])],
    }
    for layer in model.layers:
        if layer.name in weights:
            layer.set_weights(weights[layer.name])
    return model


def calibration(nets: tuple[str, ...]) -> list[dict[str, np.ndarray]]:
    """Inputs that cover what the nets will meet: silence to full scale, low and high sounds, from all directions."""
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


def step_nets(stage: str) -> dict[str, bytes]:
    """The nets of a stage for the streaming mode. They are calibrated label by label, with states rolled forward."""
    models = {"front": front(), "blocks": blocks(), "recurrence": recurrence(stage)}
    nets = {part: RecordingNet(KerasNet(model)) for part, model in models.items()}
    for window in calibration(("features", "embedding")):
        past, told = nets["front"].fresh(), window["embedding"].astype(np.float32)
        asked = Pass(nets["blocks"], nets["recurrence"], LOOK_AHEAD)
        for label, maps in enumerate(np.split(window["features"], LABELS)):
            shared = nets["front"](past, features=maps)["shared_maps"]
            if label:
                asked.push(shared, told[[max(0, label - 2), label - 1, label]], 1)
    flatbuffers, scales = {}, {}
    for part, model in models.items():
        examples = nets[part].examples
        for tensor in scales.keys() & {each.name for each in model.inputs}:
            examples = pinned(examples, tensor, scales[tensor])
        flatbuffers[f"{stage}_{part}"] = to_tflite(model, examples)
        outputs = LiteRtNet(flatbuffers[f"{stage}_{part}"]).outputs
        scales |= {name: outputs[name]["quantization"] for name in outputs if name.startswith(SHARED_PREFIX)}
    return flatbuffers


def write_tiny_bundle(folder: Path) -> None:
    """Write the bundle that the tests of the device path run."""
    encode, listen = ("direction",), ("features", "embedding")
    flatbuffers = {
        "localizer_encoder": to_tflite(encoder("localizer_encoder"), calibration(encode)),
        "localizer": to_tflite(localizer(), calibration(listen)),
        "classifier_encoder": to_tflite(encoder("classifier_encoder"), calibration(encode)),
        "classifier": to_tflite(classifier(), calibration(listen)),
        **step_nets("localizer"),
        **step_nets("classifier"),
    }
    manifest = Manifest(
        format=1,
        name="tiny",
        system="coloc",
        precision="int8",
        class_names=("low", "high"),
        statistics_sha256="",
        nets={},
        settings={
            "window_labels": LABELS,
            "hop_labels": HOP_LABELS,
            "max_overlap": 2,
            "look_ahead_labels": LOOK_AHEAD,
        },
    )
    mean = np.tile(np.array(MAP_MEAN, np.float32), (BANDS, 1))
    deviation = np.tile(np.array(MAP_DEVIATION, np.float32), (BANDS, 1))
    write_bundle(folder, Bundle(manifest, flatbuffers, mean, deviation))


def state_net(gain: float) -> bytes:
    """A net with y = x + state and state = gain * (x + state). A gain of one half keeps the scale of the state."""
    x, state = keras.Input((3,), name="x"), keras.Input((3,), name="state_sum")
    y = x + state
    model = keras.Model({"x": x, "state_sum": state}, {"y": y, "state_sum": y * gain})
    ends = [np.full(3, value, np.float32) for value in (-1.0, 0.0, 1.0)]
    return to_tflite(model, [{"x": a, "state_sum": b} for a in ends for b in ends])


def main() -> None:
    """Write the bundle and the nets."""
    write_tiny_bundle(GOLDEN / "tiny-bundle")
    nets = GOLDEN / "tiny-nets"
    nets.mkdir(exist_ok=True)
    (nets / "state.tflite").write_bytes(state_net(0.5))
    (nets / "drifting.tflite").write_bytes(state_net(0.25))


if __name__ == "__main__":
    main()
