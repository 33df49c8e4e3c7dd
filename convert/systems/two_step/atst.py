"""A checkpoint of ATST-Frame -> the transformer branch of the SED net of two-step.

The authors of ATST-Frame (Li, Shao and Li, arXiv 2306.04186) and ATST-SED (Shao, Li and Li, arXiv 2309.08153) publish
PyTorch checkpoints; both give the weights of their transformer the same names, behind a prefix of the module it is in:

    patch_embed.patch_embed.weight (d, 64 x 4), of 64 bands x 4 frames, bands first, and .bias
    pos_embed (1, 1 + patches, d), the first row for a token that frames do not use
    blocks.N.norm1.weight, .bias;  blocks.N.attn.qkv.weight (3 d, d), head by head, no bias;  blocks.N.attn.proj
    blocks.N.norm2;  blocks.N.mlp.fc1 (4 d, d);  blocks.N.mlp.fc2 (d, 4 d);  norm_frame

(names and shapes as in their repositories audiossl, `atstframe/audio_transformer.py`, and ATST-SED, `atst_model.py`).
A checkpoint of the pre-training has them behind `model.teacher.encoder.`, where `norm_frame` may be called `norm`;
`atst_as2M.ckpt`, fine-tuned on AudioSet, behind `encoder.encoder.`; one of ATST-SED behind `atst_frame.atst.`.

Their frames are 10 ms long, of audio at 16 kHz from 60 Hz to 7.8 kHz, scaled to -1..1; the frames of two-step are
longer, have other bands and are standardised. For frames of twice the length, two columns of a patch are added up,
which is exact for a stationary spectrum; training has to adapt the net to the other differences: all of it, or with
`training.frozen` the layers behind the transformer.
"""

from __future__ import annotations

import importlib
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from convert.systems.recipe import Recipe
from convert.systems.two_step.sizes import TwoStepSizes
from edge.types import FloatArray

State = Mapping[str, NDArray[Any]]
FRAME_MS = 10  # of the checkpoint
PATCH_FRAMES = 4
LABEL_MS = 100
FIRST = "patch_embed.patch_embed.weight"
UNUSED = {"mask_embed", "cls_token", "prompt_embed", "total_ops", "total_params"}  # of pre-training and a profiler


def import_checkpoint(net: keras.Model, recipe: Recipe, path: Path) -> None:
    """Set the weights of the transformer in an SED net to those of a checkpoint: `seld-convert train --pretrained`.

    Args:
        net: An SED net in its training form.
        recipe: What the net was built from.
        path: A PyTorch checkpoint, which takes PyTorch to read, or a .npz of its state dict.

    Raises:
        ValueError: The file cannot be read, or its weights do not fit the net, which then stays as it was.
    """
    state = read_state(path)
    try:
        import_transformer(net, recipe.sizes, state)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def read_state(path: Path) -> dict[str, NDArray[Any]]:
    """Read the arrays of a .npz or, if PyTorch is installed, of one of its checkpoints.

    Returns:
        Arrays by name; names of nested mappings are joined by dots.

    Raises:
        ValueError: The file cannot be read.
    """
    if path.suffix == ".npz":
        try:
            with np.load(path, allow_pickle=False) as arrays:
                return dict(arrays)
        except (ValueError, zipfile.BadZipFile) as error:
            raise ValueError(f"{path}: got no arrays, wanted a .npz: {error}") from None
    try:
        torch = importlib.import_module("torch")
    except ModuleNotFoundError:
        raise ValueError(f"{path}: got no torch to read it with, wanted that or a .npz of its state dict") from None
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # unpickling a wrong file can raise any exception
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise ValueError(f"{path}: got no plain weights, wanted a checkpoint or a .npz: {reason}") from None
    return dict(_arrays(loaded, ""))


def transformer_state(state: State) -> dict[str, NDArray[Any]]:
    """The weights of the transformer by the names above, without their prefix.

    Of several transformers in one checkpoint the teacher's is taken, which the authors use.

    Raises:
        ValueError: There is no transformer.
    """
    prefixes = sorted(name.removesuffix(FIRST) for name in state if name.endswith(FIRST))
    if not prefixes:
        raise ValueError(f"got no {FIRST} among {len(state)} names, wanted a checkpoint of ATST-Frame")
    prefix = next((each for each in prefixes if "teacher" in each), prefixes[0])
    own = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    return {
        f"norm_frame.{name.removeprefix('norm.')}" if name.startswith("norm.") else name: value
        for name, value in own.items()
        if name.rpartition(".")[2] not in UNUSED
    }


def import_transformer(net: keras.Model, sizes: TwoStepSizes, state: State) -> None:
    """Set the weights of the transformer in an SED net to those of a checkpoint.

    Positions are cut to the window, or interpolated if the checkpoint has fewer.

    Args:
        net: An SED net in its training form.
        sizes: What it was built from.
        state: Arrays of the checkpoint by name.

    Raises:
        ValueError: Names or shapes do not fit the net, which then stays as it was.
    """
    _check_sizes(sizes)
    weights = transformer_state(state)
    _check_weights(weights, sizes)
    for name, values in _keras_weights(weights, sizes):
        net.get_layer(name).set_weights(values)


