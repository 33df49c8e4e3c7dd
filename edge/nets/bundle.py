"""Folder of a trained system <-> `Bundle`: `manifest.json`, TFLite nets and feature statistics, all checked."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from importlib import resources
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from edge.events.decoder import DecodeSettings
from edge.files import read_bounded, read_bounded_text, write_atomically
from edge.frontend.maps import FeatureExtractor, FeatureSettings
from edge.frontend.stft import StftSettings
from edge.nets.net import LiteRtNet
from edge.settings import build
from edge.types import FloatArray

log = logging.getLogger(__name__)
FORMAT = 1
MANIFEST = "manifest.json"
STATISTICS = "statistics.npy"

MOST_MANIFEST_BYTES = 2**24
"""Largest manifest that is read."""

MOST_FILE_BYTES = 2**28
"""Largest net, and largest file of statistics, that is read: no board has the memory for more."""

_MOST = 1e6  # largest mean of a feature and largest factor of its normalisation: float32 then has room for the rest


@dataclass(frozen=True, slots=True)
class NetFile:
    """One net of a bundle."""

    file: str  # name inside the folder of the bundle
    sha256: str
    inputs: Mapping[str, Any]  # shapes by tensor name, without the batch axis
    outputs: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Manifest:
    """Content of `manifest.json`: what a bundle contains and how it is run.

    Raises:
        ValueError: The format is another one, or a name has control characters.
    """

    format: int
    name: str
    system: str
    precision: str  # "int8" or "float32"
    class_names: tuple[str, ...]
    statistics_sha256: str
    nets: Mapping[str, Any]  # name -> NetFile
    stft: StftSettings = field(default_factory=StftSettings)
    features: FeatureSettings = field(default_factory=FeatureSettings)
    decode: DecodeSettings = field(default_factory=DecodeSettings)
    settings: Mapping[str, Any] = field(default_factory=dict)  # of the system
    arrays: tuple[str, ...] = ("foa",)  # arrays of the training scenes, the most frequent first
    scores: Mapping[str, Any] = field(default_factory=dict)  # measured when the bundle was exported
    unchecked: bool = False  # whether a check of the conversion to int8 failed or was left out
    float_ops: tuple[str, ...] = ()  # operations that the int8 nets compute in float all the same, slower

    def __post_init__(self) -> None:
        if self.format != FORMAT:
            raise ValueError(f"got format {self.format}, wanted {FORMAT}")
        for name in (self.name, *self.class_names, *self.arrays, *self.float_ops):
            if not name.isprintable():
                raise ValueError(f"got name {name!r}, wanted printable characters")


@dataclass(frozen=True, slots=True)
class Bundle:
    """A checked bundle, its files in memory."""

    manifest: Manifest
    flatbuffers: Mapping[str, bytes]  # net name -> TFLite model
    mean: FloatArray  # (bands, maps)
    deviation: FloatArray

    def extractor(self) -> FeatureExtractor:
        """Make the extractor of the features that the nets were trained on."""
        return FeatureExtractor(self.manifest.features, self.manifest.stft, self.mean, self.deviation)

    def nets(self, threads: int = 1) -> Mapping[str, LiteRtNet]:
        """Make the nets by name.

        Args:
            threads: Threads of each interpreter.

        Returns:
            A mapping that loads each net when it is first requested, as a system uses only those of its mode. It raises
            ValueError where the tensors of a net are not those of the manifest.
        """
        return _Nets(self, threads)


class _Nets(Mapping[str, LiteRtNet]):
    """Nets of a bundle by name, loaded on demand."""

    def __init__(self, bundle: Bundle, threads: int) -> None:
        self._bundle, self._threads = bundle, threads
        self._loaded: dict[str, LiteRtNet] = {}

    def __getitem__(self, name: str) -> LiteRtNet:
        if name not in self._loaded:
            self._loaded[name] = self._load(name)
        return self._loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._bundle.flatbuffers)

    def __len__(self) -> int:
        return len(self._bundle.flatbuffers)

    def _load(self, name: str) -> LiteRtNet:
        net = LiteRtNet(self._bundle.flatbuffers[name], self._threads)
        wanted = NetFile(**self._bundle.manifest.nets[name])
        for kind, described, shapes in (
            ("inputs", wanted.inputs, net.input_shapes),
            ("outputs", wanted.outputs, net.output_shapes),
        ):
            got = {tensor: list(shape) for tensor, shape in shapes.items()}
            if got != dict(described):
                raise ValueError(f"{self._bundle.manifest.name}: {name}: got {kind} {got}, wanted {dict(described)}")
        return net


def shipped_bundles() -> dict[str, Path]:
    """List the bundles that come with the package: their folders by name."""
    root = Path(str(resources.files("edge"))) / "bundles"
    return {path.parent.name: path.parent for path in sorted(root.glob(f"*/{MANIFEST}"))}


def find_bundle(name: str) -> Path:
    """Find the folder of a bundle.

    Args:
        name: Name of a shipped bundle or path of a folder.

    Returns:
        The folder.

    Raises:
        ValueError: There is no such bundle.
    """
    shipped = shipped_bundles()
    if name in shipped:
        return shipped[name]
    if not (Path(name) / MANIFEST).is_file():
        raise ValueError(
            f"model {name!r}: got no such bundle, wanted {', '.join(shipped) or 'none shipped'} or a folder"
        )
    return Path(name)


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of a bundle, without its nets.

    Args:
        folder: Folder of the bundle.

    Returns:
        The checked manifest.

    Raises:
        ValueError: The file cannot be read or does not describe a bundle.
    """
    path = folder / MANIFEST
    text = read_bounded_text(path, MOST_MANIFEST_BYTES)
    try:
        table = json.loads(text)
        json.dumps(table, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        lone = error.object[error.start]
        raise ValueError(f"{path}: got {lone!r}, half of a surrogate pair, wanted whole characters") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not valid JSON: {error}") from None
    if not isinstance(table, dict):
        raise ValueError(f"{path}: got {type(table).__name__}, wanted an object")
    manifest = build(Manifest, table, str(path))
    for name, net in manifest.nets.items():
        if not isinstance(net, dict):
            raise ValueError(f"{path}: nets: {name}: got {net!r}, wanted an object")
        build(NetFile, net, f"{path}: nets: {name}")
    return manifest


def load_bundle(name: str) -> Bundle:
    """Read and check a bundle. An unchecked one (`Manifest.unchecked`) is told in a warning.

    Args:
        name: Name of a shipped bundle or path of a folder.

    Returns:
        The bundle, with its files in memory.

    Raises:
        ValueError: A file is missing, damaged, or not the one that was exported. One line.
    """
    folder = find_bundle(name)
    manifest = read_manifest(folder)
    files = {key: NetFile(**value) for key, value in manifest.nets.items()}
    if manifest.unchecked:
        log.warning("%s: this bundle is unchecked: its nets may find less than those that were trained", folder)
    flatbuffers = {key: _checked_bytes(folder, net.file, net.sha256) for key, net in files.items()}
    raw = _checked_bytes(folder, STATISTICS, manifest.statistics_sha256)
    try:
        statistics = np.load(BytesIO(raw), allow_pickle=False)
    except Exception as error:  # numpy raises many kinds for bytes that are no array, even errors of tokenize
        raise ValueError(f"{folder / STATISTICS}: {error}") from None
    if not isinstance(statistics, np.ndarray) or statistics.dtype != np.float32 or statistics.shape[:1] != (2,):
        raise ValueError(f"{folder / STATISTICS}: got no mean and deviation, wanted two arrays of float32")
    mean, deviation = statistics
    if not np.all(np.abs(mean) <= _MOST) or not np.all((deviation >= 1 / _MOST) & (deviation <= _MOST)):
        raise ValueError(
            f"{folder / STATISTICS}: got values out of range, wanted some that features can be normalised with"
        )
    return Bundle(manifest, flatbuffers, mean, deviation)


def write_bundle(folder: Path, bundle: Bundle) -> None:
    """Write nets, statistics and manifest.

    Args:
        folder: Folder to write into; it is made if it is missing.
        bundle: Content. The descriptions of nets in its manifest are replaced by those of the files written.

    Raises:
        ValueError: A net cannot be run by TFLite.
        OSError: A file cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    nets = {}
    for name, flatbuffer in bundle.flatbuffers.items():
        net = LiteRtNet(flatbuffer)
        write_atomically(folder / f"{name}.tflite", flatbuffer)
        nets[name] = asdict(
            NetFile(
                file=f"{name}.tflite",
                sha256=_digest(flatbuffer),
                inputs=net.input_shapes,
                outputs=net.output_shapes,
            )
        )
    statistics = BytesIO()
    np.save(statistics, np.stack([bundle.mean, bundle.deviation]).astype(np.float32))
    write_atomically(folder / STATISTICS, statistics.getvalue())
    table = asdict(bundle.manifest) | {
        "nets": nets,
        "statistics_sha256": _digest(statistics.getvalue()),
    }
    if not bundle.manifest.unchecked:
        del table["unchecked"]  # only unchecked bundles have the key, so other readers of manifests need not know it
    if not bundle.manifest.float_ops:
        del table["float_ops"]  # likewise
    write_atomically(folder / MANIFEST, json.dumps(table, indent=1) + "\n")


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _checked_bytes(folder: Path, file: str, sha256: str) -> bytes:
    path = folder / file
    if Path(file).name != file:
        raise ValueError(f"{folder}: got file name {file!r}, wanted one inside the bundle")
    content = read_bounded(path, MOST_FILE_BYTES)
    if _digest(content) != sha256:
        raise ValueError(
            f"{path}: got sha256 {_digest(content)[:12]}..., wanted {sha256[:12]}...: the file was changed"
        )
    return content
