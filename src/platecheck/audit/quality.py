"""Files that are not what they say, and pictures that show little."""

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
from cleanvision.issue_managers import IssueType
from cleanvision.issue_managers.image_property import (
    AspectRatioProperty,
    BrightnessProperty,
    EntropyProperty,
    ImageProperty,
)
from cleanvision.issue_managers.image_property_issue_manager import ImagePropertyIssueManager
from PIL import Image

from platecheck.audit.findings import Finding, Severity
from platecheck.audit.looks import Look
from platecheck.errors import PhotoError

# Formats that go by the name of another one.
_SAME = {"MPO": "JPEG", "DIB": "BMP"}
# A photo's side (the root of its area) is odd from this factor off the median. cleanvision's own
# rule, quartiles, finds every photo odd that is a pixel off where most have one size.
ODD_SIZE = 2.0
# Blur from which on a photo is called blurred. Of 959 real photos none is there; once blurred by 2
# pixels at 256, 95 in 100 are.
BLURRED = 0.57

# cleanvision's sorts of issue: our kind, its measure, how bad, and in words.
_ISSUES: tuple[tuple[IssueType, str, ImageProperty, Severity, str], ...] = (
    (
        IssueType.DARK,
        "dark",
        BrightnessProperty(IssueType.DARK.value),
        Severity.WARNING,
        "The photo is dark",
    ),
    (
        IssueType.LIGHT,
        "bright",
        BrightnessProperty(IssueType.LIGHT.value),
        Severity.WARNING,
        "The photo is overexposed",
    ),
    (
        IssueType.LOW_INFORMATION,
        "low_information",
        EntropyProperty(),
        Severity.WARNING,
        "The photo shows next to nothing",
    ),
    (
        IssueType.ODD_ASPECT_RATIO,
        "odd_shape",
        AspectRatioProperty(),
        Severity.NOTE,
        "The photo is a narrow strip",
    ),
)


def unreadable_findings(unreadable: Iterable[tuple[str, PhotoError]]) -> list[Finding]:
    """An error for each photo, by name, that cannot be opened."""
    return [
        Finding(
            "unreadable", Severity.ERROR, f"The photo cannot be opened: {error.reason}.", (name,)
        )
        for name, error in unreadable
    ]


def extension_findings(looks: Sequence[Look]) -> list[Finding]:
    """A warning for each file whose name promises another format than it has."""
    promised = {
        suffix: _SAME.get(name, name) for suffix, name in Image.registered_extensions().items()
    }
    findings = []
    for look in looks:
        suffix = look.photo.path.suffix.lower()
        wanted, found = promised.get(suffix), _SAME.get(look.file.format, look.file.format)
        if wanted and wanted != found:
            findings.append(
                Finding(
                    "wrong_extension",
                    Severity.WARNING,
                    f"A {found} file is named {suffix}: other programs may not open it.",
                    (look.photo.name,),
                    {"format": found, "suffix": suffix},
                )
            )
    return findings


def picture_findings(looks: Sequence[Look]) -> list[Finding]:
    """Dark, overexposed, empty and oddly shaped photos.

    Measures and limits are cleanvision's.
    """
    figures = pd.DataFrame([look.properties for look in looks])
    limits = ImagePropertyIssueManager().get_default_params()
    findings = []
    for issue, kind, measure, severity, words in _ISSUES:
        options = limits[issue.value]
        scores = measure.get_scores(figures, issue.value, **options)
        marked = measure.mark_issue(scores, issue.value, options.get("threshold"))
        for look, odd, value in zip(looks, marked.iloc[:, 0], scores.iloc[:, 0], strict=True):
            if odd:
                findings.append(
                    Finding(
                        kind,
                        severity,
                        f"{words}{_seen(kind, look)}.",
                        (look.photo.name,),
                        {"score": round(float(value), 4)},
                    )
                )
    return findings


def blur_findings(looks: Sequence[Look]) -> list[Finding]:
    """A warning for each photo that is out of focus or was moved."""
    return [
        Finding(
            "blurred",
            Severity.WARNING,
            "The photo is blurred.",
            (look.photo.name,),
            {"blur": round(look.blur, 3)},
        )
        for look in looks
        if look.blur > BLURRED
    ]


def size_findings(looks: Sequence[Look]) -> list[Finding]:
    """A note for each photo that is much larger or smaller than most."""
    sides = np.array([np.sqrt(look.file.width * look.file.height) for look in looks])
    usual = float(np.median(sides))
    return [
        Finding(
            "odd_size",
            Severity.NOTE,
            f"The photo is much {'larger' if side > usual else 'smaller'} than most:"
            f" {look.file.width}×{look.file.height}.",
            (look.photo.name,),
            {"factor": round(float(side / usual), 3)},
        )
        for look, side in zip(looks, sides, strict=True)
        if not 1 / ODD_SIZE < side / usual < ODD_SIZE
    ]


def _seen(kind: str, look: Look) -> str:
    return f": {look.file.width}×{look.file.height}" if kind == "odd_shape" else ""
