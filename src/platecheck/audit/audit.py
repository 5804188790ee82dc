"""The audit as a whole: look at every photo once, then ask what is wrong."""

import os
import shlex
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from platecheck.audit.duplicates import (
    duplicate_findings,
    find_groups,
    group_numbers,
    suggest_exclusions,
)
from platecheck.audit.features import extract_all_features
from platecheck.audit.findings import Finding, Severity, worst_first
from platecheck.audit.labels import cross_validated, label_findings
from platecheck.audit.quality import (
    blur_findings,
    extension_findings,
    picture_findings,
    size_findings,
    unreadable_findings,
)
from platecheck.audit.shortcuts import (
    PROBES,
    ProbeResult,
    find_shortcuts,
    shortcut_findings,
    verdict,
)
from platecheck.classifier import Classifier, stream_probabilities
from platecheck.data.exclusions import Exclusion
from platecheck.data.folders import PhotoSet, base_of, checked, list_photos
from platecheck.data.segmentation import MaskCache
from platecheck.data.splits import apply_split
from platecheck.errors import PhotoError

Stage = Callable[[str, int], AbstractContextManager[Callable[[int], None]]]
"""Told a stage's title and number of steps; gives what is called with the steps just done."""


@dataclass(frozen=True)
class Audit:
    """What is wrong with a set of photos.

    Attributes:
        photos: those that can be read.
        findings: the worst first.
        probes: one result for each thing that is not the dish; empty with too few photos.
        learned_from: the split that shortcuts were learned from.
        tried_on: the other splits.
        label_accuracy: share of labels that the cross-validated model agrees with; None where
            labels were not looked into.
        label_notes: how labels were looked into, in plain sentences.
        exclusions: photos that had better be left out.
    """

    photos: PhotoSet
    findings: tuple[Finding, ...]
    probes: tuple[ProbeResult, ...]
    learned_from: str
    tried_on: tuple[str, ...]
    label_accuracy: float | None
    label_notes: tuple[str, ...]
    exclusions: tuple[Exclusion, ...]

    @property
    def verdict(self) -> str:
        """One plain sentence on shortcuts: the strongest, or that there is none."""
        if not self.probes:
            return "Too few photos to say whether the class can be told without seeing a dish."
        found = [probe for probe in self.probes if probe.found]
        if not found:
            return (
                "No shortcut was found: neither the table nor the camera nor the files tell the"
                " class."
            )
        strongest = max(found, key=lambda probe: probe.telling.balanced_accuracy)
        return verdict(strongest, others=self.tried_on)

    @property
    def severities(self) -> dict[str, int]:
        """Number of findings by severity."""
        counted = Counter(finding.severity for finding in self.findings)
        return {str(severity): counted[severity] for severity in Severity}

    def next_steps(self, table: Path | None = None) -> list[str]:
        """Shell lines that go on from here; `table` of photos to leave out, if it was written."""
        recipe = "plate" if any(probe.found for probe in self.probes) else "efficientnet_lite2"
        folder, listed = str(self.photos.folder), str(table or "exclude.csv")
        lines = [["platecheck", "train", recipe, "--data", folder]]
        if self.exclusions:
            lines[0] += ["--exclude", listed]
            if table is None:
                lines.insert(0, ["platecheck", "audit", folder, "--write-exclusions", listed])
        return [shlex.join(line) for line in lines]

    def fails(self, limit: Severity) -> bool:
        """Whether anything as bad as `limit`, or worse, was found."""
        return any(finding.severity.at_least(limit) for finding in self.findings)

    def as_dict(self) -> dict[str, Any]:
        """For JSON; keys are only ever added."""
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
            "shortcuts": [self._probe_as_dict(probe) for probe in self.probes],
            "labels": {"accuracy": self.label_accuracy, "notes": list(self.label_notes)},
            "exclusions": [asdict(exclusion) for exclusion in self.exclusions],
        }

    def _probe_as_dict(self, result: ProbeResult) -> dict[str, Any]:
        return {
            "probe": result.probe.name,
            "sees": result.probe.description,
            "found": result.found,
            "sentence": verdict(result, others=self.tried_on),
            "cross_validated": result.inside.as_dict() | {"splits": [self.learned_from]},
            "tested": result.outside and result.outside.as_dict() | {"splits": list(self.tried_on)},
        }


