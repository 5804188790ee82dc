"""Files that are not what they say, and pictures that show little."""

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

from platecheck.audit.features import PhotoFeatures
from platecheck.audit.findings import Finding, Severity
from platecheck.errors import PhotoError

# Formats that go by the name of another one.
_SAME = {"MPO": "JPEG", "DIB": "BMP"}
# A photo's side (the root of its area) is odd from this factor off the median. cleanvision's own
# rule, quartiles, finds every photo odd that is a pixel off where most have one size.
ODD_SIZE = 2.0
# Blur from which on a photo is called blurred. Of 959 real photos none is there; once blurred by 2
# pixels at 256, 95 in 100 are.
BLURRED = 0.57

EMPTY = "low_information"
# cleanvision's sorts of issue: its name, ours, its measure, how bad, and in words.
_ISSUES: tuple[tuple[str, str, ImageProperty, Severity, str], ...] = (
    ("dark", "dark", BrightnessProperty("dark"), Severity.WARNING, "is dark"),
    ("light", "bright", BrightnessProperty("light"), Severity.WARNING, "is overexposed"),
    (EMPTY, EMPTY, EntropyProperty(), Severity.WARNING, "shows next to nothing"),
    ("odd_aspect_ratio", "odd_shape", AspectRatioProperty(), Severity.NOTE, "is a narrow strip"),
)


def unreadable_findings(unreadable: Iterable[tuple[str, PhotoError]]) -> list[Finding]:
    """An error for each photo, by name, that cannot be opened."""
    return [
        Finding(
            "unreadable", Severity.ERROR, f"The photo cannot be opened: {error.reason}.", (name,)
        )
        for name, error in unreadable
    ]


def extension_findings(features: Sequence[PhotoFeatures]) -> list[Finding]:
    """A warning for each file whose name promises another format than it has."""
    promised = {
        suffix: _SAME.get(name, name) for suffix, name in Image.registered_extensions().items()
    }
    findings = []
    for photo_features in features:
        suffix = photo_features.photo.path.suffix.lower()
        wanted, found = (
            promised.get(suffix),
            _SAME.get(photo_features.file.format, photo_features.file.format),
        )
        if wanted and wanted != found:
            words = f"A {found} file is named {suffix}: other programs may not open it."
            kind = "wrong_extension"
            findings.append(
                _of(photo_features, kind, Severity.WARNING, words, format=found, suffix=suffix)
            )
    return findings


def picture_findings(features: Sequence[PhotoFeatures]) -> list[Finding]:
    """Dark, overexposed, empty and oddly shaped photos.

    Measures and limits are cleanvision's.
    """
    figures = pd.DataFrame([photo_features.properties for photo_features in features])
    limits = ImagePropertyIssueManager().get_default_params()
    findings = []
    for issue, kind, measure, severity, words in _ISSUES:
        options = limits[issue]
        scores = measure.get_scores(figures, issue, **options)
        marked = measure.mark_issue(scores, issue, options.get("threshold"))
        for photo_features, odd, value in zip(
            features, marked.iloc[:, 0], scores.iloc[:, 0], strict=True
        ):
            if odd:
                size = (
                    f": {photo_features.file.width}×{photo_features.file.height}"
                    if kind == "odd_shape"
                    else ""
                )
                score = round(float(value), 4)
                findings.append(
                    _of(photo_features, kind, severity, f"The photo {words}{size}.", score=score)
                )
    return findings


def blur_findings(features: Sequence[PhotoFeatures]) -> list[Finding]:
    """A warning for each photo that is out of focus or was moved."""
    return [
        _of(
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
    """A note for each photo that is much larger or smaller than most."""
    sides = np.array(
        [
            np.sqrt(photo_features.file.width * photo_features.file.height)
            for photo_features in features
        ]
    )
    usual = float(np.median(sides))
    return [
        _of(
            photo_features,
            "odd_size",
            Severity.NOTE,
            f"The photo is much {'larger' if side > usual else 'smaller'} than most:"
            f" {photo_features.file.width}×{photo_features.file.height}.",
            factor=round(float(side / usual), 3),
        )
        for photo_features, side in zip(features, sides, strict=True)
        if not 1 / ODD_SIZE < side / usual < ODD_SIZE
    ]


def _of(
    photo_features: PhotoFeatures, kind: str, severity: Severity, message: str, **details: Any
) -> Finding:
    return Finding(kind, severity, message, (photo_features.photo.name,), details)
