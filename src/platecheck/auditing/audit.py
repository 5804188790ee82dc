"""Run all checks of an audit and collect their findings."""

import os
import shlex
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from platecheck.auditing.duplicates import (
    duplicate_findings,
    find_groups,
    group_numbers,
    suggest_exclusions,
)
from platecheck.auditing.features import extract_all_features
from platecheck.auditing.findings import Finding, Severity
from platecheck.auditing.labels import cross_validated, label_findings
from platecheck.auditing.quality import (
    blur_findings,
    extension_findings,
    picture_findings,
    size_findings,
)
from platecheck.auditing.shortcuts import (
    PROBES,
    ProbeResult,
    find_shortcuts,
    shortcut_findings,
    verdict,
)
from platecheck.classifier import Classifier
from platecheck.data.exclusions import Exclusion
from platecheck.data.folders import PhotoSet, base_of, checked, list_photos
from platecheck.data.segmentation import MaskCache
from platecheck.data.splits import apply_split

Stage = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]
"""Called with a stage's title and number of steps; yields a callback for the steps just done."""


@dataclass(frozen=True)
class Audit:
    """Result of an audit.

    Attributes:
        probes: one result per shortcut probe; empty if there are too few photos.
        label_accuracy: agreement of the labels with the cross-validated model, 0 to 1; None if
            labels were not checked.
    """

    photos: PhotoSet  # the readable ones
    findings: tuple[Finding, ...]  # most severe first
    probes: tuple[ProbeResult, ...]
    learned_from: str  # the split that the probes were trained on
    tried_on: tuple[str, ...]
    label_accuracy: float | None
    label_notes: tuple[str, ...]
    exclusions: tuple[Exclusion, ...]

    @property
    def verdict(self) -> str:
        """One sentence on the strongest shortcut, if there is any."""
        if not self.probes:
            return "Too few photos to test whether the class can be predicted without the dish."
        found = [probe for probe in self.probes if probe.found]
        if not found:
            return (
                "No shortcut was found: background, camera and file properties do not predict the"
                " class."
            )
        strongest = max(found, key=lambda probe: probe.telling.balanced_accuracy)
        return verdict(strongest, others=self.tried_on)

    @property
    def severities(self) -> dict[str, int]:
        """Number of findings by severity."""
        counts = Counter(finding.severity for finding in self.findings)
        return {str(severity): counts[severity] for severity in Severity}

    def next_steps(self, exclusion_list: Path | None = None) -> list[str]:
        """Return suggested shell commands; `exclusion_list` if one has been written."""
        recipe = "plate" if any(probe.found for probe in self.probes) else "efficientnet_lite2"
        folder, path = str(self.photos.folder), str(exclusion_list or "exclude.csv")
        commands = [["platecheck", "train", recipe, "--data", folder]]
        if self.exclusions:
            commands[0] += ["--exclude", path]
            if exclusion_list is None:
                commands.insert(0, ["platecheck", "audit", folder, "--write-exclusions", path])
        return [shlex.join(command) for command in commands]

    def fails(self, limit: Severity) -> bool:
        """Return whether any finding is at least as severe as `limit`."""
        order = list(Severity)
        return any(order.index(each.severity) <= order.index(limit) for each in self.findings)

    def as_dict(self) -> dict[str, Any]:
        """Return the audit as JSON data; the keys are stable."""
        return {
            "folder": str(self.photos.folder),
            "photos": len(self.photos.photos),
            "classes": list(self.photos.classes),
            "counts": self.photos.counts(),
            "unreadable": len(self.photos.unreadable),
            "verdict": self.verdict,
            "severities": self.severities,
            "kinds": dict(sorted(Counter(finding.kind for finding in self.findings).items())),
            "findings": [finding.as_dict() for finding in self.findings],
            "shortcuts": [
                {
                    "probe": result.probe.name,
                    "sees": result.probe.description,
                    "found": result.found,
                    "sentence": verdict(result, others=self.tried_on),
                    "cross_validated": result.inside.as_dict() | {"splits": [self.learned_from]},
                    "tested": result.outside
                    and result.outside.as_dict() | {"splits": list(self.tried_on)},
                }
                for result in self.probes
            ],
            "labels": {"accuracy": self.label_accuracy, "notes": list(self.label_notes)},
            "exclusions": [asdict(exclusion) for exclusion in self.exclusions],
        }


