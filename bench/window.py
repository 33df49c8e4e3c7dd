"""Time of the window loop, net by net: `python -m bench.window [--model NAME|DIR] [--threads N] [--windows N]`."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence

import numpy as np

from edge.bundle import load_bundle
from edge.config import DEFAULT_MODEL
from edge.litert import RUNTIME
from edge.stft import Stft
from edge.types import AudioBlock


def percentiles_ms(call: Callable[[], object], repetitions: int) -> tuple[float, float]:
    """Median and 95th percentile of a call's time in ms, after one call that does not count."""
    call()
    times_s = []
    for _ in range(repetitions):
        began = time.perf_counter()
        call()
        times_s.append(time.perf_counter() - began)
    p50, p95 = np.percentile(times_s, [50, 95]) * 1e3
    return float(p50), float(p95)


def main(argv: Sequence[str] | None = None) -> int:
    """Print a table of stages."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default=DEFAULT_MODEL, metavar="NAME|DIR")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--windows", type=int, default=50, help="repetitions (default: %(default)s)")
    args = parser.parse_args(argv)
    bundle = load_bundle(args.model)
    settings = bundle.manifest.stft
    random = np.random.default_rng(0)
    second = random.normal(0.0, 0.1, (settings.sample_rate_hz, 4)).astype(np.float32)
    stft, extractor = Stft(settings, 4), bundle.extractor()

    def features() -> None:
        stft.reset()
        for spectra in stft.push(AudioBlock(second, 0)):
            extractor(spectra)

    print(f"{args.model}, {args.threads} threads, {RUNTIME}")
    print(f"{'stage':<26}{'p50 ms':>9}{'p95 ms':>9}")
    stages: dict[str, Callable[[], object]] = {"features of 1 s of audio": features}
    for name, net in bundle.nets(args.threads).items():
        inputs = {
            tensor: random.normal(0.0, 1.0, shape).astype(np.float32) for tensor, shape in net.input_shapes.items()
        }
        stages[name] = lambda net=net, inputs=inputs: net(**inputs)  # type: ignore[misc]
    for name, call in stages.items():
        p50, p95 = percentiles_ms(call, args.windows)
        print(f"{name:<26}{p50:9.2f}{p95:9.2f}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
