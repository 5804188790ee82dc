"""The state folder next to OUT, from which a job resumes.

::

    OUT.shards/job.json                    the options and progress of the job
    OUT.shards/manifest/00000000.parquet   the photos of shard 0, and the kept columns
    OUT.shards/results/00000000.parquet    the results of shard 0; missing: not complete yet
    OUT.shards/result.csv                  the results of all shards, in OUT's format
    OUT.shards/converted/00000000.csv      the same for a folder that is not in Parquet

Every file is written under a temporary name and renamed, so that it is complete or missing.
"""

import json
import math
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from itertools import groupby, repeat, zip_longest
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
from filelock import FileLock, Timeout

from platecheck.batch.engine import ERROR, LABEL
from platecheck.batch.formats import read_table, rechunk, write_file
from platecheck.batch.manifests import PATH
from platecheck.errors import DataError, OutputError
from platecheck.files import LOCK, TEMPORARY, replacing, sync_folder


@dataclass(frozen=True)
class LabelCounts:
    """Number of photos, of rows per label, and of photos that could not be opened."""

    photos: int = 0
    labels: Mapping[str, int] = field(default_factory=dict)
    errors: int = 0

    def add(self, results: pa.Table, photos: int) -> "LabelCounts":
        """Return the counts with the results for more photos."""
        labels = Counter(self.labels)
        labels.update(results.column(LABEL).drop_null().to_pylist())
        errors = self.errors + results.num_rows - results.column(ERROR).null_count
        return LabelCounts(self.photos + photos, dict(labels), errors)


