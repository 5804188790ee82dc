"""The folder beside OUT: what is to be answered, fixed at the start, and what has been.

::

    OUT.parts/job.json                   what was asked: source, model, photos to a part
    OUT.parts/listing/00000000.parquet   the photos of part 0, and what is carried with them
    OUT.parts/listing.json               how many photos there are; missing: not all listed yet
    OUT.parts/counts/00000000.json       the answers of part 0, counted
    OUT.parts/answers/00000000.parquet   the answers of part 0; missing: not all answered yet
    OUT.parts/all.parquet                the answers of all parts
    OUT.parts/moving.json                all is answered and counted; OUT may be replaced

Every file is written under another name and then renamed: it is there as a whole or not at all.
"""

import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from functools import cached_property
from itertools import repeat, zip_longest
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from platecheck.batch.formats import Format, read_table
from platecheck.batch.manifests import PATH
from platecheck.batch.rows import LabelCounts, rechunk
from platecheck.errors import DataError
from platecheck.files import LOCK, PART, replacing, sync_folder


class Shards:
    """State of a job, stored in its folder."""

    def __init__(self, out: Path, form: Format, part_rows: int) -> None:
        self.out = out
        self.form = form
        self.part_rows = part_rows
        self.folder = Path(f"{out}.parts")
        self._job = self.folder / "job.json"
        self._listed = self.folder / "listing.json"
        self._moving = self.folder / "moving.json"
        self._listing = self.folder / "listing"
        self._counts = self.folder / "counts"
        self._answers = self.folder / "answers"

    def tidy(self) -> None:
        """Remove the remains of interrupted writes and removals."""
        if self.moved and not self._job.exists():
            self._remove()
        for folder in (self.folder, self._listing, self._counts, self._answers):
            for left in folder.glob(f"{PART}*"):
                left.unlink()

    def begin(self, job: Mapping[str, Any]) -> None:
        """Note what is asked, or see that it is what was asked when the folder was begun.

        Raises:
            DataError: it is not, or the folder holds something else.
        """
        if not self._job.exists():
            if any(path.name != LOCK for path in self.folder.iterdir()):
                raise DataError(f"{self.folder} is in the way: it is no folder of answers")
            self._write_json(self._job, job)
        begun = _read_json(self._job)
        for what, now in job.items():
            if (then := begun.get(what)) != now:
                differs = f"{what.replace('_', ' ')} {then}, not {now}"
                if what == "lists":
                    differs = "a list that has changed since"
                raise DataError(
                    f"{self.folder} was begun with {differs}: to go on, give the same command;"
                    " to start over, remove that folder"
                )

    # --- the manifest

    @property
    def has_manifest(self) -> bool:
        return self._listed.exists()

    @cached_property
    def photos(self) -> int:
        photos: int = _read_json(self._listed)["photos"]
        return photos

    def write_manifest(self, tables: Iterable[pa.Table], on_photos: Callable[[int], None]) -> None:
        """Write the manifest, calling `on_photos` with the photos of each shard.

        On failure, remove the folder: there are no results yet.
        """
        try:
            photos = 0
            for part, table in enumerate(rechunk(tables, repeat(self.part_rows))):
                with self._whole(self.manifest_path(part)) as file:
                    pq.write_table(table, file, compression="zstd")
                photos += table.num_rows
                on_photos(table.num_rows)
            self._write_json(self._listed, {"photos": photos})
        except BaseException:
            self._remove()
            raise

    def compare(self, tables: Iterable[pa.Table]) -> None:
        """Check that a source still matches the manifest.

        Raises:
            DataError: It does not.
        """
        listed = map(self.read_manifest, range(self._number))
        for now, then in zip_longest(rechunk(tables, repeat(self.part_rows)), listed):
            if now is None or then is None or not now.equals(then):
                raise DataError(
                    f"{self.folder} was begun with another list: to go on, give the same one;"
                    " to start over, remove that folder"
                )

    def read_manifest(self, part: int) -> pa.Table:
        return read_table(self.manifest_path(part))

    def size(self, part: int) -> int:
        return min(self.part_rows, self.photos - part * self.part_rows)

    @property
    def _number(self) -> int:
        return -(-self.photos // self.part_rows)

    def manifest_path(self, part: int) -> Path:
        return self._listing / f"{part:08d}.parquet"

    # --- the results

    def pending(self) -> list[int]:
        """Return the shards without results."""
        names = self._answers.iterdir() if self._answers.is_dir() else ()
        answered = {int(path.stem) for path in names}
        return [part for part in range(self._number) if part not in answered]

    @property
    def completed(self) -> int:
        """Number of photos with results."""
        return self.photos - sum(map(self.size, self.pending()))

    def write(self, part: int, results: pa.Table) -> None:
        if not results.column(PATH).equals(self.read_manifest(part).column(PATH)):
            raise RuntimeError(f"the results of shard {part} do not match its manifest")
        self._write_json(self._counts / f"{part:08d}.json", asdict(LabelCounts.of(results)))
        with self._whole(self._result_path(part)) as file:
            self.form.write(results, file)

    def _result_path(self, part: int) -> Path:
        return self._answers / f"{part:08d}{self.out.suffix}"

    # --- the end

    def finish(self, schema: pa.Schema, *, one_file: bool, overwrite: bool) -> LabelCounts:
        """Let the answers become OUT, and remove the folder.

        Args:
            schema: of the answers.
            one_file: rather than a folder of parts.
            overwrite: replace what is there.

        Raises:
            DataError: there is something, and it is not to be replaced.
        """
        counted = (_read_json(self._counts / f"{part:08d}.json") for part in range(self._number))
        tally = sum((LabelCounts(**counts) for counts in counted), LabelCounts())
        result = self._answers
        if one_file:
            result = self.folder / f"all{self.out.suffix}"
            with self._whole(result) as file:
                self.form.join(map(self._result_path, range(self._number)), schema, file)
        elif not self._number:  # a folder without files would not say which columns there are
            with self._whole(self._result_path(0)) as file:
                self.form.write(schema.empty_table(), file)
        self._write_json(self._moving, {"result": result.name, "tally": asdict(tally)})
        self._move(result, overwrite=overwrite)
        self._remove()
        return tally

    def clear(self) -> LabelCounts:
        """Remove the folder, where OUT has been `moved` and a kill came before that."""
        tally = LabelCounts(**_read_json(self._moving)["tally"])
        self._remove()
        return tally

    @property
    def moved(self) -> bool:
        """Whether OUT has been replaced."""
        return (
            self._moving.exists()
            and not (self.folder / _read_json(self._moving)["result"]).exists()
        )

    def _move(self, result: Path, *, overwrite: bool) -> None:
        if os.path.lexists(self.out):
            if not overwrite:
                raise DataError(f"{self.out} is there already; --overwrite replaces it")
            if self.out.is_dir() or result.is_dir():  # which cannot be replaced in one step
                shutil.rmtree(self.folder / "old", ignore_errors=True)
                self.out.rename(self.folder / "old")
        result.replace(self.out)
        sync_folder(self.out.parent)

    def _remove(self) -> None:
        """Empty the folder: last what shows whose it was, and that it may go."""
        for path in self.folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            elif path.name != LOCK and path not in (self._job, self._moving):
                path.unlink()
        self._job.unlink(missing_ok=True)
        self._moving.unlink(missing_ok=True)

    # --- files

    @contextmanager
    def _whole(self, path: Path) -> Iterator[BinaryIO]:
        """A file to write that is at `path`, and on the disk, once the block is over.

        Raises:
            DataError: there is no room, say.
        """
        try:
            with replacing(path) as temporary, temporary.open("wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise DataError(f"{path} cannot be written: {error.strerror or error}") from error

    def _write_json(self, path: Path, content: Mapping[str, Any]) -> None:
        with self._whole(path) as file:
            file.write(json.dumps(content, indent=2).encode())


def _read_json(path: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(path.read_bytes())
    return content
