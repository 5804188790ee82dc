"""Predictions as rows of tables, and how rows are counted and divided."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from platecheck.batch.manifests import PATH
from platecheck.classifier import Prediction
from platecheck.errors import DataError

LABEL, ERROR = "label", "error"


@dataclass(frozen=True)
class ResultColumns:
    """The columns of the output.

    Attributes:
        kept: types of the columns that are copied from the manifest.
        classes: the model's classes.
        model: the classifier's `id`.
    """

    kept: pa.Schema
    classes: tuple[str, ...]
    model: str

    @property
    def schema(self) -> pa.Schema:
        """Names and types of all columns.

        Raises:
            DataError: a kept column has the name of another.
        """
        probability = pa.float32()
        schema = pa.schema(
            [
                (PATH, pa.string()),
                *self.kept,
                (LABEL, pa.string()),
                ("probability", probability),
                *((f"probability_{name}", probability) for name in self.classes),
                (ERROR, pa.string()),
                ("model", pa.string()),
            ]
        )
        for name in self.kept.names:
            if schema.names.count(name) > 1:
                raise DataError(f"--keep {name}: the output already has a column of this name")
        return schema

    def table(self, manifest: pa.Table, predictions: Sequence[Prediction]) -> pa.Table:
        """Return the rows of as many predictions as the manifest has rows."""
        columns = [
            *manifest.columns,
            [None if p.error else p.label for p in predictions],
            [None if p.error else p.probability for p in predictions],
            *([p.probabilities.get(name) for p in predictions] for name in self.classes),
            [
                p.error and p.error.reason.encode(errors="backslashreplace").decode()
                for p in predictions
            ],
            [self.model] * len(predictions),
        ]
        return pa.table(columns, schema=self.schema)


@dataclass(frozen=True)
class LabelCounts:
    """Number of photos, of photos per label, and of photos that could not be opened."""

    photos: int = 0
    labels: Mapping[str, int] = field(default_factory=dict)
    errors: int = 0

    def __add__(self, results: pa.Table) -> "LabelCounts":
        labels = Counter(self.labels)
        labels.update(results.column(LABEL).drop_null().to_pylist())
        errors = self.errors + results.num_rows - results.column(ERROR).null_count
        return LabelCounts(self.photos + results.num_rows, dict(labels), errors)


def rechunk(tables: Iterable[pa.Table], sizes: Iterable[int]) -> Iterator[pa.Table]:
    """Yield the same rows in tables of these sizes; the last may be smaller."""
    remaining = iter(tables)
    pending: list[pa.Table] = []
    rows = 0
    for size in sizes:
        while rows < size and (table := next(remaining, None)) is not None:
            pending.append(table)
            rows += table.num_rows
        if not rows:
            return
        whole = pa.concat_tables(pending)
        yield whole.slice(0, size)
        pending = [whole.slice(size)]
        rows = pending[0].num_rows
