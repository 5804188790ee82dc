"""Feedback, kept: a row in the database and a photo in the folder, both or neither.

A kill at any moment leaves no row that anyone sees without its photo, and no photo without a row.
So a row is there, unseen, before its photo is written, and seen after; when it is deleted it is
unseen before its photo goes, and gone after. The photo, which other rows may share, is written,
looked for and deleted by one at a time. What a kill left half-way, :meth:`Store.sweep` takes away.
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

# A row that has been half-way for so long was left there.
STALE = timedelta(hours=1)


class Store:
    """Feedback, its photos and its reviews, for any number of threads and processes."""

    def __init__(self, database: Database, photos: PhotoFolder) -> None:
        self.database = database
        self.photos = photos
        self._unwanted: set[str] = set()  # ids that were said not to be stored, but may be

    def add(
        self,
        photo: bytes,
        right: str,
        answer: Answer,
        *,
        key: str | None = None,
        client: Answer | None = None,
    ) -> Feedback:
        """Keep one piece of feedback; it is on the disk when this returns.

        `photo` is the content of its file; see :class:`Feedback` for the rest.

        Raises:
            StorageError: it is not kept.
        """
        name, now = photo_name(photo), datetime.now(UTC)
        given = Feedback(uuid.uuid4().hex, name, right, answer, now, key, client)
        with self.database.writing() as connection:
            connection.execute(insert(FEEDBACK).values(**_as_row(given), state=PENDING))
        try:
            with self.database.writing(lock=name) as connection:
                mine = (FEEDBACK.c.id == given.id) & (FEEDBACK.c.state == PENDING)
                done = connection.execute(update(FEEDBACK).where(mine).values(state=STORED))
                if done.rowcount != 1:
                    raise StorageError("it took so long that it was swept away")
                self.photos.keep(name, photo, given.id)
        except Exception:
            self.rollback(given.id)
            raise
        return given

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
        """How many are kept, by what is right."""
        found = select(FEEDBACK.c.right_label, func.count()).where(FEEDBACK.c.state == STORED)
        with self.database.reading() as connection:
            rows = connection.execute(found.group_by(FEEDBACK.c.right_label)).all()
        return dict(sorted((str(label), int(count)) for label, count in rows))

    def delete(self, feedback: str) -> bool:
        """Delete one piece of feedback, with its photo where no other one has it.

        Returns:
            Whether there was one.

        Raises:
            StorageError: it is not deleted, or not wholly; ask again.
        """
        known = (FEEDBACK.c.id == feedback) & (FEEDBACK.c.state != PENDING)
        with self.database.reading() as connection:
            if not connection.execute(select(FEEDBACK.c.id).where(known)).first():
                return False
        self._discard(feedback)
        return True

    def rollback(self, feedback: str) -> None:
        """See that what was said not to be stored is not, now or by the next sweep."""
        try:
            self._discard(feedback)
        except StorageError:
            self._unwanted.add(feedback)

    def sweep(self, keep: timedelta | None = None, stale: timedelta = STALE) -> dict[str, int]:
        """Delete what is too old, and what was left half-way.

        Args:
            keep: what is older is deleted.
            stale: what has been half-way for less may still be worked on.

        Returns:
            How many were "expired", and how many "left" half-way.

        Raises:
            StorageError: not all of it is done.
        """
        now = datetime.now(UTC)
        stays = FEEDBACK.c.state == STORED
        with self.database.reading() as connection:
            left = select(FEEDBACK.c.id).where(~stays, FEEDBACK.c.time <= _naive(now - stale))
            ids = dict.fromkeys((*connection.scalars(left), *self._unwanted), "left")
            if keep is not None:
                old = select(FEEDBACK.c.id).where(stays, FEEDBACK.c.time <= _naive(now - keep))
                ids |= dict.fromkeys(connection.scalars(old), "expired")
        for feedback in ids:
            self._discard(feedback)
            self._unwanted.discard(feedback)
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
            self.photos.drop_part(name, feedback)
            if not connection.execute(select(FEEDBACK.c.id).where(others).limit(1)).first():
                self.photos.drop(name)
                connection.execute(delete(REVIEW).where(REVIEW.c.photo == name))
            connection.execute(delete(FEEDBACK).where(mine))


def open_store(url: str, folder: Path, *, create: bool = False) -> Store:
    """Open a database and the folder of its photos.

    With `create`, what is not there yet is made, and photos can be written.

    Raises:
        SettingsError: the URL is none, the folder cannot be used, or they do not belong together.
        MissingExtraError: the database's driver is missing.
        StorageError: the database cannot be reached.
    """
    database, photos = Database(url), PhotoFolder(folder)
    if create:
        try:
            photos.create()
        except OSError as error:
            raise SettingsError(f"photos cannot be kept in {folder}: {error.strerror}") from error
        about, is_new = _made(database)
    else:
        if not folder.is_dir():
            raise SettingsError(f"{folder} is not a folder; name that of the feedback's photos")
        if database.file and not database.file.is_file():
            raise SettingsError(f"{database.file}: no such file; serve --feedback makes it")
        about, is_new = _found(database), False
    if about["format"] != FORMAT:
        raise SettingsError(f"{database.name} is a later platecheck's: upgrade to use it")
    # A deletion in one folder must not leave the photo in another.
    if photos.owner() is None and is_new:
        with database.writing(lock="tables"):  # others may be at it too
            if photos.owner() is None:
                photos.give_to(about["id"])
    if photos.owner() != about["id"]:
        raise SettingsError(f"{folder} is not the folder of the photos of {database.name}")
    return Store(database, photos)


def _made(database: Database) -> tuple[dict[str, str], bool]:
    """What a database says of itself, its tables made if need be; whether it keeps nothing yet."""
    with database.writing(lock="tables") as connection:
        METADATA.create_all(connection)
        about = _about(connection)
        if not about:
            about = {"format": FORMAT, "id": uuid.uuid4().hex}
            rows = [{"name": name, "value": value} for name, value in about.items()]
            connection.execute(insert(ABOUT), rows)
        return about, not connection.execute(select(FEEDBACK.c.id).limit(1)).first()


def _found(database: Database) -> dict[str, str]:
    with database.reading() as connection:
        if not inspect(connection).has_table(ABOUT.name):
            raise SettingsError(f"{database.name} holds no feedback; serve --feedback keeps some")
        return _about(connection)


def _about(connection: Connection) -> dict[str, str]:
    return {row.name: row.value for row in connection.execute(select(ABOUT))}


def _as_row(given: Feedback) -> dict[str, Any]:
    return {
        "id": given.id,
        "photo": given.photo,
        "right_label": given.right,
        **asdict(given.answer),
        "time": _naive(given.time),
        "key_name": given.key,
        "client_answer": asdict(given.client) if given.client else None,
    }


def _from_row(row: Row[Any]) -> Feedback:
    return Feedback(
        id=row.id,
        photo=row.photo,
        right=row.right_label,
        answer=Answer(row.model, row.label, row.probabilities),
        time=row.time.replace(tzinfo=UTC),
        key=row.key_name,
        client=Answer(**row.client_answer) if row.client_answer else None,
    )


def _naive(time: datetime) -> datetime:
    """A time in UTC as it is kept: SQLite knows no time zones."""
    return time.astimezone(UTC).replace(tzinfo=None)
