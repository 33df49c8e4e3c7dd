"""The shipped scene through the shipped bundle: events as they end, then scores against the labels, then the speed."""

from __future__ import annotations

import time
from contextlib import ExitStack
from importlib import resources
from pathlib import Path

from edge.arrays.profile import load_array
from edge.audio.sources import open_source
from edge.nets.bundle import load_bundle
from edge.outputs.sinks import Sink, open_sink
from edge.runtime.pipeline import build_pipeline, build_system, run
from edge.scoring.annotations import Label, label_of, read_annotations
from edge.scoring.metrics import score
from edge.types import Event, FrameRow


class _Listener:
    """Prints events and keeps the rows for scoring."""

    def __init__(self) -> None:
        self.rows: list[Label] = []

    def emit(self, item: Event | FrameRow) -> None:
        if isinstance(item, Event):
            print(
                f"{item.onset_s:6.1f} -{item.offset_s:6.1f} s  {item.name:<14} azimuth {item.azimuth_deg:6.0f}  "
                f"elevation {item.elevation_deg:4.0f}  score {item.score:.2f}",
                flush=True,
            )
        else:
            self.rows.append(label_of(item))

    def close(self) -> None:
        pass


def run_demo(model: str, threads: int, out: Path | None) -> int:
    """`seld-edge demo`: print events, scores and speed; write scene.csv and scene.jsonl to `out` if given."""
    bundle = load_bundle(model)
    classes, stft = bundle.manifest.class_names, bundle.manifest.stft
    pipeline = build_pipeline(bundle, load_array("foa"), build_system(bundle, threads))
    truth = read_annotations(Path(str(resources.files("edge"))) / "demo" / "scene.csv", len(classes))
    listener = _Listener()
    sinks: list[Sink] = [listener]
    with ExitStack() as stack:
        source = stack.enter_context(open_source("demo", 4, stft.sample_rate_hz))
        if out is not None:
            out.mkdir(parents=True, exist_ok=True)
            sinks += [open_sink(f"dcase:{out / 'scene.csv'}"), open_sink(f"jsonl:{out / 'scene.jsonl'}")]
        for sink in sinks:
            stack.callback(sink.close)
        blocks = list(source)
        began = time.perf_counter()
        run(blocks, pipeline, sinks)
        spent_s = time.perf_counter() - began
    result = score({"scene": truth}, {"scene": listener.rows}, len(classes), rules="2022", average="micro")
    audio_s = sum(len(block.samples) for block in blocks) / stft.sample_rate_hz
    answer = pipeline.clock.answer()
    print(
        f"against the labels (micro): ER20 {result.er:.2f}  F20 {result.f:.2f}  "
        f"LE {result.le:.1f} deg  LR {result.lr:.2f}"
    )
    print(
        f"{audio_s:.1f} s of audio in {spent_s:.2f} s, real-time factor {spent_s / audio_s:.3f}; "
        f"per answer p50 {answer.p50_ms:.1f} ms, p95 {answer.p95_ms:.1f} ms; latency {pipeline.latency_s:.1f} s"
    )
    return 0
