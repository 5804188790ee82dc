"""Feedback store: each row holds a photo, its prediction and its true label."""

import hashlib
import uuid
import warnings
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, delete, func, insert, inspect, select

from platecheck.errors import PlatecheckError, RenamedWarning, SettingsError, StorageError
from platecheck.feedback.database import Database
from platecheck.feedback.entry import Answer, Feedback, encode_photo
from platecheck.feedback.migration import delete_imported, import_photos
from platecheck.feedback.reviews import Decisions
from platecheck.feedback.schema import ABOUT, FEEDBACK, FORMAT, METADATA, REVIEW

_ENTRY = [column for column in FEEDBACK.columns if column.name != "content"]


class Store:
    """Feedback with photos and reviews, safe for concurrent threads and processes.

    All methods raise `StorageError` if the database is unavailable.
    """

    def __init__(self, database: Database) -> None:
        self.database = database
        self._discarded: set[str] = set()  # ids that may still be stored

    def add(
        self,
        photo: bytes,
        true_label: str,
        answer: Answer,
        *,
        key: str | None = None,
        client: Answer | None = None,
    ) -> Feedback:
        """Store a feedback entry durably, with the photo file re-encoded by `encode_photo`.

        Raises:
            PhotoError: The photo cannot be opened.
        """
        self.database.check_space()
        content, name = encode_photo(photo), hashlib.sha256(photo).hexdigest()
        now = datetime.now(UTC)
        entry = Feedback(uuid.uuid4().hex, name, true_label, answer, now, key, client)
        try:
            with self.database.writing() as connection:
                connection.execute(insert(FEEDBACK).values(**_as_row(entry), content=content))
        except StorageError:
            self.discard(entry.id)  # the connection may have failed after the commit
            raise
        return entry

    def discard(self, feedback: str) -> None:
        """Delete an entry that was reported as not stored, now or in the next purge."""
        try:
            self.delete(feedback)
        except StorageError:
            self._discarded.add(feedback)

    def get(self, feedback: str) -> Feedback | None:
        rows = self._rows(select(*_ENTRY).where(FEEDBACK.c.id == feedback))
        return _from_row(rows[0]) if rows else None

    def all(self) -> list[Feedback]:
        """Return all entries, oldest first."""
        found = select(*_ENTRY).order_by(FEEDBACK.c.time, FEEDBACK.c.id)
        return [_from_row(row) for row in self._rows(found)]

    def photo(self, name: str) -> bytes | None:
        """Return a photo as a JPEG, by the hash in `Feedback.photo`."""
        content = FEEDBACK.c.content
        found = select(content).where(FEEDBACK.c.photo == name, content.is_not(None)).limit(1)
        rows = self._rows(found)
        return rows[0].content if rows else None

    def counts(self) -> dict[str, int]:
        """Count the entries by true label."""
        label = FEEDBACK.c.right_label
        found = select(label, func.count().label("entries")).group_by(label)
        return dict(sorted((row.right_label, row.entries) for row in self._rows(found)))

    def delete(self, feedback: str) -> bool:
        """Delete an entry with its photo; return whether it existed."""
        return self._delete(FEEDBACK.c.id == feedback) == 1

    def purge(self, max_age: timedelta) -> int:
        """Delete entries that are too old or discarded; return the number of the former."""
        for feedback in list(self._discarded):
            self.delete(feedback)
            self._discarded.remove(feedback)
        is_old = FEEDBACK.c.time <= _naive(datetime.now(UTC) - max_age)
        # In batches, because SQLite's log needs as much space as they take: see RESERVE.
        batch, expired = select(FEEDBACK.c.id).where(is_old).limit(50), 0
        while deleted := self._delete(FEEDBACK.c.id.in_(batch)):
            expired += deleted
        # Free pages of an SQLite file and its log still contain deleted photos.
        self.database.run_sqlite_script(
            "PRAGMA incremental_vacuum; PRAGMA wal_checkpoint(TRUNCATE)"
        )
        return expired

    def decisions(self) -> Decisions:
        found: Decisions = {}
        for row in self._rows(select(REVIEW).order_by(REVIEW.c.reviewer)):
            found.setdefault(row.photo, {})[row.reviewer] = row.label
        return found

    def decide(self, photo: str, reviewer: str, label: str | None) -> bool:
        """Replace a reviewer's decision on a photo (None removes it); return if there is one."""
        mine = (REVIEW.c.photo == photo) & (REVIEW.c.reviewer == reviewer)
        with self.database.writing(exclusive=True) as connection:
            connection.execute(delete(REVIEW).where(mine))
            known = select(FEEDBACK.c.id).where(FEEDBACK.c.photo == photo).limit(1)
            exists = connection.scalar(known) is not None
            if exists and label is not None:
                time = _naive(datetime.now(UTC))
                connection.execute(
                    insert(REVIEW).values(photo=photo, reviewer=reviewer, label=label, time=time)
                )
        return exists

    def close(self) -> None:
        self.database.close()

    def _rows(self, query: Select[Any]) -> Sequence[Row[Any]]:
        with self.database.reading() as connection:
            return connection.execute(query).all()

    def _delete(self, condition: ColumnElement[bool]) -> int:
        """Delete entries, and the decisions on photos that no entry has any more."""
        with self.database.writing(exclusive=True) as connection:
            deleted = connection.execute(delete(FEEDBACK).where(condition)).rowcount
            if deleted:
                photos = select(FEEDBACK.c.photo)
                connection.execute(delete(REVIEW).where(REVIEW.c.photo.not_in(photos)))
        return deleted