class Shards:
    """The state of a job, stored in its folder; open it with ``with``.

    Attributes:
        listed: whether the manifest is complete.
        photos: number of photos in it.
        moved: counts of the results if `out` has already been replaced, otherwise None.
    """

    def __init__(self, out: Path, shard_rows: int) -> None:
        self.out = out
        self.shard_rows = shard_rows
        self.folder = Path(f"{out}.shards")
        self._state = self.folder / "job.json"
        self.listed, self.photos = False, 0
        self.moved: LabelCounts | None = None
        self._lock = FileLock(self.folder / LOCK, timeout=0)
        self._job: dict[str, Any] = {}

    def __enter__(self) -> "Shards":
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock.acquire()
        except Timeout:
            raise DataError(f"another process is using {self.folder}; wait for it to end") from None
        except OSError as error:
            raise OutputError(self.folder, error) from error
        for left in self.folder.rglob(f"{TEMPORARY}*"):  # leftovers of interrupted writes
            left.unlink()
        if self._state.exists():
            self._job = json.loads(self._state.read_bytes())
            self.listed = self._job.get("photos") is not None
            self.photos = self._job.get("photos") or 0
            result = self._job.get("result")
            if result and not (self.folder / result).exists():
                self.moved = LabelCounts(**self._job["counts"])
        return self

    def __exit__(self, *_: object) -> None:
        if all(path.name == LOCK for path in self.folder.iterdir()):
            shutil.rmtree(self.folder, ignore_errors=True)
        self._lock.release()

    def _save(self, **changes: Any) -> None:
        self._job |= changes
        with self._writing(self._state) as file:
            file.write(json.dumps(self._job, indent=2).encode())

    def begin(self, options: Mapping[str, Any]) -> None:
        """Record the job's options; raise DataError if it was started with different ones."""
        if not self._job:
            if any(path.name != LOCK for path in self.folder.iterdir()):
                raise DataError(f"{self.folder} exists but is not a state folder of platecheck")
            self._save(options=options, photos=None, result=None, counts=None)
        begun = self._job.get("options", {})
        for name, now in options.items():
            if begun.get(name) != now:
                what = f"{name.replace('_', ' ')} {begun.get(name)}, not {now}"
                self._refuse("a manifest that has changed since" if name == "manifests" else what)

    def _refuse(self, difference: str) -> None:
        raise DataError(
            f"{self.folder} was started with {difference}: to resume, use the same command;"
            " to start over, remove that folder"
        )

    def write_manifest(self, tables: Iterable[pa.Table], on_photos: Callable[[int], None]) -> None:
        """Write the manifest, calling `on_photos` with the number of photos so far.

        On failure, remove the folder: there are no results yet.
        """
        try:
            photos = 0
            for shard, table in enumerate(rechunk(tables, repeat(self.shard_rows))):
                self._write(self._path("manifest", shard), table.schema, [table])
                photos += table.num_rows
                on_photos(photos)
            self._save(photos=photos)
            self.listed, self.photos = True, photos
        except BaseException:
            self.remove()
            raise

    def check_manifest(self, tables: Iterable[pa.Table]) -> None:
        """Raise DataError if the source no longer matches the manifest."""
        listed = map(self.read_manifest, range(self.count))
        for now, then in zip_longest(rechunk(tables, repeat(self.shard_rows)), listed):
            if now is None or then is None or not now.equals(then):
                self._refuse("another manifest")

    def _path(self, kind: str, shard: int) -> Path:
        return self.folder / kind / f"{shard:08d}.parquet"

    def read_manifest(self, shard: int) -> pa.Table:
        return read_table(self._path("manifest", shard))

    @property
    def count(self) -> int:
        return math.ceil(self.photos / self.shard_rows)

    def size(self, shard: int) -> int:
        return min(self.shard_rows, self.photos - shard * self.shard_rows)

    def pending(self) -> list[int]:
        done = {int(path.stem) for path in (self.folder / "results").glob("[0-9]*.parquet")}
        return [shard for shard in range(self.count) if shard not in done]

    @property
    def completed(self) -> int:
        return self.photos - sum(map(self.size, self.pending()))

    def write_results(self, shard: int, results: pa.Table) -> None:
        wanted, found = self.read_manifest(shard).column(PATH), results.column(PATH)
        if _without_repeats(found) != _without_repeats(wanted):  # a photo may have several rows
            raise RuntimeError(f"the results of shard {shard} do not match its manifest")
        self._write(self._path("results", shard), results.schema, [results])

    def finish(self, schema: pa.Schema, *, one_file: bool, overwrite: bool) -> LabelCounts:
        """Make OUT, a file or a folder of shards, remove the folder, and return the counts."""
        counts = LabelCounts()

        def results() -> Iterator[pa.Table]:
            nonlocal counts
            for shard in range(self.count or 1):
                table = read_table(self._path("results", shard))
                counts = counts.add(table, self.size(shard))
                yield table

        if not self.count:  # write an empty shard, so that the output has a schema
            self._write(self._path("results", 0), schema, [])
        if one_file:
            result = self.folder / f"result{self.out.suffix}"
            self._write(result, schema, results())
        else:
            is_copied = self.out.suffix != ".parquet"
            result = self.folder / ("converted" if is_copied else "results")
            for shard, table in enumerate(results()):
                if is_copied:
                    self._write(result / f"{shard:08d}{self.out.suffix}", schema, [table])
        self._save(result=result.name, counts=asdict(counts))
        if os.path.lexists(self.out):
            if not overwrite:
                raise DataError(f"{self.out} already exists; --overwrite replaces it")
            if self.out.is_dir() or result.is_dir():  # cannot be replaced in one step
                shutil.rmtree(self.folder / "old", ignore_errors=True)
                self.out.rename(self.folder / "old")
        result.replace(self.out)
        sync_folder(self.out.parent)
        self.remove()
        return counts

    def remove(self) -> None:
        """Empty the folder; delete the state file last, since it identifies the other files."""
        for path in self.folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path not in (self._state, self.folder / LOCK):
                path.unlink()
        self._state.unlink(missing_ok=True)

    def _write(self, path: Path, schema: pa.Schema, tables: Iterable[pa.Table]) -> None:
        with self._writing(path) as file:
            write_file(file, path.suffix, schema, tables)

    @contextmanager
    def _writing(self, path: Path) -> Iterator[BinaryIO]:
        """Yield a file that appears at `path`, flushed to disk, if the block succeeds."""
        with replacing(path) as temporary, temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())


def _without_repeats(paths: pa.ChunkedArray) -> list[str | None]:
    return [path for path, _ in groupby(paths.to_pylist())]
