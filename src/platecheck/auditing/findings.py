"""Findings of an audit and their severity."""

from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any


class Severity(StrEnum):
    """Severity of a finding, most severe first."""

    ERROR = "error"
    """Metrics computed on this dataset cannot be trusted."""
    WARNING = "warning"
    """Needs manual review."""
    NOTE = "note"
    """For information."""


@dataclass(frozen=True)
class Finding:
    """One problem of a dataset: its `kind`, such as ``leak``, and one sentence.

    `photos` are the names of the affected photos; the keys of `details` depend on the kind.
    """

    kind: str
    severity: Severity
    message: str
    photos: tuple[str, ...] = ()
    details: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"severity": str(self.severity), "photos": list(self.photos)}
