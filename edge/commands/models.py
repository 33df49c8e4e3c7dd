"""`seld-edge models`: the bundles that come with the package -> one line each, and which of them fits which array."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge.commands.options import Subparsers


def add_models_parser(subparsers: Subparsers) -> None:
    """Add the command."""
    parser = subparsers.add_parser("models", help="list the bundles that come with the package")
    parser.set_defaults(run=run_models_command)


def run_models_command(args: argparse.Namespace) -> int:
    """Print the list; returns 0."""
    from edge.arrays.profile import load_array, shipped_arrays
    from edge.nets import bundle
    from edge.nets.fitting import fitting_bundles
    from edge.run_settings import DEFAULT_MODEL

    for name, folder in bundle.shipped_bundles().items():
        manifest = bundle.read_manifest(folder)
        size_kb = sum(path.stat().st_size for path in folder.glob("*.tflite")) / 1000
        default = " (default)" if name == DEFAULT_MODEL else ""
        unchecked = ", unchecked" if manifest.unchecked else ""
        print(
            f"{name}{default}: {manifest.system}, {manifest.precision}{unchecked}, {size_kb:.0f} kB, "
            f"arrays {', '.join(manifest.arrays)}; "
            f"{len(manifest.class_names)} classes: {', '.join(manifest.class_names)}"
        )
    for name in shipped_arrays():
        print(f"array {name}: {', '.join(fitting_bundles(load_array(name))) or 'none was trained for it'}")
    return 0
