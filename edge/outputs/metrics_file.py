"""Registry of metrics -> a file for the textfile collector of Prometheus' node exporter."""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from edge.files import is_temporary, write_atomically
from edge.outputs.worker import Worker

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry

log = logging.getLogger(__name__)


class MetricsFile(AbstractContextManager["MetricsFile"]):
    """Writes the metrics to a file at regular intervals, and once more at the end of the `with` block.

    The file is replaced as a whole and is readable by all users, as the exporter runs as another one.
    """

    def __init__(self, path: str, every_s: float, registry: CollectorRegistry) -> None:
        """Write the file once and start the thread that rewrites it. Failures of the disk are logged, once in a row.

        Args:
            path: where to write.
            every_s: seconds between two writes.
            registry: the metrics.

        Raises:
            OSError: the file cannot be written, and not because the disk is full or read-only; one line.
        """
        self._path, self._registry = Path(path), registry
        self._failing = False
        try:
            self._write()
        except OSError as error:
            if not is_temporary(error):
                raise OSError(self._message(error)) from error
            self._log_failure(error)
        self._worker = Worker("metrics file", self._rewrite, every_s)

    @property
    def alive(self) -> bool:
        """Whether the file is still being rewritten, or tried to be."""
        return self._worker.alive

    def __exit__(self, *error: object) -> None:
        if self._worker.close():
            self._rewrite()

    def _rewrite(self) -> None:
        try:
            self._write()
        except OSError as error:
            self._log_failure(error)
        else:
            self._failing = False

    def _log_failure(self, error: OSError) -> None:
        if not self._failing:
            log.warning("%s", self._message(error))
        self._failing = True

    def _message(self, error: OSError) -> str:
        return f"metrics: {self._path}: {error.strerror}"

    def _write(self) -> None:
        from prometheus_client import generate_latest

        write_atomically(self._path, generate_latest(self._registry), mode=0o644)
