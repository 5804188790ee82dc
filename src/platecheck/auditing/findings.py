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
    """One problem of a dataset.

    Attributes:
        kind: type of the problem, such as ``leak``.
        severity: its severity.
        message: one sentence.
        photos: names of the affected photos, as `Photo.name`.
        details: machine-readable values; keys depend on the kind.
    """

    kind: str
    severity: Severity
    message: str
    photos: tuple[str, ...] = ()
    details: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"severity": str(self.severity), "photos": list(self.photos)}
