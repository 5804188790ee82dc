"""What a row of answers is."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from platecheck.batch.lists import PATH
from platecheck.classifier import Prediction
from platecheck.errors import DataError

LABEL, ERROR = "label", "error"


@dataclass(frozen=True)
class Rows:
    """How answers become rows.

    Attributes:
        kept: types of the columns that are carried from the list.
        classes: of the model, in the order of its probabilities.
        model: the classifier's `id`.
    """

    kept: pa.Schema
    classes: tuple[str, ...]
    model: str

    @property
    def schema(self) -> pa.Schema:
        """The columns.

        Raises:
            DataError: one that is carried has the name of another.
        """
        number = pa.float32()
        schema = pa.schema(
            [
                (PATH, pa.string()),
                *self.kept,
                (LABEL, pa.string()),
                ("probability", number),
                *((f"probability_{name}", number) for name in self.classes),
                (ERROR, pa.string()),
                ("model", pa.string()),
            ]
        )
        for name in self.kept.names:
            if schema.names.count(name) > 1:
                raise DataError(f"--keep {name}: the answers have a column of this name")
        return schema

    def table(self, listed: pa.Table, predictions: Sequence[Prediction]) -> pa.Table:
        """Rows of what is listed and as many predictions, in one order."""
        found = [prediction.probabilities or {} for prediction in predictions]
        failed = [prediction.error is not None for prediction in predictions]
        columns = [
            *listed.columns,
            [None if bad else p.label for p, bad in zip(predictions, failed, strict=True)],
            [None if bad else p.probability for p, bad in zip(predictions, failed, strict=True)],
            *([probabilities.get(name) for probabilities in found] for name in self.classes),
            [_reason(prediction) for prediction in predictions],
            [self.model] * len(predictions),
        ]
        return pa.table(columns, schema=self.schema)


def _reason(prediction: Prediction) -> str | None:
    if prediction.error is None:
        return None
    return prediction.error.reason.encode(errors="backslashreplace").decode()


def cut(tables: Iterable[pa.Table], sizes: Iterable[int]) -> Iterator[pa.Table]:
    """The same rows in tables of these sizes; the last may be smaller."""
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
