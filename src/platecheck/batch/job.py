"""A whole job: list the photos, answer part by part, write OUT."""

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import pyarrow as pa

from platecheck.batch import local
from platecheck.batch.formats import find_format
from platecheck.batch.manifests import PATH
from platecheck.batch.rows import LabelCounts, Rows, rechunk
from platecheck.batch.shards import Shards
from platecheck.batch.sources import find_batch_source
from platecheck.classifier import Classifier, find_model
from platecheck.cpus import cpu_count
from platecheck.errors import DataError, MissingExtraError, PlatecheckError
from platecheck.files import locked
from platecheck.glob import is_remote

PART_ROWS = 1000

# Photos at a time on each core, where most of the time goes into waiting for them.
REMOTE_WORKERS = 8


class Progress(Protocol):
    """Is told how far a job is."""

    def listing(self) -> None:
        """Photos are being listed, no one knows how many."""

    def answering(self, photos: int, done: int) -> None:
        """Photos are being answered, and some have been before."""

    def advance(self, photos: int) -> None:
        """Some more photos are listed, or answered."""


class StoppedError(PlatecheckError):
    """A job was interrupted; it can go on."""


@dataclass(frozen=True)
class Job:
    """What is asked.

    Attributes:
        source: a folder, a glob, lists of photos, or ``-``.
        out: the file of answers: Parquet, CSV or JSON lines by its ending.
        model: as `platecheck.Classifier.load` takes it.
        column: of paths, in a list; "path" when absent.
        keep: columns of a list to carry into the answers.
        root: where relative paths of a list begin; the current folder when absent.
        engine: this machine's cores, or a Ray cluster.
        address: of the cluster; one on this machine when absent.
        workers: photos at a time: on this machine, or of each of the cluster's cores.
        part_rows: photos to a part.
        one_file: or a folder of parts.
        overwrite: replace what is at `out`.
    """

    source: str
    out: str
    model: str | os.PathLike[str] | None = None
    column: str | None = None
    keep: Sequence[str] = ()
    root: str | None = None
    engine: Literal["local", "ray"] = "local"
    address: str | None = None
    workers: int | None = None
    part_rows: int = PART_ROWS
    one_file: bool = True
    overwrite: bool = False


@dataclass(frozen=True)
class Done:
    """What came of a job.

    Attributes:
        out: what was written.
        model: the classifier's `id`.
        tally: the answers, counted.
        resumed: photos that had been answered before.
        seconds: that it took this time.
    """

    out: Path
    model: str
    tally: LabelCounts
    resumed: int
    seconds: float


def run(job: Job, progress: Progress) -> Done:
    """Do a job, or what is left of it.

    Raises:
        DataError: it makes no sense, is not the one that was begun, or OUT cannot be written.
        ModelError: the model cannot be used.
        MissingExtraError: the engine is not installed.
        StoppedError: it was interrupted; the same job goes on.
    """
    started = time.monotonic()
    _check(job)
    classifier = Classifier.load(job.model)
    source = find_batch_source(job.source, column=job.column, keep=job.keep, root=job.root)
    rows = Rows(source.kept, classifier.classes, classifier.id)
    out = Path(job.out)
    parts = Shards(out, find_format(out, rows.schema), job.part_rows)

    def done(tally: LabelCounts, resumed: int) -> Done:
        return Done(out, classifier.id, tally, resumed, time.monotonic() - started)

    with locked(parts.folder):
        parts.tidy()
        if os.path.lexists(out) and not (job.overwrite or parts.moved):
            raise DataError(f"{out} is there already; --overwrite replaces it")
        parts.begin({**source.identity, "model": classifier.id, "part_rows": job.part_rows})
        if parts.moved:
            tally = parts.clear()
            return done(tally, tally.photos)
        try:
            if not parts.has_manifest:
                progress.listing()
                parts.write_manifest(source.tables(), progress.advance)
            elif source.given_once:
                parts.compare(source.tables())
            resumed = parts.completed
            progress.answering(parts.photos, resumed)
            try:
                _answer(job, classifier, parts, rows, source.root, progress)
                tally = parts.finish(rows.schema, one_file=job.one_file, overwrite=job.overwrite)
            except DataError as error:
                raise DataError(f"{error}; {_how_to_go_on(parts)}") from error
        except KeyboardInterrupt:
            raise StoppedError(f"stopped: {_how_to_go_on(parts)}") from None
    return done(tally, resumed)


def _check(job: Job) -> None:
    if is_remote(job.out):
        raise DataError("OUT is a file on this machine: write it here, and copy it then")
    if job.part_rows < 1 or (job.workers is not None and job.workers < 1):
        raise DataError("--part-rows and --workers must be at least 1")
    if job.address and job.engine != "ray":
        raise DataError("--address is for --engine ray")
    if job.engine == "ray":
        try:
            from platecheck.batch import ray_engine  # noqa: F401
        except ModuleNotFoundError as error:
            raise MissingExtraError("--engine ray", "batch") from error


def _answer(
    job: Job, classifier: Classifier, parts: Shards, rows: Rows, root: str, progress: Progress
) -> None:
    """Answer the parts that are pending, and keep each once it is whole."""
    pending = parts.pending()
    if not pending:
        return
    workers = job.workers
    if workers is None and _is_far(parts, root):
        workers = REMOTE_WORKERS * (1 if job.engine == "ray" else cpu_count())
    if job.engine == "ray":
        from platecheck.batch import ray_engine

        found = ray_engine.answer(
            find_model(job.model).read_bytes(),
            [(parts.manifest_path(part), parts.size(part)) for part in pending],
            rows,
            root,
            workers or 1,
            job.address,
        )
    else:
        found = local.answer(classifier, map(parts.read_manifest, pending), rows, root, workers)
    with closing(found):
        pieces = _counted(found, progress)
        for part, results in zip(pending, rechunk(pieces, map(parts.size, pending)), strict=True):
            parts.write(part, results)


def _is_far(parts: Shards, root: str) -> bool:
    """Whether the first photo is on another machine."""
    path = parts.read_manifest(0).column(PATH)[0].as_py() or ""
    return is_remote(path) or (is_remote(root) and not Path(path).is_absolute())


def _counted(tables: Iterable[pa.Table], progress: Progress) -> Iterator[pa.Table]:
    for table in tables:
        progress.advance(table.num_rows)
        yield table


def _how_to_go_on(parts: Shards) -> str:
    if not parts.has_manifest:
        return "not all photos were listed, and nothing is kept"
    return (
        f"{parts.completed} of {parts.photos} photos are answered and kept in"
        f" {parts.folder}; the same command goes on from there"
    )
