"""Find damaged, misnamed, dark, overexposed, blurred and oddly sized photos."""

from collections.abc import Sequence

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
    (EMPTY, EMPTY, EntropyProperty(), Severity.WARNING, "has almost no content"),
    ("odd_aspect_ratio", "odd_shape", AspectRatioProperty(), Severity.NOTE, "is a narrow strip"),
)


def extension_findings(features: Sequence[PhotoFeatures]) -> list[Finding]:
    """Return a warning per file whose suffix does not match its format."""
    expected = Image.registered_extensions()
    findings = []
    for item in features:
        suffix, actual = item.photo.path.suffix.lower(), item.file.format
        actual, named = _ALIASES.get(actual, actual), expected.get(suffix, actual)
        if _ALIASES.get(named, named) != actual:
            message = f"A {actual} file has the extension {suffix}: some programs may not open it."
            details = {"format": actual, "suffix": suffix}
            findings.append(item.finding("wrong_extension", Severity.WARNING, message, **details))
    return findings


def picture_findings(features: Sequence[PhotoFeatures]) -> list[Finding]:
    """Report dark, overexposed, empty and oddly shaped photos, by cleanvision's thresholds."""
    metrics = pd.DataFrame([item.properties for item in features])
    limits = ImagePropertyIssueManager().get_default_params()
    findings = []
    for issue, kind, metric, severity, description in _ISSUES:
        options = limits[issue]
        scores = metric.get_scores(metrics, issue, **options)
        marked = metric.mark_issue(scores, issue, options.get("threshold"))
        for at in np.flatnonzero(marked.iloc[:, 0]).tolist():
            file = features[at].file
            size = f": {file.width}×{file.height}" if kind == "odd_shape" else ""
            message, score = f"The photo {description}{size}.", round(float(scores.iloc[at, 0]), 4)
            findings.append(features[at].finding(kind, severity, message, score=score))
    return findings


def blur_findings(features: Sequence[PhotoFeatures]) -> list[Finding]:
    """Return a warning per blurred photo."""
    return [
        item.finding("blurred", Severity.WARNING, "The photo is blurred.", blur=round(item.blur, 3))
        for item in features
        if item.blur > BLURRED
    ]


def size_findings(features: Sequence[PhotoFeatures]) -> list[Finding]:
    """Return a note per photo that is much larger or smaller than most."""
    sides = np.array([np.sqrt(item.file.width * item.file.height) for item in features])
    findings = []
    for item, factor in zip(features, sides / np.median(sides), strict=True):
        if not 1 / ODD_SIZE < factor < ODD_SIZE:
            relation, size = "larger" if factor > 1 else "smaller", item.file
            message = f"The photo is much {relation} than most: {size.width}×{size.height}."
            details = {"factor": round(float(factor), 3)}
            findings.append(item.finding("odd_size", Severity.NOTE, message, **details))
    return findings
