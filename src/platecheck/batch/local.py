"""Answering on this machine, as `Classifier.predict_many` does."""

from collections.abc import Generator, Iterable
from itertools import islice, repeat, tee

import pyarrow as pa

from platecheck.batch.manifests import PATH
from platecheck.batch.rows import Rows, rechunk
from platecheck.batch.storage import photo_at
from platecheck.classifier import Classifier

# Rows that are handed on at once: few, so that progress can be seen.
_PIECE = 64


def answer(
    classifier: Classifier,
    listed: Iterable[pa.Table],
    rows: Rows,
    root: str,
    workers: int | None = None,
) -> Generator[pa.Table, None, None]:
    """Rows of answers, in the order of the listing, in small pieces; tables are read as needed.

    Relative paths begin at `root`; `workers` is photos at a time, by default one a core.
    """
    ahead, pieces = tee(rechunk(listed, repeat(_PIECE)))
    photos = (photo_at(path, root) for table in ahead for path in table.column(PATH).to_pylist())
    # One by one, an answer does not depend on which others were asked for with it, and a job that
    # was stopped, or divided among machines, has the same rows. On a CPU it is faster, too.
    predictions = classifier.predict_many(photos, 1, workers)
    for piece in pieces:
        yield rows.table(piece, list(islice(predictions, piece.num_rows)))
