"""Statistics of a run -> metrics for Prometheus, on a page or in a file for its node exporter.

The HTTP server and prometheus_client are loaded only if the settings ask for metrics.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from edge.outputs.device_info import DeviceInfo

if TYPE_CHECKING:
    from edge.runtime.statistics import RunStats


@dataclass(frozen=True, slots=True)
class PrometheusSettings:
    """Where Prometheus finds the metrics of a run: by default, nowhere."""

    port: int | None = None  # port of http://ADDRESS:PORT/metrics; by default metrics are not served
    # address to listen at. On a loopback address, only requests whose Host header names this machine are answered.
    address: str = "127.0.0.1"
    # file for the textfile collector of Prometheus' node exporter, whose name ends with .prom; by default none
    textfile: str | None = None
    every_s: float = 15.0  # seconds between two writes of that file, 1 to 86400

    def __post_init__(self) -> None:
        if self.port is not None and not 1 <= self.port <= 65535:
            raise ValueError(f"got port {self.port}, wanted 1 to 65535")
        if self.textfile is not None and not self.textfile.endswith(".prom"):
            raise ValueError(f"got textfile {self.textfile!r}, wanted a name that ends with .prom")
        if not 1.0 <= self.every_s <= 86400.0:
            raise ValueError(f"got every_s {self.every_s}, wanted 1 to 86400")


class Publisher(Protocol):
    """Publishes metrics in the background."""

    @property
    def alive(self) -> bool:
        """Whether it still works. Any thread may ask."""


@contextmanager
def published_metrics(
    settings: PrometheusSettings, stats: Callable[[], RunStats], device: DeviceInfo
) -> Iterator[Mapping[str, Publisher]]:
    """Publish the metrics as the settings say, until the `with` block ends.

    Args:
        settings: page and file; neither by default.
        stats: gives the current statistics of a run; called from other threads.
        device: model and array of the run.

    Yields:
        What publishes them, by name.

    Raises:
        ValueError: prometheus_client is not installed, though metrics are wanted.
        OSError: the address cannot be listened at, or the file cannot be written; one line.
    """
    if settings.port is None and settings.textfile is None:
        yield {}
        return
    from edge.outputs.metrics_collector import metrics_registry
    from edge.outputs.metrics_file import MetricsFile
    from edge.outputs.metrics_server import MetricsServer

    registry = metrics_registry(stats, device)
    publishers: dict[str, Publisher] = {}
    with ExitStack() as stack:
        if settings.port is not None:
            publishers["metrics page"] = stack.enter_context(MetricsServer(settings.address, settings.port, registry))
        if settings.textfile is not None:
            publishers["metrics file"] = stack.enter_context(MetricsFile(settings.textfile, settings.every_s, registry))
        yield publishers
