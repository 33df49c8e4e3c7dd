"""Architectures with random weights -> the nets in `bench/assets`: `python -m bench.make_assets [--out DIR]`.

Needs the extra `convert`. The answers of the nets mean nothing; their times are those of trained nets of the same
shape.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path

from bench.assets import ASSETS, MOBILENET_V2, SELDNET, SELDNET_INPUT, SELDNET_OUTPUT
from convert.tensorflow_import import import_tensorflow

import_tensorflow()

import keras  # noqa: E402
import numpy as np  # noqa: E402
from keras import layers  # noqa: E402

from convert.quantize.converter import to_tflite  # noqa: E402

IMAGE = (224, 224, 3)
CALIBRATION_IMAGES = 32
SELDNET_FILTERS, SELDNET_UNITS, SELDNET_HEADS = 64, 128, 8


def random_images(count: int) -> np.ndarray:
    """Return smooth colour fields with some noise (count, 224, 224, 3), from -1 to 1 as the net wants them."""
    random = np.random.default_rng(0)
    coarse = random.uniform(-1.0, 1.0, (count, 7, 7, 3)).repeat(32, axis=1).repeat(32, axis=2)
    return np.clip(coarse + random.normal(0.0, 0.2, (count, *IMAGE)), -1.0, 1.0).astype(np.float32)


def mobilenet_v2() -> bytes:
    """Return MobileNetV2-224 (Sandler et al. 2018) in int8 as a flatbuffer.

    One pass in training mode sets the statistics of the batch norms: without it the activations of random weights
    shrink layer by layer, and all int8 scales with them.
    """
    keras.utils.set_random_seed(0)
    image = keras.Input(IMAGE, name="image")
    net = keras.applications.MobileNetV2(input_shape=IMAGE, weights=None)
    model = keras.Model({"image": image}, {"scores": net(image)}, name="mobilenet_v2_224")
    for layer in net.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.momentum = 0.0
    images = random_images(CALIBRATION_IMAGES)
    net(images, training=True)
    return to_tflite(model, [{"image": one} for one in images])


def seldnet_model() -> keras.Model:
    """Build the SELDnet that Realtime-SELD-Edge deploys on SALSA-Lite features: 0.885 M parameters, 0.181 G MACs.

    It is the DCASE 2023 baseline: 3 x [Conv3x3, BN, ReLU, MaxPool], two bidirectional GRU layers, tanh, second half
    times first half, two blocks of self-attention with residual and layer norm, two dense layers; multi-ACCDOA output
    for 3 tracks of 13 classes. Pools of 8, 1, 1 in time give the published MACs: 8 frames of 12.5 ms are a label frame.
    """
    keras.utils.set_random_seed(0)
    x = features = keras.Input(SELDNET_INPUT, name="features")
    for pool in ((8, 4), (1, 4), (1, 2)):
        x = layers.Conv2D(SELDNET_FILTERS, 3, padding="same")(x)
        x = layers.MaxPooling2D(pool)(layers.ReLU()(layers.BatchNormalization()(x)))
    x = layers.Reshape((SELDNET_OUTPUT[0], -1))(x)
    for _ in range(2):
        x = layers.Bidirectional(layers.GRU(SELDNET_UNITS, return_sequences=True, unroll=True))(x)
    x = layers.Activation("tanh")(x)
    x = x[..., SELDNET_UNITS:] * x[..., :SELDNET_UNITS]
    for _ in range(2):
        x = layers.LayerNormalization()(
            layers.MultiHeadAttention(SELDNET_HEADS, SELDNET_UNITS // SELDNET_HEADS)(x, x) + x
        )
    x = layers.Dense(SELDNET_UNITS)(x)
    x = layers.Dense(SELDNET_OUTPUT[1], activation="tanh")(x)
    return keras.Model({"features": features}, {"accdoa": x}, name="seldnet")


def main(argv: Sequence[str] | None = None) -> int:
    """Write both nets."""
    parser = argparse.ArgumentParser(prog="python -m bench.make_assets", description=__doc__)
    parser.add_argument("--out", type=Path, default=ASSETS, metavar="DIR", help="default: %(default)s")
    out = parser.parse_args(argv).out
    out.mkdir(parents=True, exist_ok=True)
    seldnet = seldnet_model()
    weights = sum(math.prod(weight.shape) for weight in seldnet.trainable_weights)
    for name, flatbuffer in ((MOBILENET_V2, mobilenet_v2()), (SELDNET, to_tflite(seldnet))):
        (out / name).write_bytes(flatbuffer)
        print(f"{out / name}: {len(flatbuffer) / 1e6:.2f} MB")
    print(f"SELDnet: {weights / 1e6:.3f} M parameters")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
