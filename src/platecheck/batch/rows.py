"""What a row of answers is, and how rows are cut and counted."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from platecheck.batch.manifests import PATH
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
        columns = [
            *listed.columns,
            [None if p.error else p.label for p in predictions],
            [None if p.error else p.probability for p in predictions],
            *([probabilities.get(name) for probabilities in found] for name in self.classes),
            [
                p.error and p.error.reason.encode(errors="backslashreplace").decode()
                for p in predictions
            ],
            [self.model] * len(predictions),
        ]
        return pa.table(columns, schema=self.schema)


@dataclass(frozen=True)
class LabelCounts:
    """How many photos had which answer.

    Attributes:
        photos: all of them.
        labels: photos by answer.
        errors: photos that could not be opened.
    """

    photos: int = 0
    labels: Mapping[str, int] = field(default_factory=dict)
    errors: int = 0

    @classmethod
    def of(cls, answers: pa.Table) -> "LabelCounts":
        """Count rows of answers."""
        labels = Counter(answers.column(LABEL).drop_null().to_pylist())
        errors = answers.num_rows - answers.column(ERROR).null_count
        return cls(answers.num_rows, dict(labels), errors)

    def __add__(self, other: "LabelCounts") -> "LabelCounts":
        labels = Counter(self.labels) + Counter(other.labels)
        return LabelCounts(self.photos + other.photos, dict(labels), self.errors + other.errors)


def rechunk(tables: Iterable[pa.Table], sizes: Iterable[int]) -> Iterator[pa.Table]:
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
