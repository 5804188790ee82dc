"""Where feedback is kept in a test, and what must hold of it whatever has happened."""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from sqlalchemy import select

from platecheck.feedback.entry import Answer
from platecheck.feedback.photos import OWNER, photo_name
from platecheck.feedback.schema import FEEDBACK, STORED
from platecheck.feedback.store import Store, open_store
from platecheck.files import PART

NOW = timedelta(0)
ANSWER = Answer("tiny-0123456789ab", "clean", {"clean": 0.75, "dirty": 0.25})


def photo(number: int) -> bytes:
    """Something that begins like a JPEG; the store looks no further."""
    return b"\xff\xd8\xff" + f"photo {number} ".encode() * 5000


@dataclass(frozen=True)
class Place:
    """A database and a folder of photos."""

    url: str
    photos: Path

    @contextmanager
    def store(self) -> Iterator[Store]:
        """Open it."""
        opened = open_store(self.url, self.photos, create=True)
        try:
            yield opened
        finally:
            opened.close()

    def files(self) -> set[str]:
        """Names of the photos that are there, whole or not."""
        found = {
            path.relative_to(self.photos).as_posix()
            for path in self.photos.rglob("*")
            if path.is_file()
        }
        return found - {OWNER}


MakePlace = Callable[[], Place]


def check(place: Place, store: Store) -> None:
    """No row that is seen is without its photo, and no photo without a row."""
    with store.database.reading() as connection:
        rows = connection.execute(select(FEEDBACK)).all()
    files = place.files()
    for row in rows:
        if row.state == STORED:
            assert row.photo in files, f"{row.id} has lost its photo"
            assert is_whole(place, row.photo)
    allowed = {row.photo for row in rows} | {f"{row.photo[:2]}/{PART}{row.id}" for row in rows}
    assert files <= allowed, "a photo has no row"


def check_swept(place: Place, store: Store) -> set[str]:
    """After a sweep, what is there is what is seen. Returns the ids."""
    store.purge(stale=NOW)
    check(place, store)
    seen = store.all()
    with store.database.reading() as connection:
        ids = {row.id for row in connection.execute(select(FEEDBACK.c.id))}
    assert ids == {given.id for given in seen}
    assert place.files() == {given.photo for given in seen}
    return ids


def is_whole(place: Place, name: str) -> bool:
    """Whether a photo is what its name says."""
    content = (place.photos / name).read_bytes()
    return photo_name(content) == name and hashlib.sha256(content).hexdigest().startswith(name[:2])
