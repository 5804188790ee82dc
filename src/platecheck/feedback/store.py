"""Crash-safe feedback store: a row in the database and a photo in the folder, or neither.

A visible row always has its photo, and a photo always has a row. Insertion adds a pending row,
writes the photo, then makes the row visible; deletion hides the row, deletes the photo, then
removes the row. Rows may share a photo, so a lock serializes writing and deleting it.
`Store.purge` cleans up after interrupted operations.
"""

import uuid
from collections import Counter
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, inspect, select, update

from platecheck.errors import SettingsError
from platecheck.feedback.database import Database
from platecheck.feedback.entry import Answer, Feedback
from platecheck.feedback.errors import StorageError
from platecheck.feedback.photos import PhotoFolder, photo_name
from platecheck.feedback.schema import (
    ABOUT,
    DELETING,
    FEEDBACK,
    FORMAT,
    METADATA,
    PENDING,
    REVIEW,
    STORED,
)

# Age at which a pending operation counts as interrupted.
STALE = timedelta(hours=1)


class Store:
    """Feedback with photos and reviews, safe for concurrent threads and processes."""

    def __init__(self, database: Database, photos: PhotoFolder) -> None:
        self.database = database
        self.photos = photos
        self._failed_rollbacks: set[str] = set()  # ids that may still be stored

    def add(
        self,
        photo: bytes,
        true_label: str,
        answer: Answer,
        *,
        key: str | None = None,
        client: Answer | None = None,
    ) -> Feedback:
        """Store a feedback entry durably.

        `photo` is the file content; see `Feedback` for the other arguments.

        Raises:
            StorageError: It could not be stored.
        """
        name, now = photo_name(photo), datetime.now(UTC)
        entry = Feedback(uuid.uuid4().hex, name, true_label, answer, now, key, client)
        with self.database.writing() as connection:
            connection.execute(insert(FEEDBACK).values(**_as_row(entry), state=PENDING))
        try:
            with self.database.writing(lock=name) as connection:
                mine = (FEEDBACK.c.id == entry.id) & (FEEDBACK.c.state == PENDING)
                done = connection.execute(update(FEEDBACK).where(mine).values(state=STORED))
                if done.rowcount != 1:
                    raise StorageError("storing took too long; the entry was purged")
                self.photos.write(name, photo, entry.id)
        except Exception:
            self.rollback(entry.id)
            raise
        return entry

    def get(self, feedback: str) -> Feedback | None:
        wanted = (FEEDBACK.c.id == feedback) & (FEEDBACK.c.state == STORED)
        with self.database.reading() as connection:
            row = connection.execute(select(FEEDBACK).where(wanted)).first()
        return _from_row(row) if row else None

    def all(self) -> list[Feedback]:
        found = select(FEEDBACK).where(FEEDBACK.c.state == STORED)
        with self.database.reading() as connection:
            rows = connection.execute(found.order_by(FEEDBACK.c.time, FEEDBACK.c.id)).all()
        return [_from_row(row) for row in rows]

    def counts(self) -> dict[str, int]:
        """Count the stored entries by true label."""
        found = select(FEEDBACK.c.right_label, func.count()).where(FEEDBACK.c.state == STORED)
        with self.database.reading() as connection:
            rows = connection.execute(found.group_by(FEEDBACK.c.right_label)).all()
        return dict(sorted((str(label), int(count)) for label, count in rows))

    def delete(self, feedback: str) -> bool:
        """Delete an entry, and its photo unless another entry shares it.

        Returns:
            Whether the entry existed.

        Raises:
            StorageError: It was not deleted completely; retry.
        """
        known = (FEEDBACK.c.id == feedback) & (FEEDBACK.c.state != PENDING)
        with self.database.reading() as connection:
            if not connection.execute(select(FEEDBACK.c.id).where(known)).first():
                return False
        self._discard(feedback)
        return True

    def rollback(self, feedback: str) -> None:
        """Remove an entry that was reported as not stored, now or in the next purge."""
        try:
            self._discard(feedback)
        except StorageError:
            self._failed_rollbacks.add(feedback)

    def purge(self, max_age: timedelta | None = None, stale: timedelta = STALE) -> dict[str, int]:
        """Delete expired entries and the remains of interrupted operations.

        Args:
            max_age: age at which entries expire; None keeps them.
            stale: age at which a pending operation counts as interrupted.

        Returns:
            Number of "expired" entries, and of entries "left" by interrupted operations.

        Raises:
            StorageError: Not everything was deleted.
        """
        now = datetime.now(UTC)
        stored = FEEDBACK.c.state == STORED
        with self.database.reading() as connection:
            left = select(FEEDBACK.c.id).where(~stored, FEEDBACK.c.time <= _naive(now - stale))
            ids = dict.fromkeys((*connection.scalars(left), *self._failed_rollbacks), "left")
            if max_age is not None:
                old = select(FEEDBACK.c.id).where(stored, FEEDBACK.c.time <= _naive(now - max_age))
                ids |= dict.fromkeys(connection.scalars(old), "expired")
        for feedback in ids:
            self._discard(feedback)
            self._failed_rollbacks.discard(feedback)
        return dict(Counter(ids.values()))

    def close(self) -> None:
        self.database.close()

    def _discard(self, feedback: str) -> None:
        mine = FEEDBACK.c.id == feedback
        with self.database.writing() as connection:
            row = connection.execute(select(FEEDBACK.c.photo).where(mine)).first()
            if row is None:
                return
            connection.execute(update(FEEDBACK).where(mine).values(state=DELETING))
        name = str(row.photo)
        others = (FEEDBACK.c.photo == name) & (FEEDBACK.c.state == STORED)
        with self.database.writing(lock=name) as connection:
            self.photos.delete_part(name, feedback)
            if not connection.execute(select(FEEDBACK.c.id).where(others).limit(1)).first():
                self.photos.delete(name)
                connection.execute(delete(REVIEW).where(REVIEW.c.photo == name))
            connection.execute(delete(FEEDBACK).where(mine))


