"""What an audit finds: a kind, how bad it is, a plain sentence, and the photos it is about."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any


class Severity(StrEnum):
    """How bad a finding is, the worst first."""

    ERROR = "error"
    """The figures that such a set gives cannot be trusted."""
    WARNING = "warning"
    """A person should look at it."""
    NOTE = "note"
    """Good to know."""

    def at_least(self, other: "Severity") -> bool:
        """Whether this is as bad as `other`, or worse."""
        order = list(Severity)
        return order.index(self) <= order.index(other)


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        kind: such as ``leak``; the same for all findings of a sort.
        severity: how bad.
        message: one plain sentence.
        photos: names of the photos it is about, as :attr:`Photo.name`.
        details: figures for machines; keys depend on the kind.
    """

    kind: str
    severity: Severity
    message: str
    photos: tuple[str, ...] = ()
    details: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"severity": str(self.severity), "photos": list(self.photos)}


def worst_first(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Sorted by severity; among equals the order stays."""
    return tuple(sorted(findings, key=lambda finding: list(Severity).index(finding.severity)))
