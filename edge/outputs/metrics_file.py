"""Registry of metrics -> a file for the textfile collector of Prometheus' node exporter."""

from __future__ import annotations

import logging
import threading
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from edge.files import write_atomically

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

log = logging.getLogger(__name__)


class MetricsFile(AbstractContextManager["MetricsFile"]):
    """Writes the metrics to a file at regular intervals, and once more at the end of the `with` block.

    The file is replaced as a whole and is readable by all users, as the exporter runs as another one.
    """

    def __init__(self, path: str, every_s: float, registry: CollectorRegistry) -> None:
        """Write the file once and start the thread that rewrites it. Later failures are logged, once in a row.

        Args:
            path: where to write.
            every_s: seconds between two writes.
            registry: the metrics.

        Raises:
            OSError: the file cannot be written now; one line.
        """
        self._path, self._every_s, self._registry = Path(path), every_s, registry
        self._failing = False
        self._ended = threading.Event()
        self._write()
        self._thread = threading.Thread(target=self._work, name="metrics-file", daemon=True)
        self._thread.start()

    def __exit__(self, *error: object) -> None:
        self._ended.set()
        self._thread.join()

    def _work(self) -> None:
        ended = False
        while not ended:
            ended = self._ended.wait(self._every_s)
            try:
                self._write()
            except OSError as error:
                if not self._failing:
                    log.warning("%s", error)
                self._failing = True
            else:
                self._failing = False

    def _write(self) -> None:
        from prometheus_client import generate_latest

        try:
            write_atomically(self._path, generate_latest(self._registry), mode=0o644)
        except OSError as error:
            raise OSError(f"metrics: {self._path}: {error.strerror}") from error
