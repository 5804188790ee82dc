"""Answering on this machine, as `Classifier.predict_many` does."""

from collections.abc import Generator, Iterable, Sequence
from itertools import islice, repeat, tee

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from platecheck.batch.lists import PATH
from platecheck.batch.places import photo_at
from platecheck.batch.rows import Rows, cut
from platecheck.classifier import Classifier, Prediction

# Rows that are handed on at once: few, so that progress can be seen.
_PIECE = 64


class _OneByOne(Classifier):
    """Gives photos to the model one by one.

    So an answer does not depend on which others were asked for with it, and a job that was
    stopped, or divided among machines, has the same rows. On a CPU it is faster, too.
    """

    def predict_pixels(self, pixels: NDArray[np.uint8], names: Sequence[str]) -> list[Prediction]:
        answer = super().predict_pixels
        return [answer(pixels[n : n + 1], [name])[0] for n, name in enumerate(names)]


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
    ahead, pieces = tee(cut(listed, repeat(_PIECE)))
    photos = (photo_at(path, root) for table in ahead for path in table.column(PATH).to_pylist())
    one_by_one = _OneByOne(classifier.session, classifier.info, classifier.fingerprint)
    predictions = one_by_one.predict_many(photos, workers=workers)
    for piece in pieces:
        yield rows.table(piece, list(islice(predictions, piece.num_rows)))
