"""What tests of bundles do with one: change its manifest, and run it."""

import json

import numpy as np

from edge.arrays.profile import load_array
from edge.nets.bundle import MANIFEST
from edge.runtime.pipeline import build_pipeline, build_system
from edge.types import AudioBlock


def changed(folder, **entries):
    """Change entries of the manifest; `nets__localizer__file` is a path into nested tables."""
    table = json.loads((folder / MANIFEST).read_text())
    for path, value in entries.items():
        *way, last = path.split("__")
        inner = table
        for step in way:
            inner = inner[step]
        inner[last] = value
    (folder / MANIFEST).write_text(json.dumps(table))


def run_on_a_second(bundle, mode="window"):
    """Everything that `seld-edge` does with a bundle."""
    pipeline = build_pipeline(bundle, load_array("foa"), build_system(bundle, overrides={"mode": mode}))
    noise = np.random.default_rng(0).normal(0, 0.1, (bundle.manifest.stft.label_samples * 12, 4)).astype(np.float32)
    return [*pipeline.push(AudioBlock(noise, 0)), *pipeline.finish()]
