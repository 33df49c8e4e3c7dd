"""Nets to compare with, made by `bench.make_assets`: the yardstick and the net of the known real-time recipe."""

from __future__ import annotations

from pathlib import Path

from edge.nets.net import LiteRtNet

ASSETS = Path(__file__).parent
MOBILENET_V2 = "mobilenet_v2_224_int8.tflite"
SELDNET = "seldnet_float32.tflite"
SELDNET_INPUT = (160, 191, 7)  # frames, bins, maps
SELDNET_OUTPUT = (20, 117)  # label frames, 3 tracks x 3 coordinates x 13 classes


def load_asset(name: str, threads: int = 1) -> LiteRtNet:
    """A shipped net, ready to run. Raises OSError if it is missing, ValueError if it is none."""
    return LiteRtNet(ASSETS / name, threads)
