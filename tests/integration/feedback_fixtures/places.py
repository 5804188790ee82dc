"""Databases of feedback, and what must hold of them whatever has happened."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cache
from io import BytesIO

import numpy as np
from PIL import Image
from sqlalchemy import select

from platecheck.feedback.entry import Answer
from platecheck.feedback.schema import FEEDBACK, REVIEW
from platecheck.feedback.store import Store, open_store
from tests.support.photos import encode

ANSWER = Answer("tiny-0123456789ab", "clean", {"clean": 0.75, "dirty": 0.25})
SIDE = 96


@cache
def photo(number: int) -> bytes:
    """Return a photo of noise, which takes about 10 kB in the database."""
    pixels = np.random.default_rng(number).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    return encode(pixels, "PNG")


@dataclass(frozen=True)
class Place:
    """A database that processes can open."""

    url: str

    @contextmanager
    def store(self) -> Iterator[Store]:
        with closing(open_store(self.url, create=True)) as opened:
            yield opened


def check(store: Store) -> set[str]:
    """Check that every row has its photo and every decision a row; return the ids."""
    with store.database.reading() as connection:
        rows = connection.execute(select(FEEDBACK)).all()
        reviewed = set(connection.scalars(select(REVIEW.c.photo)))
    for row in rows:
        with Image.open(BytesIO(row.content)) as image:
            image.load()
            assert (image.format, image.size) == ("JPEG", (SIDE, SIDE))
    assert reviewed <= {row.photo for row in rows}
    return {row.id for row in rows}
