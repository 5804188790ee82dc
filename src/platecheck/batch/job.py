"""Run a batch job: list the photos, predict shard by shard, write the output."""

import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pyarrow as pa

from platecheck.batch.engine import (
    Judge,
    judge_id,
    load_judge,
    predict_tables,
    result_schema,
)
from platecheck.batch.formats import check_format
from platecheck.batch.manifests import PATH
from platecheck.batch.shards import LabelCounts, Shards
from platecheck.batch.sources import STDIN, find_batch_source
from platecheck.classifier import find_model
from platecheck.cpus import cpu_count
from platecheck.errors import DataError, MissingExtraError, OutputError, PlatecheckError
from platecheck.glob import is_remote
from platecheck.model_file import BUNDLED_DETECTORS

SHARD_ROWS = 1000

# Concurrent remote photos per core: remote reads are I/O-bound.
REMOTE_WORKERS = 8

# Photos per table of the local engine: few, so that progress is visible.
_PIECE = 64

OnProgress = Callable[[str, int, int | None], None]
"""Progress callback: stage, photos done, and total number of photos if known."""


class StoppedError(PlatecheckError):
    """A job was interrupted; it can be resumed."""


@dataclass(frozen=True)
class Job:
    """Options of a job.

    Attributes:
        address: address of the cluster [default: RAY_ADDRESS, or a cluster on this machine].
        workers: concurrent photos, per core with Ray [default: one per core, 8 if remote].
    """

    source: str  # see `platecheck.batch.sources.find_batch_source`
    out: str  # .parquet, .csv or .jsonl
    model: str | os.PathLike[str] | None = None
    column: str | None = None  # manifest column that holds the paths [default: path]
    keep: Sequence[str] = ()
    root: str | None = None  # base of relative paths in a manifest [default: the current folder]
    engine: Literal["local", "ray"] = "local"
    address: str | None = None
    workers: int | None = None
    shard_rows: int = SHARD_ROWS  # photos per shard
    one_file: bool = True
    overwrite: bool = False
    inspect: bool = False  # find the dishes first, and write a row for each
    detector: str | os.PathLike[str] | None = None


@dataclass(frozen=True)
class JobResult:
    """The result of a job."""

    out: Path
    model: str  # the classifier's `id`, and the detector's
    counts: LabelCounts
    resumed: int  # photos with results from earlier runs of the job
    seconds: float  # of this run


def run(job: Job, on_progress: OnProgress = lambda *_: None) -> JobResult:
    """Run a job, or resume it.

    Raises:
        DataError: the options are invalid, differ from those the job was begun with, or the
            output cannot be written.
        ModelError: the model cannot be used.
        MissingExtraError: the engine is not installed.
        StoppedError: the job was interrupted; run it again to resume.
    """
    started = time.monotonic()
    _check(job)
    judge = load_judge(job.model, job.detector, inspect=job.inspect)
    source = find_batch_source(job.source, column=job.column, keep=job.keep, root=job.root)
    schema = result_schema(source.kept, judge)
    out = Path(job.out)
    check_format(out, schema)
    with Shards(out, job.shard_rows) as shards:
        if os.path.lexists(out) and not (job.overwrite or shards.moved):
            raise DataError(f"{out} already exists; --overwrite replaces it")
        shards.begin({**source.identity, "model": judge_id(judge), "shard_rows": job.shard_rows})
        if counts := shards.moved:  # killed after OUT was replaced, before the folder was removed
            resumed = counts.photos
            shards.remove()
        else:
            if shards.listed and job.source == STDIN:
                shards.check_manifest(source.tables())
            try:
                if not shards.listed:
                    shards.write_manifest(
                        source.tables(), lambda photos: on_progress("listing", photos, None)
                    )
                resumed = shards.completed
                _predict(job, judge, shards, schema, source.root, on_progress)
                counts = shards.finish(schema, one_file=job.one_file, overwrite=job.overwrite)
            except KeyboardInterrupt:
                raise StoppedError(f"stopped: {_how_to_resume(shards)}") from None
            except (DataError, OutputError) as error:
                if not shards.listed:
                    raise
                raise DataError(f"{error}; {_how_to_resume(shards)}") from error
    return JobResult(out, judge_id(judge), counts, resumed, time.monotonic() - started)


def _check(job: Job) -> None:
    if is_remote(job.out):
        raise DataError("OUT must be a local path; copy the file afterwards")
    if job.shard_rows < 1 or (job.workers is not None and job.workers < 1):
        raise DataError("--shard-rows and --workers must be at least 1")
    if job.detector and not job.inspect:
        raise DataError("--detector requires --inspect")
    if job.address and job.engine != "ray":
        raise DataError("--address requires --engine ray")
    if job.engine == "ray":
        try:
            import ray  # noqa: F401
        except ModuleNotFoundError as error:
            raise MissingExtraError("--engine ray", "batch") from error


def _predict(
    job: Job,
    judge: Judge,
    shards: Shards,
    schema: pa.Schema,
    root: str,
    on_progress: OnProgress,
) -> None:
    pending = shards.pending()
    if not pending:
        return
    done = shards.completed
    on_progress("predicting", done, shards.photos)

    sizes: deque[int] = deque()  # photos of the tables that are being predicted

    def manifest(rows: int) -> Iterator[pa.Table]:
        for table in map(shards.read_manifest, pending):
            for start in range(0, table.num_rows, rows):
                sizes.append(min(rows, table.num_rows - start))
                yield table.slice(start, rows)

    workers = job.workers
    first = shards.read_manifest(0).column(PATH)[0].as_py() or ""
    is_far = is_remote(first) or (is_remote(root) and not Path(first).is_absolute())
    if workers is None and is_far:
        workers = REMOTE_WORKERS * (1 if job.engine == "ray" else cpu_count())
    if job.engine == "ray":
        from platecheck.batch.ray_engine import predict_on_ray

        files = [find_model(job.model).read_bytes()]
        if job.inspect:
            files.append(find_model(job.detector, BUNDLED_DETECTORS).read_bytes())
        photos = shards.photos - done
        found = predict_on_ray(files, manifest, photos, schema, root, workers or 1, job.address)
    else:
        found = predict_tables(judge, manifest(_PIECE), schema, root, workers)
    with closing(found):
        for shard in pending:
            tables, photos = [], 0
            while photos < shards.size(shard):
                tables.append(next(found))
                photos += sizes[0]
                done += sizes.popleft()
                on_progress("predicting", done, shards.photos)
            shards.write_results(shard, pa.concat_tables(tables))


def _how_to_resume(shards: Shards) -> str:
    if not shards.listed:
        return "listing was not complete; nothing was saved"
    return (
        f"{shards.completed} of {shards.photos} photos are done and saved in {shards.folder};"
        " run the same command to resume"
    )
