"""Map manifest tables to result tables; every engine calls `predict_tables`."""

from collections.abc import Generator, Iterable
from itertools import islice, tee

import pyarrow as pa

from platecheck.batch.manifests import PATH
from platecheck.batch.storage import photo_at
from platecheck.classifier import Classifier
from platecheck.errors import DataError

LABEL, ERROR = "label", "error"


def result_schema(kept: pa.Schema, classes: Iterable[str]) -> pa.Schema:
    """Return the columns of the output; raise DataError if two would have the same name."""
    schema = pa.schema(
        [
            (PATH, pa.string()),
            *kept,
            (LABEL, pa.string()),
            ("probability", pa.float32()),
            *((f"probability_{name}", pa.float32()) for name in classes),
            (ERROR, pa.string()),
            ("model", pa.string()),
        ]
    )
    for name in kept.names:
        if schema.names.count(name) > 1:
            raise DataError(f"--keep {name}: the output already has a column of this name")
    return schema


def predict_tables(
    classifier: Classifier,
    manifest: Iterable[pa.Table],
    schema: pa.Schema,
    root: str,
    workers: int | None,
) -> Generator[pa.Table, None, None]:
    """Yield a table of results for each table of a manifest, read as needed.

    Relative paths start from the folder or URL `root`.
    """
    ahead, tables = tee(manifest)
    photos = (photo_at(path, root) for table in ahead for path in table.column(PATH).to_pylist())
    # One photo at a time, so that a result does not depend on the photos in the same batch, and a
    # job that was resumed or distributed has the same rows. On a CPU it is also faster.
    predictions = classifier.predict_many(photos, 1, workers)
    for table in tables:
        found = list(islice(predictions, table.num_rows))
        reasons = [p.error and p.error.reason for p in found]
        columns = [
            *table.columns,
            [None if p.error else p.label for p in found],
            [None if p.error else p.probability for p in found],
            *([p.probabilities.get(name) for p in found] for name in classifier.classes),
            [reason and reason.encode(errors="backslashreplace").decode() for reason in reasons],
            [classifier.id] * len(found),
        ]
        yield pa.table(columns, schema=schema)
