"""The shipped scene -> the events that a model finds in it, their scores against the labels, and the speed."""

from __future__ import annotations

import time
from contextlib import ExitStack
from importlib import resources
from pathlib import Path

from edge.audio.sources import Source
from edge.events.sink import Sink
from edge.nets.bundle import Bundle
from edge.outputs.sinks import open_sink
from edge.runtime.pipeline import Pipeline, run
from edge.scoring.annotations import Label, label_of, read_annotations
from edge.scoring.metrics import score
from edge.types import Event, FrameRow, Item

ARRAY = "foa"  # of the scene


class _DemoSink:
    """A sink that prints events and keeps the rows for the scores."""

    def __init__(self) -> None:
        self.rows: list[Label] = []

    def emit(self, item: Item) -> None:
        if isinstance(item, Event):
            print(
                f"{item.onset_s:6.1f} -{item.offset_s:6.1f} s  {item.name:<14} azimuth {item.azimuth_deg:6.0f}  "
                f"elevation {item.elevation_deg:4.0f}  score {item.score:.2f}",
                flush=True,
            )
        elif isinstance(item, FrameRow):
            self.rows.append(label_of(item))

    def close(self) -> None:
        """Nothing to release."""


def run_demo(source: Source, bundle: Bundle, pipeline: Pipeline, out: Path | None) -> None:
    """Print the events of the demo scene as they end, then scores and speed.

    Args:
        source: the demo scene, opened for `ARRAY` and at the rate of the model.
        bundle: the model.
        pipeline: that of the model, for the array `ARRAY`.
        out: folder to write scene.csv and scene.jsonl to; made if it is missing.

    Raises:
        ValueError: the labels have more classes than the model.
        OSError: the folder cannot be written.
    """
    classes, stft = bundle.manifest.class_names, bundle.manifest.stft
    truth = read_annotations(Path(str(resources.files("edge"))) / "demo" / "scene.csv", len(classes))
    demo_sink = _DemoSink()
    sinks: list[Sink] = [demo_sink]
    with ExitStack() as stack:
        if out is not None:
            out.mkdir(parents=True, exist_ok=True)
            specs = f"dcase:{out / 'scene.csv'}", f"jsonl:{out / 'scene.jsonl'}"
            sinks += [open_sink(spec, replace=True) for spec in specs]
        for sink in sinks:
            stack.callback(sink.close)
        blocks = list(source)
        began = time.perf_counter()
        run(blocks, pipeline, sinks)
        spent_s = time.perf_counter() - began
    result = score({"scene": truth}, {"scene": demo_sink.rows}, len(classes), rules="2022", average="micro")
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
