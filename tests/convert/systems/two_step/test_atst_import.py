"""ATST-Frame's checkpoints: a made-up one of their layout, against a forward pass in numpy."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from math import erf
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from keras import ops

from convert.systems.two_step.atst import import_transformer, read_state, transformer_state
from convert.systems.two_step.sed_net import build_sed
from convert.systems.two_step.sizes import TwoStepSizes
from convert.training.recipes import find_recipe
from convert.training.train_stages import begin_stage
from convert.training.warm_start import WarmStart

EDGE_SIZES, PAPER_SIZES = (find_recipe(name).sizes for name in ("two-step-edge", "two-step-paper"))

WIDTH, HEADS, BANDS, PATCHES = 12, 3, 64, 10
SIZES = replace(
    EDGE_SIZES,
    frames=20,
    norm="layer",
    sed_filters=(2, 2),
    sed_pools=((5, 8), (1, 16)),
    sed_patch_frames=2,
    sed_transformer_width=WIDTH,
    sed_transformer_depth=2,
    sed_transformer_heads=HEADS,
)
State = dict[str, np.ndarray]


def checkpoint(positions: int = 25, depth: int = 2, seed: int = 0) -> State:
    """A state dict as the authors' frame transformer has it, of another width."""
    rng = np.random.default_rng(seed)
    shapes = {
        "mask_embed": (1, 1, WIDTH),
        "pos_embed": (1, positions + 1, WIDTH),
        "patch_embed.patch_embed.weight": (WIDTH, BANDS * 4),
        "patch_embed.patch_embed.bias": (WIDTH,),
        "norm_frame.weight": (WIDTH,),
        "norm_frame.bias": (WIDTH,),
    }
    for block in range(depth):
        for name, shape in {
            "norm1.weight": (WIDTH,),
            "norm1.bias": (WIDTH,),
            "attn.qkv.weight": (3 * WIDTH, WIDTH),
            "attn.proj.weight": (WIDTH, WIDTH),
            "attn.proj.bias": (WIDTH,),
            "norm2.weight": (WIDTH,),
            "norm2.bias": (WIDTH,),
            "mlp.fc1.weight": (4 * WIDTH, WIDTH),
            "mlp.fc1.bias": (4 * WIDTH,),
            "mlp.fc2.weight": (WIDTH, 4 * WIDTH),
            "mlp.fc2.bias": (WIDTH,),
        }.items():
            shapes[f"blocks.{block}.{name}"] = shape
    return {name: rng.normal(0, 0.5, shape).astype(np.float32) for name, shape in shapes.items()}


def layer_norm(x: np.ndarray, state: State, name: str) -> np.ndarray:
    x = (x - x.mean(axis=-1, keepdims=True)) / np.sqrt(x.var(axis=-1, keepdims=True) + 1e-6)
    return x * state[f"{name}.weight"] + state[f"{name}.bias"]


def linear(x: np.ndarray, state: State, name: str) -> np.ndarray:
    return x @ state[f"{name}.weight"].T + state.get(f"{name}.bias", 0.0)


def attention(x: np.ndarray, state: State, name: str) -> np.ndarray:
    """One head after the other."""
    size = WIDTH // HEADS
    qkv = linear(x, state, f"{name}.qkv").reshape(len(x), 3, HEADS, size)
    heads = []
    for head in range(HEADS):
        query, key, value = qkv[:, 0, head], qkv[:, 1, head], qkv[:, 2, head]
        weights = np.exp(query @ key.T / np.sqrt(size))
        heads.append(weights / weights.sum(axis=-1, keepdims=True) @ value)
    return linear(np.concatenate(heads, axis=-1), state, f"{name}.proj")


def block(x: np.ndarray, state: State, name: str) -> np.ndarray:
    """Pre-norm, GELU by the error function."""
    x = x + attention(layer_norm(x, state, f"{name}.norm1"), state, f"{name}.attn")
    y = linear(layer_norm(x, state, f"{name}.norm2"), state, f"{name}.mlp.fc1")
    y = y * 0.5 * (1 + np.vectorize(erf)(y / np.sqrt(2)))
    return x + linear(y, state, f"{name}.mlp.fc2")