def open_store(url: str, photos: Path | None = None, *, create: bool = False) -> Store:
    """Open a database.

    Args:
        photos: folder of the photos of a database of version 0.1, to import.
        create: create missing tables, and the file of an SQLite database.

    Raises:
        SettingsError: The URL or folder cannot be used.
        MissingExtraError: The database driver is missing.
        StorageError: The database cannot be reached.
    """
    if photos:
        message = "feedback photos of version 0.1 can be imported until platecheck 0.3"
        warnings.warn(message, RenamedWarning, stacklevel=2)
    database = Database(url)
    try:
        _prepare(database, photos, create=create)
    except PlatecheckError:
        database.close()
        raise
    return Store(database)


def _prepare(database: Database, photos: Path | None, *, create: bool) -> None:
    if database.file and not database.file.is_file():
        if not create:
            raise SettingsError(
                f"{database.file}: no such file; platecheck serve --feedback creates it"
            )
        try:
            database.file.touch(0o600)  # photos are for their owner only
        except OSError as error:
            raise SettingsError(f"{database.file}: unable to open: {error.strerror}") from error
    with database.writing(exclusive=True) if create else database.reading() as connection:
        if create:
            METADATA.create_all(connection)
        elif not inspect(connection).has_table(ABOUT.name):
            raise SettingsError(
                f"{database.name}: no feedback tables; platecheck serve --feedback creates them"
            )
        about = {row.name: row.value for row in connection.execute(select(ABOUT))}
        if not about:
            connection.execute(insert(ABOUT).values(name="format", value=FORMAT))
    version = about.get("format", FORMAT)
    if version == "1":
        import_photos(database, about["id"], photos)
    elif version != FORMAT:
        raise SettingsError(f"{database.name} was created by a newer platecheck; upgrade to use it")
    if photos and "id" in about:
        delete_imported(database, about["id"], photos)


def _as_row(entry: Feedback) -> dict[str, Any]:
    return {
        "id": entry.id,
        "photo": entry.photo,
        "right_label": entry.true_label,
        **asdict(entry.answer),
        "time": _naive(entry.time),
        "key_name": entry.key,
        "client_answer": asdict(entry.client) if entry.client else None,
    }


def _from_row(row: Row[Any]) -> Feedback:
    return Feedback(
        id=row.id,
        photo=row.photo,
        true_label=row.right_label,
        answer=Answer(row.model, row.label, row.probabilities),
        time=row.time.replace(tzinfo=UTC),
        key=row.key_name,
        client=Answer(**row.client_answer) if row.client_answer else None,
    )


def _naive(time: datetime) -> datetime:
    """Remove the time zone, UTC, which SQLite does not support."""
    return time.replace(tzinfo=None)