def _keras_weights(weights: State, sizes: TwoStepSizes) -> Iterator[tuple[str, list[FloatArray]]]:
    """Name and weights of each layer of `sed_net.transformer`."""
    width, patch = sizes.sed_transformer_width, sizes.sed_patch_frames
    kernel = weights[FIRST].reshape(width, sizes.bands, patch, PATCH_FRAMES // patch).sum(axis=-1)
    yield "patches", [kernel.transpose(2, 1, 0).reshape(-1, width), weights["patch_embed.patch_embed.bias"]]
    yield "positions", [_positions(weights["pos_embed"][0, 1:], sizes.frames // patch)]
    for number in range(sizes.sed_transformer_depth):
        ours, theirs = f"transformer{number}", f"blocks.{number}"
        yield f"{ours}_attention_norm", _pair(weights, f"{theirs}.norm1")
        query, key, value = np.split(weights[f"{theirs}.attn.qkv.weight"], 3)
        for name, rows in (("query", query), ("key", key), ("value", value)):
            yield f"{ours}_attention_{name}", [rows.T]
        yield f"{ours}_attention_conv", _pair(weights, f"{theirs}.attn.proj")
        yield f"{ours}_out_norm", _pair(weights, f"{theirs}.norm2")
        yield f"{ours}_mlp", _pair(weights, f"{theirs}.mlp.fc1")
        yield f"{ours}_out_conv", _pair(weights, f"{theirs}.mlp.fc2")
    yield "transformer_norm", _pair(weights, "norm_frame")


def _pair(weights: State, name: str) -> list[FloatArray]:
    """Weight, turned from (out, in) to (in, out), and bias."""
    return [weights[f"{name}.weight"].T, weights[f"{name}.bias"]]


def _positions(theirs: FloatArray, count: int) -> FloatArray:
    """Positions (n, d) -> (count, d): the first ones, or interpolated if there are too few."""
    if len(theirs) >= count:
        return theirs[:count]
    place = np.linspace(0, len(theirs) - 1, count)
    return np.stack([np.interp(place, np.arange(len(theirs)), column) for column in theirs.T], axis=-1)


def _check_sizes(sizes: TwoStepSizes) -> None:
    if sizes.norm != "layer" or not sizes.sed_transformer_depth:
        raise ValueError(
            f"got norm {sizes.norm!r}, sed_transformer_depth {sizes.sed_transformer_depth}, "
            "wanted 'layer' and at least 1, as in ATST-Frame"
        )
    patch_ms = sizes.sed_patch_frames * LABEL_MS / sizes.frames_per_label
    if patch_ms != PATCH_FRAMES * FRAME_MS or PATCH_FRAMES % sizes.sed_patch_frames:
        raise ValueError(f"got patches of {patch_ms:g} ms, wanted {PATCH_FRAMES * FRAME_MS} ms, as in ATST-Frame")


def _check_weights(weights: State, sizes: TwoStepSizes) -> None:
    """Raise ValueError unless names and shapes are those of ATST-Frame at these sizes."""
    width = sizes.sed_transformer_width
    hidden = 4 * width
    wanted: dict[str, tuple[int, ...]] = {FIRST: (width, sizes.bands * PATCH_FRAMES)}
    wanted["patch_embed.patch_embed.bias"] = wanted["norm_frame.weight"] = wanted["norm_frame.bias"] = (width,)
    for number in range(sizes.sed_transformer_depth):
        block = f"blocks.{number}"
        wanted |= {f"{block}.{name}": (width,) for name in ("norm1.weight", "norm1.bias", "norm2.weight", "norm2.bias")}
        wanted |= {f"{block}.attn.qkv.weight": (3 * width, width), f"{block}.attn.proj.weight": (width, width)}
        wanted |= {f"{block}.mlp.fc1.weight": (hidden, width), f"{block}.mlp.fc2.weight": (width, hidden)}
        wanted |= {f"{block}.attn.proj.bias": (width,), f"{block}.mlp.fc2.bias": (width,)}
        wanted[f"{block}.mlp.fc1.bias"] = (hidden,)
    missing = sorted({*wanted, "pos_embed"} - set(weights))
    unknown = sorted(set(weights) - {*wanted, "pos_embed"})
    if missing or unknown:
        raise ValueError(
            f"got a checkpoint without {_some(missing)} and with {_some(unknown)} that this net has no place for, "
            f"wanted the weights of {sizes.sed_transformer_depth} blocks of ATST-Frame"
        )
    for name, shape in wanted.items():
        if weights[name].shape != shape:
            raise ValueError(f"{name}: got shape {weights[name].shape}, wanted {shape}")
    shape = weights["pos_embed"].shape
    if len(shape) != 3 or shape[0] != 1 or shape[1] < 2 or shape[2] != width:
        raise ValueError(f"pos_embed: got shape {shape}, wanted (1, 2 or more, {width})")


def _some(names: list[str]) -> str:
    return f"{', '.join(names[:3])}{' ...' if len(names) > 3 else ''}" or "nothing"


def _arrays(values: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, NDArray[Any]]]:
    """All tensors in nested mappings, as arrays."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _arrays(value, f"{prefix}{name}.")
        elif hasattr(value, "detach"):
            yield f"{prefix}{name}", value.detach().float().numpy()