def _quietly(_title: str, _steps: int) -> AbstractContextManager[Callable[[int], None]]:
    return nullcontext(lambda _: None)


def audit(folder: Path, *, seed: int = 0, stage: Stage = _quietly) -> Audit:
    """Audit a dataset; the result depends only on the photos and the seed.

    Raises:
        DataError: no such folder, no photos, or a class without readable photos.
        PhotoError: a photo was deleted during the audit.
    """
    listed = list_photos(folder)
    with stage("reading", len(listed.photos)) as advance:
        photos = checked(listed, on_photo=lambda: advance(1))
    with stage("extracting features", len(photos.photos)) as advance:
        features = extract_all_features(photos.photos, MaskCache(), on_photo=lambda: advance(1))
    classifier = Classifier.load()
    with stage("predicting", len(photos.photos)) as advance:
        predictions = _predict(classifier, photos, advance)
    numbers = group_numbers(features)
    sizes = Counter(photo.split for photo in photos.photos)
    learn_from = "train" if "train" in sizes else max(sorted(sizes), key=sizes.__getitem__)
    with stage("testing shortcuts", len(PROBES) * len(features)) as advance:
        probes = find_shortcuts(
            features,
            numbers,
            len(photos.classes),
            learn_from=learn_from,
            seed=seed,
            on_probe=lambda: advance(len(features)),
        )
    tried_on = tuple(split for split in photos.splits if split != learn_from)
    probabilities = cross_validated(features, numbers, predictions, seed=seed)
    label_errors, label_accuracy = [], None
    if probabilities is not None:
        label_errors = label_findings(features, probabilities, photos.classes)
        labels = np.array([item.photo.label for item in features])
        label_accuracy = float((probabilities.argmax(axis=1) == labels).mean())
    groups = find_groups(features)
    unreadable = _unreadable_findings(photos)
    findings = [
        *duplicate_findings(groups, photos.classes),
        *unreadable,
        *shortcut_findings(probes, others=tried_on),
        *extension_findings(features),
        *label_errors,
        *picture_findings(features),
        *blur_findings(features),
        *size_findings(features),
    ]
    return Audit(
        photos=photos,
        findings=tuple(sorted(findings, key=lambda each: list(Severity).index(each.severity))),
        probes=tuple(probes),
        learned_from=learn_from,
        tried_on=tried_on,
        label_accuracy=label_accuracy,
        label_notes=_label_notes(classifier, photos, checked=probabilities is not None),
        exclusions=tuple(suggest_exclusions(groups, [each.photos[0] for each in unreadable])),
    )


def _unreadable_findings(photos: PhotoSet) -> list[Finding]:
    findings, base = [], base_of(photos.folder)
    for error in photos.unreadable:
        name = Path(os.path.relpath(error.source, base)).as_posix()
        message = f"The photo cannot be opened: {error.reason}."
        findings.append(Finding("unreadable", Severity.ERROR, message, (name,)))
    return findings


def _predict(
    classifier: Classifier, photos: PhotoSet, advance: Callable[[int], None]
) -> np.ndarray[Any, np.dtype[np.float32]]:
    rows = []
    for prediction in classifier.predict_many(photo.path for photo in photos.photos):
        if prediction.error:
            raise prediction.error
        rows.append(list(prediction.probabilities.values()))
        advance(1)
    return np.array(rows, np.float32)


def _label_notes(classifier: Classifier, photos: PhotoSet, *, checked: bool) -> tuple[str, ...]:
    if not checked:
        return ("Too few photos of a class to say which labels may be wrong.",)
    notes = [
        "Each photo was classified by a cross-validated logistic regression on colours, texture"
        " and blemishes of the dish and on the prediction of the bundled model"
        f" ({classifier.info.recipe}, {classifier.info.network})."
    ]
    known = apply_split(photos, classifier.info.split_info).fingerprint()
    if known == classifier.info.data_fingerprint:
        notes.append(
            "The bundled model was trained on these photos: label errors that it has memorized may"
            " be missed."
        )
    return tuple(notes)