def by_numpy(mel: np.ndarray, state: State, positions: np.ndarray) -> np.ndarray:
    """The authors' net on a spectrogram (bands, frames) of 10 ms frames -> (patches, d)."""
    patches = mel.reshape(BANDS, -1, 4).transpose(1, 0, 2).reshape(-1, BANDS * 4)  # bands first, then frames
    x = linear(patches, state, "patch_embed.patch_embed") + positions
    for number in range(SIZES.sed_transformer_depth):
        x = block(x, state, f"blocks.{number}")
    return layer_norm(x, state, "norm_frame")


@pytest.fixture(scope="module")
def built() -> tuple[keras.Model, list[np.ndarray]]:
    """A net and the weights that it began with."""
    net = build_sed(SIZES, 3)
    return net, net.get_weights()


@pytest.fixture
def net(built: tuple[keras.Model, list[np.ndarray]]) -> keras.Model:
    net, weights = built
    net.set_weights(weights)
    return net


def answer(net: keras.Model, features: np.ndarray) -> np.ndarray:
    branch = keras.Model(net.input, net.get_layer("transformer_norm").output)
    return ops.convert_to_numpy(branch({"features": features[None]}, training=False))[0]


def stretched(positions: np.ndarray) -> np.ndarray:
    """Between as few positions as there are, linear."""
    place = np.arange(PATCHES) * (len(positions) - 1) / (PATCHES - 1)
    low = np.minimum(place.astype(int), len(positions) - 2)
    share = (place - low)[:, None]
    return (1 - share) * positions[low] + share * positions[low + 1]


@pytest.mark.parametrize("positions", [PATCHES, 25, 4])
def test_the_branch_answers_as_the_authors_net(net: keras.Model, positions: int) -> None:
    """Frames of 20 ms, which are two of 10 ms that are alike; the mean of two bands is a band."""
    features = np.random.default_rng(1).normal(size=(SIZES.frames, BANDS, 2)).astype(np.float32)
    state = checkpoint(positions)
    import_transformer(net, SIZES, state)
    theirs = state["pos_embed"][0, 1:]
    placed = theirs[:PATCHES] if positions >= PATCHES else stretched(theirs)
    mel = np.repeat(features.mean(axis=-1), 2, axis=0).T
    np.testing.assert_allclose(answer(net, features), by_numpy(mel, state, placed), atol=2e-3)


def test_training_begins_with_a_checkpoint(net: keras.Model, tmp_path: Path) -> None:
    """`seld-convert train --pretrained`."""
    recipe = replace(find_recipe("two-step-edge"), sizes=SIZES)
    path = tmp_path / "atst.npz"
    np.savez(path, **checkpoint())
    (begun,) = begin_stage("sed", recipe, 3, WarmStart(pretrained=path))
    import_transformer(net, SIZES, checkpoint())
    for layer in net.layers:
        if layer.name.startswith(("patches", "positions", "transformer")):
            for left, right in zip(layer.get_weights(), begun.get_layer(layer.name).get_weights(), strict=True):
                np.testing.assert_array_equal(left, right)
    np.savez(path, **checkpoint(depth=1))
    with pytest.raises(ValueError, match=r"atst\.npz: got a checkpoint without blocks\.1"):
        begin_stage("sed", recipe, 3, WarmStart(pretrained=path))


FROZEN = ("patches", "positions", "transformer")


def begun_frozen(tmp_path: Path, frozen: tuple[str, ...]) -> keras.Model:
    """An SED net as its training begins, with a checkpoint."""
    recipe = replace(
        find_recipe("two-step-paper"), sizes=replace(SIZES, dropout=0.5), stages={"sed": {"frozen": frozen}}
    )
    path = tmp_path / "atst.npz"
    np.savez(path, **checkpoint())
    (net,) = begin_stage("sed", recipe, 3, WarmStart(pretrained=path))
    return net


