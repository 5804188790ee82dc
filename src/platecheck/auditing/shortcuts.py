"""Find shortcuts: measure how well the class can be predicted without the dish.

A model learns any predictive feature. If the background, camera or file format is one, a high
accuracy says nothing about dishes (Geirhos et al., Shortcut learning in deep neural networks,
2020). Each probe is a small classifier on one such property, without the dish.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from operator import attrgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict

from platecheck.auditing.features import PhotoFeatures
from platecheck.auditing.findings import Finding, Severity
from platecheck.evaluation.metrics import wilson_interval

TREES = 100
FOLDS = 5
# Minimum number of distinct photos per class.
MIN_PHOTOS = 10
# The lower bound of a probe's balanced accuracy must exceed chance by this margin: dirt at the edge
# of a photo, or a shadow, is slightly predictive.
MARGIN = 0.05
# Probability of any false positive among all probes on a dataset without shortcuts.
ALPHA = 0.05

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Probe:
    """A property of photos other than the dish; its title starts a sentence.

    `features` returns the feature vector of a photo, or None if it cannot be computed.
    """

    name: str
    title: str
    description: str
    features: Callable[[PhotoFeatures], NDArray[np.floating] | None]


def _file_format(item: PhotoFeatures) -> Floats:
    # A number per format, the same on every machine.
    return np.array([int.from_bytes(item.file.format.encode()[:6]), item.file.coarseness])


def _image_size(item: PhotoFeatures) -> Floats:
    height, width = item.file.height, item.file.width
    return np.array([height, width, height * width, width / height])


def _file_size(item: PhotoFeatures) -> Floats | None:
    return None if item.background_bytes is None else np.array([item.background_bytes])


PROBES = (
    Probe(
        "border",
        "The background around the dish",
        "the 5 outermost pixels of a 64×64 thumbnail",
        attrgetter("rim"),
    ),
    Probe(
        "table",
        "The background beside the dish",
        "colours and texture of the widest strip beside the dish, if it was segmented well",
        attrgetter("background"),
    ),
    Probe("image_size", "The image size", "height and width in pixels", _image_size),
    Probe(
        "file_size",
        "The file size",
        "bytes, without the dish's share of the compressed data",
        _file_size,
    ),
    Probe(
        "file_format",
        "The file format",
        "format and, for JPEG, the strength of compression",
        _file_format,
    ),
    Probe(
        "brightness",
        "The brightness of the border",
        "mean and spread of the brightness along the photo's border",
        attrgetter("light"),
    ),
    Probe(
        "sharpness",
        "The sharpness of the border",
        "fine detail along the photo's border",
        attrgetter("sharpness"),
    ),
)


@dataclass(frozen=True)
class Score:
    """Accuracy of a probe."""

    photos: int
    correct: int
    accuracy: float
    accuracy_ci95: tuple[float, float]  # 95 % Wilson interval of the accuracy
    majority: float  # accuracy of always predicting the most frequent class
    balanced_accuracy: float  # mean recall of the classes
    balanced_accuracy_low: float  # its lower confidence bound, corrected for the number of probes
    chance: float  # 1 / number of classes, the balanced accuracy of guessing

    @property
    def tells(self) -> bool:
        """Whether the property predicts the class, significantly and by `MARGIN`."""
        return self.balanced_accuracy_low > self.chance + MARGIN

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"tells": self.tells}


def score(labels: Ints, predictions: Ints, classes: int) -> Score:
    """Compute the accuracy of predicted class indices; each class occurs in `labels`.

    The lower bound of the balanced accuracy combines the classes' one-sided Wilson intervals (Zou
    and Donner, Construction of confidence intervals about effect measures, 2008), Bonferroni-
    corrected for two tests per probe.
    """
    correct = int((labels == predictions).sum())
    counts = np.bincount(labels, minlength=classes)
    hits = np.bincount(labels[labels == predictions], minlength=classes)
    rates, level = hits / counts, 1 - ALPHA / len(PROBES)
    intervals = (wilson_interval(int(k), int(n), level) for k, n in zip(hits, counts, strict=True))
    lows = np.array([low for low, _ in intervals])
    return Score(
        photos=len(labels),
        correct=correct,
        accuracy=correct / len(labels),
        accuracy_ci95=wilson_interval(correct, len(labels)),
        majority=float(counts.max() / len(labels)),
        balanced_accuracy=float(rates.mean()),
        balanced_accuracy_low=float(rates.mean() - np.sqrt(((rates - lows) ** 2).sum()) / classes),
        chance=1 / classes,
    )


@dataclass(frozen=True)
class ProbeResult:
    """Scores of a probe."""

    probe: Probe
    inside: Score  # cross-validated on the training photos
    outside: Score | None  # on the other photos; None if there are too few

    @property
    def found(self) -> bool:
        return self.inside.tells or (self.outside is not None and self.outside.tells)

    @property
    def telling(self) -> Score:
        """The score to report: on other photos if that shows the shortcut, else cross-validated."""
        if self.outside is not None and (self.outside.tells or not self.inside.tells):
            return self.outside
        return self.inside


def find_shortcuts(
    features: Sequence[PhotoFeatures],
    groups: Sequence[int],
    classes: int,
    *,
    learn_from: str,
    probes: Sequence[Probe] = PROBES,
    seed: int = 0,
    on_probe: Callable[[], None] | None = None,
) -> list[ProbeResult]:
    """Train probes on a split and test them on the others; skip those with too few photos.

    Near-identical photos share a group number and stay in one fold; those near-identical to a
    training photo are not tested on.
    """
    results = []
    for probe in probes:
        vectors = [probe.features(item) for item in features]
        measured = [at for at, vector in enumerate(vectors) if vector is not None]
        labels = np.array([features[at].photo.label for at in measured], int)
        known = np.array([features[at].photo.split == learn_from for at in measured], bool)
        group = np.asarray(groups)[measured]
        if enough(labels[known], group[known], classes):
            values = np.array([vectors[at] for at in measured], float)
            forest = _forest(values.shape[1], seed)
            predictions = cross_val_predict(
                forest, values[known], labels[known], groups=group[known], cv=folds(seed)
            )
            inside, outside = score(labels[known], predictions, classes), None
            other = ~known & ~np.isin(group, group[known])
            if enough(labels[other], group[other], classes):
                forest.fit(values[known], labels[known])
                outside = score(labels[other], forest.predict(values[other]), classes)
            results.append(ProbeResult(probe, inside, outside))
        if on_probe:
            on_probe()
    return results


def enough(labels: Ints, groups: Ints, classes: int) -> bool:
    """Return whether each class has photos in at least `MIN_PHOTOS` different groups."""
    return all(len(np.unique(groups[labels == k])) >= MIN_PHOTOS for k in range(classes))


def folds(seed: int) -> StratifiedGroupKFold:
    """Return the cross-validation folds, which keep groups of near-identical photos together."""
    return StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)


def _forest(numbers: int, seed: int) -> RandomForestClassifier:
    """Return a random forest, regularized more strongly if there are few features."""
    many = numbers > 10
    return RandomForestClassifier(
        TREES if many else TREES // 2,
        min_samples_leaf=1 if many else 5,
        class_weight="balanced",
        random_state=seed,
        n_jobs=1,
    )


def verdict(result: ProbeResult, *, others: Sequence[str]) -> str:
    """Summarize the result of a probe in one sentence; `others` are the splits it was tested on."""
    reported = result.telling
    names = " and ".join(f"'{name}'" for name in others)
    where = f"on {names}" if reported is result.outside else "when cross-validated in training"
    title = result.probe.title
    if not result.found:
        return (
            f"{title} does not predict the class: accuracy {reported.accuracy:.0%} {where},"
            f" {reported.majority:.0%} for the most frequent class."
        )
    if reported.accuracy_ci95[0] > reported.majority:
        gain = f"an accuracy of {reported.accuracy:.0%} {where}"
        baseline = f"most frequent class: {reported.majority:.0%}"
    else:
        gain = f"a balanced accuracy of {reported.balanced_accuracy:.0%} {where}"
        baseline = f"chance: {reported.chance:.0%}"
    return (
        f"{title} alone gives {gain} ({baseline}): a model trained on this dataset can score high"
        " without seeing a dish."
    )


def shortcut_findings(results: Sequence[ProbeResult], *, others: Sequence[str]) -> list[Finding]:
    """Return an error per shortcut."""
    findings = []
    for result in results:
        if result.found:
            told = result.telling
            details = {
                "probe": result.probe.name,
                "accuracy": told.accuracy,
                "accuracy_ci95": list(told.accuracy_ci95),
                "majority": told.majority,
                "balanced_accuracy": told.balanced_accuracy,
            }
            message = verdict(result, others=others)
            findings.append(Finding("shortcut", Severity.ERROR, message, details=details))
    return findings