@contextmanager
def _quietly(_title: str, _steps: int) -> Iterator[Callable[[int], None]]:
    yield lambda _: None


def audit(folder: Path, *, seed: int = 0, stage: Stage = _quietly) -> Audit:
    """Find out what is wrong with photos sorted into folders.

    The answer depends on the photos and the seed alone.

    Args:
        folder: holds ``{split}/{class}/…`` or ``{class}/…``.
        seed: of folds and forests.
        stage: shows progress.

    Raises:
        DataError: no such folder, no photos, or a class without a photo that can be read.
        PhotoError: a photo went away meanwhile.
    """
    listed = list_photos(folder)
    with stage("reading", len(listed.photos)) as advance:
        photos = checked(listed, on_photo=lambda: advance(1))
    with stage("looking", len(photos.photos)) as advance:
        features = extract_all_features(photos.photos, MaskCache(), on_photo=lambda: advance(1))
    classifier = Classifier.load()
    with stage("answering", len(photos.photos)) as advance:
        answers = _answers(classifier, photos, advance)
    numbers = group_numbers(features)
    learn_from = _to_learn_from(photos)
    with stage("trying shortcuts", len(PROBES) * len(features)) as advance:
        probes = find_shortcuts(
            features,
            numbers,
            len(photos.classes),
            learn_from=learn_from,
            seed=seed,
            on_probe=lambda: advance(len(features)),
        )
    tried_on = tuple(split for split in photos.splits if split != learn_from)
    probabilities = cross_validated(features, numbers, answers, seed=seed)
    doubts, agreed = [], None
    if probabilities is not None:
        doubts = label_findings(features, probabilities, photos.classes)
        labels = np.array([photo_features.photo.label for photo_features in features])
        agreed = float((probabilities.argmax(axis=1) == labels).mean())
    groups = find_groups(features)
    unreadable = [(_name(error, photos), error) for error in photos.unreadable]
    findings = [
        *duplicate_findings(groups, photos.classes),
        *unreadable_findings(unreadable),
        *shortcut_findings(probes, others=tried_on),
        *extension_findings(features),
        *doubts,
        *picture_findings(features),
        *blur_findings(features),
        *size_findings(features),
    ]
    return Audit(
        photos=photos,
        findings=worst_first(findings),
        probes=tuple(probes),
        learned_from=learn_from,
        tried_on=tried_on,
        label_accuracy=agreed,
        label_notes=_label_notes(classifier, photos, looked_into=probabilities is not None),
        exclusions=tuple(suggest_exclusions(groups, [name for name, _ in unreadable])),
    )


def _to_learn_from(photos: PhotoSet) -> str:
    """``train``, or else the split with the most photos."""
    sizes = Counter(photo.split for photo in photos.photos)
    return "train" if "train" in sizes else max(sorted(sizes), key=lambda split: sizes[split])


def _answers(
    classifier: Classifier, photos: PhotoSet, advance: Callable[[int], None]
) -> np.ndarray[Any, np.dtype[np.float32]]:
    rows = []
    for _, row in stream_probabilities(classifier, [photo.path for photo in photos.photos]):
        if isinstance(row, PhotoError):
            raise row
        rows.append(row)
        advance(1)
    return np.array(rows)


def _label_notes(classifier: Classifier, photos: PhotoSet, *, looked_into: bool) -> tuple[str, ...]:
    if not looked_into:
        return ("Too few photos of a class to say which labels may be wrong.",)
    notes = [
        "Each photo was judged by a logistic regression that had not seen it, on colours, texture"
        " and blemishes of the dish and on the answer of the shipped model"
        f" ({classifier.info.recipe}, {classifier.info.network})."
    ]
    known = apply_split(photos, classifier.info.split_info).fingerprint()
    if known == classifier.info.data_fingerprint:
        notes.append(
            "The shipped model was trained on these very photos: wrong labels that it has learned"
            " there may be missed."
        )
    return tuple(notes)


def _name(error: PhotoError, photos: PhotoSet) -> str:
    return Path(os.path.relpath(error.source, base_of(photos.folder))).as_posix()
