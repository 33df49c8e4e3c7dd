"""Shipped bundles -> a folder of what this machine computes with them. Two machines give two folders to compare.

`python answers.py DIR BUNDLE...` writes for every bundle, as `DIR/BUNDLE-...`: `nets.json`, digests of the raw outputs
of all nets for fixed inputs, with 1 and with 4 threads; `NET.npz`, every tensor of a net that has an inexact operation;
`features.npz`, the features of the demo scene and of noise; `events.jsonl`, the events of the demo scene.
"""

import hashlib
import json
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np

from edge.arrays.encoder import foa_encoder
from edge.arrays.profile import load_array
from edge.audio.sources import open_source
from edge.frontend.stft import Stft
from edge.nets.bundle import load_bundle
from edge.nets.interpreter import Interpreter
from edge.nets.net import open_interpreter
from edge.runtime.pipeline import build_pipeline, build_system, run
from edge.types import AudioBlock, Event

CALLS = 2  # of each net; the second takes the states of the first
INEXACT = {"SOFTMAX"}  # processors round it differently
SCENE_S = 12
THREADS = (1, 4)
ARRAY = "foa"


def digests(flatbuffer, threads):
    """A digest of all bytes for each output and call of a net."""
    interpreter = open_interpreter(flatbuffer, threads)
    net, rng, states, found = interpreter.get_signature_runner(), np.random.default_rng(0), {}, {}
    for call in range(CALLS):
        inputs = {name: fixed(detail, rng) for name, detail in sorted(net.get_input_details().items())}
        outputs = net(**inputs | states)
        states = {name: value for name, value in outputs.items() if name in inputs}
        for name, value in outputs.items():
            found[f"{name} {call}"] = f"{value.dtype} {value.shape} {hashlib.sha256(value.tobytes()).hexdigest()}"
    return found


def tensors(flatbuffer):
    """All tensors of a net by number, after one call. "steps" is JSON: operation, inputs and outputs of each step."""
    interpreter = Interpreter(model_content=flatbuffer, num_threads=1, experimental_preserve_all_tensors=True)
    interpreter.allocate_tensors()
    rng = np.random.default_rng(0)
    for detail in sorted(interpreter.get_input_details(), key=lambda detail: detail["name"]):
        interpreter.set_tensor(detail["index"], fixed(detail, rng))
    interpreter.invoke()
    steps = [(op["op_name"], op["inputs"].tolist(), op["outputs"].tolist()) for op in interpreter._get_ops_details()]
    used = {number for _, *ends in steps for end in ends for number in end if number >= 0}
    found = {str(number): interpreter.get_tensor(number) for number in used}
    return found | {"steps": json.dumps(steps)}


def operations(flatbuffer):
    """The names of the operations of a net, as they are computed.

    Raises:
        RuntimeError: XNNPACK does not compute the net.
    """
    names = {op["op_name"] for op in open_interpreter(flatbuffer, 1)._get_ops_details()}
    if "DELEGATE" not in names:
        raise RuntimeError("XNNPACK is off")
    return names


def fixed(detail, rng):
    """Random values over the whole range of an input tensor."""
    limits = np.iinfo(detail["dtype"])
    return rng.integers(limits.min, limits.max, detail["shape"], detail["dtype"], endpoint=True)


def features(bundle, blocks):
    """Feature maps (frames, bands, maps) of blocks of FOA."""
    manifest = bundle.manifest
    encode = foa_encoder(load_array(ARRAY), manifest.stft.sample_rate_hz, manifest.features.microphones)
    windows, extract = Stft(manifest.stft, manifest.features.channels), bundle.extractor()
    return np.concatenate([extract(spectra).maps for block in blocks for spectra in windows.push(encode(block))])


class Events:
    """A sink that keeps events as lines of JSON."""

    def __init__(self):
        self.lines = []

    def emit(self, item):
        if isinstance(item, Event):
            self.lines.append(json.dumps(asdict(item)) + "\n")

    def close(self):
        pass


def main(folder, names):
    """Write the answers of the bundles."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        bundle = load_bundle(name)
        nets = {
            net: {threads: digests(flatbuffer, threads) for threads in THREADS}
            for net, flatbuffer in bundle.flatbuffers.items()
        }
        (folder / f"{name}-nets.json").write_text(json.dumps(nets, indent=1))
        for net, flatbuffer in bundle.flatbuffers.items():
            if operations(flatbuffer) & INEXACT:
                np.savez(folder / f"{name}-{net}.npz", **tensors(flatbuffer))
        rate_hz = bundle.manifest.stft.sample_rate_hz
        with open_source("demo", 4, rate_hz) as source:
            scene = [block for block in source if block.start < SCENE_S * rate_hz]
        noise = np.random.default_rng(0).integers(-3000, 3000, (3 * rate_hz, 4)).astype(np.float32) / 32768
        found = {"scene": features(bundle, scene), "noise": features(bundle, [AudioBlock(noise, 0)])}
        np.savez(folder / f"{name}-features.npz", **found)
        events = Events()
        run(scene, build_pipeline(bundle, load_array(ARRAY), build_system(bundle)), [events])
        (folder / f"{name}-events.jsonl").write_text("".join(events.lines))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
