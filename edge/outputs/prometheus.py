"""What a run came to so far -> the text that Prometheus reads, over loopback HTTP or in a file of its node exporter."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edge.runtime.statistics import RunStats
    from edge.stage_clock import Timing

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
CLIENT_S = 5.0  # that a client may take to ask
_PREFIX = "seld_edge_"
_ESCAPES = str.maketrans({"\\": r"\\", '"': r"\"", "\n": r"\n"})

log = logging.getLogger(__name__)
Samples = Iterable[tuple[Mapping[str, str], float | None]]


def exposition(stats: RunStats) -> str:
    """All metrics in Prometheus' text format 0.0.4. What is not known is left out."""
    machine, governor = stats.machine, stats.governor
    metrics: list[tuple[str, str, str, Samples]] = [
        ("steps_total", "counter", "Steps of one label frame.", _one(stats.steps)),
        ("steps_missed_total", "counter", "Steps that took longer than their budget.", _one(stats.missed_steps)),
        ("answers_total", "counter", "Answers of the system.", _one(stats.answers)),
        ("lost_samples_total", "counter", "Samples that were never heard.", _one(stats.lost_samples)),
        ("events_total", "counter", "Finished events.", _labelled("class", stats.events)),
        ("dropped_total", "counter", "Events that a sink could not deliver.", _labelled("sink", stats.dropped)),
        ("step_seconds", "gauge", "Time of the last steps, percentiles.", _quantiles({}, stats.step)),
        ("answer_seconds", "gauge", "Time of the last steps with an answer.", _quantiles({}, stats.answer)),
        (
            "stage_seconds",
            "gauge",
            "Time of each stage in the last steps.",
            [sample for name, timing in stats.stages.items() for sample in _quantiles({"stage": name}, timing)],
        ),
        ("temperature_celsius", "gauge", "Of the processor.", _one(machine.temperature_c)),
        ("resident_memory_bytes", "gauge", "Of this process.", _one(machine.rss_mb * 1e6)),
    ]
    if governor is not None:
        levels = {level: float(level == governor.level) for level in governor.seconds_at}
        metrics += [
            ("steps_late_total", "counter", "Steps done too long after their sound.", _one(governor.late_steps)),
            ("most_late_seconds", "gauge", "Longest time from sound to step.", _one(governor.most_late_ms / 1e3)),
            ("quality_changes_total", "counter", "Changes of the quality level.", _one(governor.changes)),
            ("quality_level", "gauge", "1 for the present quality level.", _labelled("level", levels)),
            ("quality_seconds_total", "counter", "At each quality level.", _labelled("level", governor.seconds_at)),
        ]
    return "".join(_lines(*metric) for metric in metrics)


class MetricsServer(AbstractContextManager["MetricsServer"]):
    """Answers GET /metrics in threads of its own, until the `with` ends."""

    def __init__(self, address: str, port: int, stats: Callable[[], RunStats]) -> None:
        """port: 0 takes a free one, see `port`. Raises OSError, one line, if it cannot be listened at."""
        handler = type("Handler", (_Handler,), {"stats": staticmethod(stats)})
        try:
            self._server = _Server((address, port), handler)
        except (OSError, UnicodeError, TypeError) as error:  # the last two are about names that cannot be any
            raise OSError(f"prometheus: {address}:{port}: {getattr(error, 'strerror', None) or error}") from error
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, name="prometheus", daemon=True)
        self._thread.start()

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class MetricsFile(AbstractContextManager["MetricsFile"]):
    """Writes the metrics to a file every so often, and in the end. Readers see a whole file at any time."""

    def __init__(self, path: str, every_s: float, stats: Callable[[], RunStats]) -> None:
        """Raises OSError, one line, if it cannot be written now; later that is logged once until it works again."""
        self._path, self._every_s, self._stats = Path(path), every_s, stats
        self._failing = False
        self._ended = threading.Event()
        self._replace()
        self._thread = threading.Thread(target=self._work, name="prometheus-file", daemon=True)
        self._thread.start()

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()

    def _work(self) -> None:
        last = False
        while not last:
            last = self._ended.wait(self._every_s)
            try:
                self._replace()
            except OSError as error:
                if not self._failing:
                    log.warning("%s", error)
                self._failing = True
            else:
                self._failing = False

    def _replace(self) -> None:
        written = self._path.with_name(f".{self._path.name}.new")
        try:
            written.write_text(exposition(self._stats()), encoding="utf-8")
            written.chmod(0o644)  # read by another user
            written.replace(self._path)
        except OSError as error:
            raise OSError(f"prometheus: {self._path}: {error.strerror}") from error


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away in between is nobody's business."""
        log.debug("prometheus: %s", client_address, exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    """One request. `stats` is set by the server."""

    stats: Callable[[], RunStats]
    timeout = CLIENT_S

    def do_GET(self) -> None:
        """Answer with the metrics."""
        if self.path.partition("?")[0] != "/metrics":
            self.send_error(404)
            return
        body = exposition(self.stats()).encode()
        self.send_response(200)
        self.send_header("Content-Type", CONTENT_TYPE)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """To the log, where nobody looks for requests."""
        log.debug(format, *args)


def _lines(name: str, kind: str, text: str, samples: Samples) -> str:
    lines = [f"# HELP {_PREFIX}{name} {text}", f"# TYPE {_PREFIX}{name} {kind}"]
    for labels, value in samples:
        if value is None:
            return ""
        inner = ",".join(f'{key}="{label.translate(_ESCAPES)}"' for key, label in labels.items())
        lines.append(f"{_PREFIX}{name}{{{inner}}} {value:.12g}" if inner else f"{_PREFIX}{name} {value:.12g}")
    return "\n".join(lines) + "\n"


def _one(value: float | None) -> Samples:
    return [({}, value)]


def _labelled(label: str, values: Mapping[str, float]) -> Samples:
    return [({label: name}, value) for name, value in values.items()]


def _quantiles(labels: Mapping[str, str], timing: Timing) -> Samples:
    found = {"0.5": timing.p50_ms, "0.95": timing.p95_ms, "0.99": timing.p99_ms, "1": timing.max_ms}
    return [({**labels, "quantile": quantile}, ms / 1e3) for quantile, ms in found.items()]
