"""A bundle's manifest and the nets at hand -> ValueError, one line, if they are not those that a system needs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from edge.nets.bundle import Manifest

ANY = "any"
"""In a wanted shape: an axis of any size."""

Shapes = Mapping[str, Sequence[object]]
"""Wanted shapes of the tensors of a net, inputs and outputs, by tensor name; without the batch axis."""


def check_nets(manifest: Manifest, nets: Mapping[str, object], wanted: Iterable[str], purpose: str = "") -> None:
    """Check that all nets are there.

    Args:
        manifest: Of the bundle.
        nets: Nets at hand, by name.
        wanted: Names of the nets that the system needs.
        purpose: What they are needed for, if that is not clear: "for mode 'window'".

    Raises:
        ValueError: A net is missing.
    """
    missing = [name for name in wanted if name not in nets]
    if missing:
        needed = " ".join(["wanted", *([purpose] if purpose else []), "also", ", ".join(missing)])
        raise ValueError(f"{manifest.name}: got nets {', '.join(sorted(nets))}, {needed}")


def check_feature_kind(manifest: Manifest, kind: str) -> None:
    """Raise ValueError if the nets were trained on features of another kind."""
    if manifest.features.kind != kind:
        raise ValueError(f"{manifest.name}: got features {manifest.features.kind!r}, wanted {kind!r}")


def described_tensors(manifest: Manifest, net: str) -> dict[str, Sequence[int]]:
    """Shapes of all inputs and outputs that the manifest states for a net, by tensor name."""
    return {**manifest.nets[net]["inputs"], **manifest.nets[net]["outputs"]}


def check_shapes(manifest: Manifest, wanted: Mapping[str, Shapes], reason: str) -> None:
    """Check the shapes of tensors that a manifest states.

    Nets that the manifest does not describe are skipped: they were handed in without files, as in training.

    Args:
        manifest: Of the bundle.
        wanted: Shapes by net; `ANY` stands for an axis of any size.
        reason: The settings that the shapes follow from, for the message.

    Raises:
        ValueError: A tensor is missing or has another shape.
    """
    for net, shapes in wanted.items():
        if net not in manifest.nets:
            continue
        tensors = described_tensors(manifest, net)
        for tensor, shape in shapes.items():
            got = tensors.get(tensor, [])
            if len(got) != len(shape) or any(ANY != size != real for size, real in zip(shape, got, strict=True)):
                raise ValueError(
                    f"{manifest.name}: {net}: got {tensor} of shape {list(got)}, wanted {list(shape)} by {reason}"
                )
