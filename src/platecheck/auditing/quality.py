"""Find damaged, misnamed, dark, overexposed, blurred and oddly sized photos."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from cleanvision.issue_managers.image_property import (
    AspectRatioProperty,
    BrightnessProperty,
    EntropyProperty,
    ImageProperty,
)
from cleanvision.issue_managers.image_property_issue_manager import ImagePropertyIssueManager
from PIL import Image

from platecheck.auditing.features import PhotoFeatures
from platecheck.auditing.findings import Finding, Severity
from platecheck.errors import PhotoError

# Variants that count as another format.
_ALIASES = {"MPO": "JPEG", "DIB": "BMP"}
# Factor between a photo's side (the root of its area) and the median from which it is reported.
# cleanvision's rule, quartiles, reports every photo a pixel off if most have the same size.
ODD_SIZE = 2.0
# Blur above which a photo is reported: none of 959 real photos, but 95 % of them after a Gaussian
# blur of 2 pixels at 256.
BLURRED = 0.57

EMPTY = "low_information"
# cleanvision's issue type, our finding kind, its metric, severity and message.
_ISSUES: tuple[tuple[str, str, ImageProperty, Severity, str], ...] = (
    ("dark", "dark", BrightnessProperty("dark"), Severity.WARNING, "is dark"),
    ("light", "bright", BrightnessProperty("light"), Severity.WARNING, "is overexposed"),
    (EMPTY, EMPTY, EntropyProperty(), Severity.WARNING, "shows next to nothing"),
    ("odd_aspect_ratio", "odd_shape", AspectRatioProperty(), Severity.NOTE, "is a narrow strip"),
)


def unreadable_findings(unreadable: Iterable[tuple[str, PhotoError]]) -> list[Finding]:
    """Return an error per photo that cannot be opened, given as (name, error)."""
    return [
        Finding(
            "unreadable", Severity.ERROR, f"The photo cannot be opened: {error.reason}.", (name,)
        )
        for name, error in unreadable
    ]


def extension_findings(features: Sequence[PhotoFeatures]) -> list[Finding]:
    """Return a warning per file whose suffix does not match its format."""
    expected_formats = {
        suffix: _ALIASES.get(name, name) for suffix, name in Image.registered_extensions().items()
    }
    findings = []
    for photo_features in features:
        suffix = photo_features.photo.path.suffix.lower()
        expected = expected_formats.get(suffix)
        actual = _ALIASES.get(photo_features.file.format, photo_features.file.format)
        if expected and expected != actual:
            message = f"A {actual} file has the suffix {suffix}: other programs may not open it."
            kind = "wrong_extension"
            findings.append(
                _finding(
                    photo_features, kind, Severity.WARNING, message, format=actual, suffix=suffix
                )
            )
    return findings


def picture_findings(features: Sequence[PhotoFeatures]) -> list[Finding]:
    """Report dark, overexposed, empty and oddly shaped photos, by cleanvision's thresholds."""
    metrics = pd.DataFrame([photo_features.properties for photo_features in features])
    limits = ImagePropertyIssueManager().get_default_params()
    findings = []
    for issue, kind, metric, severity, description in _ISSUES:
        options = limits[issue]
        scores = metric.get_scores(metrics, issue, **options)
        marked = metric.mark_issue(scores, issue, options.get("threshold"))
        for photo_features, is_issue, value in zip(
            features, marked.iloc[:, 0], scores.iloc[:, 0], strict=True
        ):
            if is_issue:
                size = (
                    f": {photo_features.file.width}×{photo_features.file.height}"
                    if kind == "odd_shape"
                    else ""
                )
                score = round(float(value), 4)
                message = f"The photo {description}{size}."
                findings.append(_finding(photo_features, kind, severity, message, score=score))
    return findings


def blur_findings(features: Sequence[PhotoFeatures]) -> list[Finding]:
    """Return a warning per blurred photo."""
    return [
        _finding(
            photo_features,
            "blurred",
            Severity.WARNING,
            "The photo is blurred.",
            blur=round(photo_features.blur, 3),
        )
        for photo_features in features
        if photo_features.blur > BLURRED
    ]


def size_findings(features: Sequence[PhotoFeatures]) -> list[Finding]:
    """Return a note per photo that is much larger or smaller than most."""
    sides = np.array(
        [
            np.sqrt(photo_features.file.width * photo_features.file.height)
            for photo_features in features
        ]
    )
    median = float(np.median(sides))
    return [
        _finding(
            photo_features,
            "odd_size",
            Severity.NOTE,
            f"The photo is much {'larger' if side > median else 'smaller'} than most:"
            f" {photo_features.file.width}×{photo_features.file.height}.",
            factor=round(float(side / median), 3),
        )
        for photo_features, side in zip(features, sides, strict=True)
        if not 1 / ODD_SIZE < side / median < ODD_SIZE
    ]


def _finding(
    photo_features: PhotoFeatures, kind: str, severity: Severity, message: str, **details: Any
) -> Finding:
    return Finding(kind, severity, message, (photo_features.photo.name,), details)
