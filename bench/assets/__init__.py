"""Nets to compare with, made by `bench.make_assets`: the yardstick, and the net of a published real-time system."""

from __future__ import annotations

from pathlib import Path

from edge.nets.net import LiteRtNet

ASSETS = Path(__file__).parent
MOBILENET_V2 = "mobilenet_v2_224_int8.tflite"
SELDNET = "seldnet_float32.tflite"
SELDNET_INPUT = (160, 191, 7)  # frames, bins, maps
SELDNET_OUTPUT = (20, 117)  # label frames, 3 tracks x 3 coordinates x 13 classes


def load_asset(name: str, threads: int = 1) -> LiteRtNet:
    """Load one of the nets.

    Args:
        name: of its file, such as `SELDNET`.
        threads: of the interpreter.

    Raises:
        OSError: the file is missing.
        ValueError: it is not a net.
    """
    return LiteRtNet(ASSETS / name, threads)