def test_a_frozen_extractor_keeps_its_weights_and_drops_nothing_out(tmp_path: Path) -> None:
    net = begun_frozen(tmp_path, FROZEN)
    before = {weight.path: ops.convert_to_numpy(weight) for weight in net.weights}
    features = np.random.default_rng(0).normal(size=(2, SIZES.frames, BANDS, 2)).astype(np.float32)
    branch = keras.Model(net.input, net.get_layer("transformer_norm").output)
    heard = [ops.convert_to_numpy(branch({"features": features}, training=training)) for training in (True, False)]
    np.testing.assert_array_equal(*heard)
    net.compile(keras.optimizers.Adam(1e-2), loss={"output": "mse", "hidden": None}, run_eagerly=True)
    net.train_on_batch({"features": features}, {"output": np.zeros((2, SIZES.labels, SIZES.sed_tracks * 3))})
    for layer in net.layers:
        frozen = layer.name.startswith(FROZEN)
        for weight in layer.trainable_weights if not frozen else layer.weights:
            assert np.array_equal(before[weight.path], ops.convert_to_numpy(weight)) == frozen, weight.path


def test_what_is_frozen_is_a_layer(tmp_path: Path) -> None:
    net = begun_frozen(tmp_path, ())
    assert all(layer.trainable for layer in net.layers)
    with pytest.raises(ValueError, match=r"^frozen: got 'atst', wanted how the name of a layer of sed begins$"):
        begun_frozen(tmp_path, ("atst",))


def test_of_the_net_only_the_transformer_changes(net: keras.Model) -> None:
    before = {layer.name: layer.get_weights() for layer in net.layers if layer.weights}
    import_transformer(net, SIZES, checkpoint())
    for name, weights in before.items():
        same = all(np.array_equal(a, b) for a, b in zip(weights, net.get_layer(name).get_weights(), strict=True))
        assert same != name.startswith(("patches", "positions", "transformer")), name


@pytest.mark.parametrize(
    "prefix",
    [
        "model.teacher.encoder.",
        "encoder.encoder.",
        "sed_teacher.atst_frame.atst.",
        "state_dict.sed_student.atst_frame.atst.",
        "module.",
    ],
)
def test_prefixes_of_wrappers_are_stripped(prefix: str) -> None:
    """As `ATST.load_atst` strips them, which also skips the counts of a profiler."""
    state = checkpoint()
    counts = {name: np.zeros(1) for name in ("total_ops", "blocks.0.attn.qkv.total_ops", "norm_frame.total_params")}
    wrapped = {f"{prefix}{name}": value for name, value in (state | counts).items()}
    wrapped |= {"sed_student.cnn.weight": np.zeros(3)}
    got = transformer_state(wrapped)
    assert set(got) == set(state) - {"mask_embed"}
    np.testing.assert_array_equal(got["pos_embed"], state["pos_embed"])


def test_of_student_and_teacher_it_is_the_teacher_and_an_older_norm_has_its_name() -> None:
    student, teacher = checkpoint(seed=1), checkpoint(seed=2)
    both = {f"model.student.encoder.{name}": value for name, value in student.items()}
    both |= {f"model.teacher.encoder.{name.replace('norm_frame', 'norm')}": value for name, value in teacher.items()}
    got = transformer_state(both)
    for name in ("norm_frame.weight", "blocks.1.norm1.bias", "blocks.0.attn.qkv.weight"):
        np.testing.assert_array_equal(got[name], teacher[name])