def open_store(url: str, folder: Path, *, create: bool = False) -> Store:
    """Open a database and its photo folder, creating them with `create`.

    Raises:
        SettingsError: The URL or folder cannot be used, or they do not belong together.
        MissingExtraError: The database driver is missing.
        StorageError: The database cannot be reached.
    """
    database, photos = Database(url), PhotoFolder(folder)
    if create:
        try:
            photos.create()
        except OSError as error:
            raise SettingsError(
                f"{folder}: photos cannot be stored here: {error.strerror}"
            ) from error
        about, is_new = _create_tables(database)
    else:
        if not folder.is_dir():
            raise SettingsError(f"{folder}: no such folder; pass the folder of the feedback photos")
        if database.file and not database.file.is_file():
            raise SettingsError(
                f"{database.file}: no such file; platecheck serve --feedback creates it"
            )
        about, is_new = _read_about(database), False
    if about["format"] != FORMAT:
        raise SettingsError(f"{database.name} was created by a newer platecheck; upgrade to use it")
    # One folder per database, so that deletions reach every copy of a photo.
    if photos.owner() is None and is_new:
        with database.writing(lock="tables"):  # other processes may do the same
            if photos.owner() is None:
                photos.set_owner(about["id"])
    if photos.owner() != about["id"]:
        raise SettingsError(f"{folder} is not the photo folder of {database.name}")
    return Store(database, photos)


def _create_tables(database: Database) -> tuple[dict[str, str], bool]:
    """Create missing tables; return the metadata and whether there is no feedback yet."""
    with database.writing(lock="tables") as connection:
        METADATA.create_all(connection)
        about = _about(connection)
        if not about:
            about = {"format": FORMAT, "id": uuid.uuid4().hex}
            rows = [{"name": name, "value": value} for name, value in about.items()]
            connection.execute(insert(ABOUT), rows)
        return about, not connection.execute(select(FEEDBACK.c.id).limit(1)).first()


def _read_about(database: Database) -> dict[str, str]:
    with database.reading() as connection:
        if not inspect(connection).has_table(ABOUT.name):
            raise SettingsError(
                f"{database.name}: no feedback tables; platecheck serve --feedback creates them"
            )
        return _about(connection)


def _about(connection: Connection) -> dict[str, str]:
    return {row.name: row.value for row in connection.execute(select(ABOUT))}


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
    """Convert to UTC without a time zone, which SQLite does not support."""
    return time.astimezone(UTC).replace(tzinfo=None)
