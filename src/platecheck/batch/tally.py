"""Answers, counted."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import pyarrow as pa

from platecheck.batch.rows import ERROR, LABEL


@dataclass(frozen=True)
class Tally:
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
    def of(cls, answers: pa.Table) -> "Tally":
        """Count rows of answers."""
        labels = Counter(answers.column(LABEL).drop_null().to_pylist())
        return cls(
            answers.num_rows, dict(labels), answers.num_rows - answers.column(ERROR).null_count
        )

    def __add__(self, other: "Tally") -> "Tally":
        labels = Counter(self.labels) + Counter(other.labels)
        return Tally(self.photos + other.photos, dict(labels), self.errors + other.errors)