def without(name: str) -> State:
    return {key: value for key, value in checkpoint().items() if key != name}


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({}, "got no patch_embed.patch_embed.weight among 0 names, wanted a checkpoint of ATST-Frame"),
        (without("blocks.1.norm2.bias"), "got a checkpoint without blocks.1.norm2.bias and with nothing that"),
        (without("pos_embed"), "got a checkpoint without pos_embed and with nothing that"),
        (
            checkpoint(depth=3),
            r"without nothing and with blocks.2.attn.proj.bias, .* \.\.\. that this net has no place",
        ),
        (checkpoint(depth=1), "wanted the weights of 2 blocks of ATST-Frame"),
        (
            checkpoint() | {"blocks.0.attn.qkv.weight": np.zeros((WIDTH, WIDTH))},
            r"blocks.0.attn.qkv.weight: got shape \(12, 12\), wanted \(36, 12\)",
        ),
        (checkpoint() | {"pos_embed": np.zeros((1, 1, WIDTH))}, r"pos_embed: got shape \(1, 1, 12\), wanted \(1, 2 or"),
    ],
    ids=["empty", "a name less", "no positions", "a block more", "a block less", "a shape", "positions"],
)
def test_checkpoints_that_do_not_fit_are_refused_and_change_nothing(
    net: keras.Model, state: State, message: str
) -> None:
    before = net.get_weights()
    with pytest.raises(ValueError, match=message) as caught:
        import_transformer(net, SIZES, state)
    assert "\n" not in str(caught.value)
    for old, new in zip(before, net.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        (replace(SIZES, norm="batch"), "got norm 'batch', sed_transformer_depth 2, wanted 'layer' and at least 1"),
        (replace(SIZES, sed_transformer_depth=0), "got norm 'layer', sed_transformer_depth 0, wanted 'layer' and"),
        (replace(SIZES, sed_patch_frames=5), "got patches of 100 ms, wanted 40 ms, as in ATST-Frame"),
    ],
)
def test_nets_of_another_kind_are_refused(net: keras.Model, sizes: TwoStepSizes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        import_transformer(net, sizes, checkpoint())


def test_the_paper_sizes_are_those_of_the_checkpoints() -> None:
    patch_ms = PAPER_SIZES.sed_patch_frames * 100 / PAPER_SIZES.frames_per_label
    assert (PAPER_SIZES.norm, patch_ms) == ("layer", 40)
    assert (PAPER_SIZES.sed_transformer_width, PAPER_SIZES.sed_transformer_depth) == (768, 12)


def test_a_npz_is_read(tmp_path: Path) -> None:
    state = checkpoint()
    np.savez(tmp_path / "atst.npz", **state)
    got = read_state(tmp_path / "atst.npz")
    assert set(got) == set(state)
    np.testing.assert_array_equal(got["pos_embed"], state["pos_embed"])
    (tmp_path / "broken.npz").write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(ValueError, match=r"broken.npz: got no arrays, wanted a .npz: "):
        read_state(tmp_path / "broken.npz")


class Tensor:
    """As much of PyTorch's as is asked for."""

    def __init__(self, value: np.ndarray) -> None:
        self.value = value
        self.detach = self.float = lambda: self
        self.numpy = lambda: self.value


def fake_torch(monkeypatch: pytest.MonkeyPatch, load: Callable[..., object]) -> None:
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(load=load))


def test_a_checkpoint_of_pytorch_is_read_as_plain_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    state = checkpoint()
    asked = {}

    def load(path: Path, **options: object) -> object:
        asked.update(options)
        return {"epoch": 3, "state_dict": {f"encoder.encoder.{name}": Tensor(value) for name, value in state.items()}}

    fake_torch(monkeypatch, load)
    got = transformer_state(read_state(Path("atst_as2M.ckpt")))
    np.testing.assert_array_equal(got["norm_frame.bias"], state["norm_frame.bias"])
    assert asked == {"map_location": "cpu", "weights_only": True}


def test_what_pytorch_does_not_read_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(path: Path, **options: object) -> object:
        raise RuntimeError("Weights only load failed.\nAnd much more.")

    fake_torch(monkeypatch, load)
    with pytest.raises(ValueError, match=r"^a.ckpt: got no plain weights, wanted .*: Weights only load failed.$"):
        read_state(Path("a.ckpt"))
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ValueError, match=r"^a.ckpt: got no torch to read it with, wanted that or a .npz"):
        read_state(Path("a.ckpt"))
