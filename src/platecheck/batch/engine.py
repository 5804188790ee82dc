"""Predict the photos of manifest tables; every engine calls this."""

from collections.abc import Generator, Iterable
from itertools import islice, tee

import pyarrow as pa

from platecheck.batch.manifests import PATH
from platecheck.batch.results import ResultColumns
from platecheck.batch.storage import photo_at
from platecheck.classifier import Classifier


def predict_tables(
    classifier: Classifier,
    manifest: Iterable[pa.Table],
    columns: ResultColumns,
    root: str,
    workers: int | None,
) -> Generator[pa.Table, None, None]:
    """Yield a table of results for each table of a manifest, read as needed.

    Args:
        classifier: the model.
        manifest: tables with a column of paths and the kept columns.
        columns: the columns of the results.
        root: base folder or URL of relative paths.
        workers: concurrent photos [default: one per core].
    """
    ahead, tables = tee(manifest)
    photos = (photo_at(path, root) for table in ahead for path in table.column(PATH).to_pylist())
    # One photo at a time, so that a result does not depend on the photos in the same batch, and a
    # job that was resumed or distributed has the same rows. On a CPU it is also faster.
    predictions = classifier.predict_many(photos, 1, workers)
    for table in tables:
        yield columns.table(table, list(islice(predictions, table.num_rows)))
