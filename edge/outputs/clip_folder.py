"""Samples -> FLAC files in a folder that is kept within its bounds; wav files where the package soundfile is missing.

Names say what is inside, and sort by time: 20261130T094107312Z-bell-+047.flac is a bell at 47 degrees. Only files with
such names are ever deleted.
"""

from __future__ import annotations

import io
import logging
import os
import re
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from edge.audio.wav import to_pcm16, wav_content
from edge.files import write_atomically
from edge.outputs.clip_settings import ClipSettings
from edge.outputs.home_assistant import slug_of
from edge.types import Event, FloatArray

CHANNELS = ".channels"  # before the ending, of the file that has the channels of the array
MOST_FLAC_CHANNELS = 8

_NAME = re.compile(r"(\d{8}T\d{9}Z)-([a-z0-9_]+)-[+-]\d{3}(?:\.\d+)?(?:\.channels)?\.(?:flac|wav)")
_PART = re.compile(r"\.\d{8}T\d{9}Z-.*\.part")  # what a killed process leaves

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    taken: datetime
    slug: str
    size: int


class ClipFolder:
    """A folder of clips, for one thread."""

    def __init__(self, folder: Path, settings: ClipSettings, class_names: tuple[str, ...]) -> None:
        """Make the folder, if it is missing, and remove what a killed process left unfinished.

        Raises:
            OSError: it cannot be made, or is no folder.
        """
        self._folder, self._settings = folder, settings
        self._kept = {slug_of(name): settings.kept(name) for name in class_names}
        self._soundfile = _soundfile()
        folder.mkdir(parents=True, exist_ok=True)
        for path in folder.iterdir():
            if _PART.fullmatch(path.name):
                path.unlink(missing_ok=True)

    def has_room(self) -> bool:
        """Say whether the disk has more free space than the reserve.

        Raises:
            OSError: the folder is not there, or the disk fails.
        """
        disk = os.statvfs(self._folder)
        return disk.f_bavail * disk.f_frsize >= self._settings.reserve_mb * 1e6

    def write(self, event: Event, taken: datetime, beam: FloatArray, channels: FloatArray | None, rate_hz: int) -> str:
        """Write a clip, flush it to the disk, and delete those that are too old or too many.

        Args:
            event: whose clip it is.
            taken: time of its onset.
            beam: samples (n, 1).
            channels: samples (n, channels) for another file; None for none.
            rate_hz: rate of both.

        Returns:
            The name of the file that has the beam.

        Raises:
            OSError: a file cannot be written; then neither is there.
        """
        when = f"{taken.astimezone(UTC):%Y%m%dT%H%M%S}{taken.microsecond // 1000:03d}Z"
        stem = f"{when}-{slug_of(event.name) or 'other'}-{round(event.azimuth_deg):+04d}"
        number = 1
        while any(self._folder.glob(f"{stem}{_numbered(number)}.[fw]*")):
            number += 1
        stem += _numbered(number)
        ending, content = self._encoded(beam, rate_hz)
        path = self._folder / f"{stem}{ending}"
        if channels is not None:
            raw_ending, raw = self._encoded(channels, rate_hz)
            write_atomically(self._folder / f"{stem}{CHANNELS}{raw_ending}", raw, sync=True)
        try:
            write_atomically(path, content, sync=True)
        except OSError:
            for other in self._folder.glob(f"{stem}{CHANNELS}.*"):
                other.unlink(missing_ok=True)
            raise
        self.prune(taken)
        return path.name

    def prune(self, now: datetime) -> None:
        """Delete clips that are too old, too many of their class, or too much together: the oldest first.

        Raises:
            OSError: the folder cannot be read, or a file cannot be deleted.
        """
        settings = self._settings
        files = self._files()
        oldest = now.astimezone(UTC) - timedelta(days=settings.days or 1e5)
        total = sum(file.size for file in files)
        beams = Counter(file.slug for file in files if CHANNELS not in file.path.name)
        for stem, group in _by_clip(files):
            slug, size = group[0].slug, sum(file.size for file in group)
            too_many = beams[slug] > self._kept.get(slug, settings.keep)
            if not (group[0].taken < oldest or too_many or total > settings.max_mb * 1e6):
                continue
            for file in group:
                file.path.unlink(missing_ok=True)
            beams[slug] -= 1
            total -= size
            log.debug("clips: deleted %s", stem)

    def _files(self) -> list[_File]:
        found = []
        for entry in os.scandir(self._folder):
            if match := _NAME.fullmatch(entry.name):
                taken = datetime.strptime(match[1][:-4], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
                found.append(_File(Path(entry.path), taken, match[2], entry.stat().st_size))
        return found

    def _encoded(self, samples: FloatArray, rate_hz: int) -> tuple[str, bytes]:
        """Ending and content of a file."""
        pcm = to_pcm16(samples)
        if self._soundfile is None or pcm.shape[1] > MOST_FLAC_CHANNELS:
            return ".wav", wav_content(pcm, rate_hz)
        content = io.BytesIO()
        self._soundfile.write(content, pcm, rate_hz, format="FLAC", subtype="PCM_16")
        return ".flac", content.getvalue()


def _numbered(number: int) -> str:
    return f".{number}" if number > 1 else ""


def _by_clip(files: list[_File]) -> list[tuple[str, list[_File]]]:
    """Group files by the clip that they belong to, the oldest first."""
    groups: dict[str, list[_File]] = {}
    for file in sorted(files, key=lambda file: file.path.name):
        stem = file.path.name.replace(CHANNELS, "").rpartition(".")[0]
        groups.setdefault(stem, []).append(file)
    return list(groups.items())


def _soundfile() -> Any:
    """The module `soundfile`; None where it is missing or finds no libsndfile."""
    try:
        import soundfile
    except (ModuleNotFoundError, OSError) as error:
        log.warning("clips: written as wav, not as FLAC: %s: pip install soundfile", error)
        return None
    return soundfile
