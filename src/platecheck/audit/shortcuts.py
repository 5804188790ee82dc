"""How well the class can be told without looking at the dish.

A model learns whatever tells the classes apart. Where the table, the camera or the file format
does, a high accuracy may say nothing about dishes (Geirhos et al., Shortcut learning in deep
neural networks, 2020). Each probe here is a small classifier that sees one such thing and no dish.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict

from platecheck.audit.features import PhotoFeatures
from platecheck.audit.findings import Finding, Severity
from platecheck.evaluation.metrics import wilson_interval

TREES = 100
FOLDS = 5
# Fewer different photos of a class than this, and nothing is said.
FEWEST = 10
# A probe must beat chance by this much of the balanced accuracy, beyond what luck explains: dirt
# on the rim of a dish, or a shadow, may tell a little.
MARGIN = 0.05
# Chance that any probe at all is called a shortcut by luck, in a set that has none.
ALPHA = 0.05

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Probe:
    """Something that is not the dish.

    Attributes:
        name: for machines.
        words: what it is, to begin a sentence with.
        sees: what exactly the classifier is given.
        features: numbers of a photo, or None where it cannot be measured.
    """

    name: str
    words: str
    description: str
    features: Callable[[PhotoFeatures], NDArray[np.floating] | None]


def _file_format(photo_features: PhotoFeatures) -> Floats:
    # A number for each format, the same on every machine.
    return np.array(
        [int.from_bytes(photo_features.file.format.encode()[:6]), photo_features.file.coarseness]
    )


def _image_size(photo_features: PhotoFeatures) -> Floats:
    height, width = photo_features.file.height, photo_features.file.width
    return np.array([height, width, height * width, width / height])


def _file_size(photo_features: PhotoFeatures) -> Floats | None:
    return None if photo_features.table_bytes is None else np.array([photo_features.table_bytes])


PROBES = (
    Probe(
        "border",
        "The table around the dish",
        "the 5 outermost pixels of a thumbnail of 64×64",
        lambda photo_features: photo_features.rim,
    ),
    Probe(
        "table",
        "The table beside the dish",
        "colours and texture of the widest strip beside the dish, where the dish was found well",
        lambda photo_features: photo_features.table,
    ),
    Probe("image_size", "The size of the picture", "height and width in pixels", _image_size),
    Probe(
        "file_size",
        "The size of the file",
        "bytes, less the share that compressing the dish takes",
        _file_size,
    ),
    Probe(
        "file_format",
        "The file format",
        "format and, of a JPEG, how coarsely it was compressed",
        _file_format,
    ),
    Probe(
        "brightness",
        "The brightness of the border",
        "mean and spread of the brightness along the photo's border",
        lambda photo_features: photo_features.light,
    ),
    Probe(
        "sharpness",
        "The sharpness of the border",
        "fine detail along the photo's border",
        lambda photo_features: photo_features.sharpness,
    ),
)


@dataclass(frozen=True)
class Score:
    """How often a probe was right.

    Attributes:
        photos: how many it answered.
        correct: how many of them rightly.
        accuracy: share of these.
        accuracy_ci95: Wilson's 95 % interval of the share.
        majority: share of the commonest class: what no look at all gives.
        balanced_accuracy: the mean over classes of the share found.
        balanced_accuracy_low: what it exceeds unless by luck, all probes considered.
        chance: 1 / number of classes, the balanced accuracy of a guess.
    """

    photos: int
    correct: int
    accuracy: float
    accuracy_ci95: tuple[float, float]
    majority: float
    balanced_accuracy: float
    balanced_accuracy_low: float
    chance: float

    @property
    def tells(self) -> bool:
        """Whether the class can be told this way, by more than luck and :data:`MARGIN`."""
        return self.balanced_accuracy_low > self.chance + MARGIN

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"tells": self.tells}


def score(labels: Ints, answers: Ints, classes: int) -> Score:
    """Compare answers with labels.

    The lower end of the balanced accuracy combines the classes' Wilson intervals (Zou and Donner,
    Construction of confidence intervals about effect measures, 2008), one-sided, and at a level
    divided by the number of questions asked: two a probe (Bonferroni).

    Args:
        labels: [N] index of the true class; each class occurs.
        answers: [N] index of the class answered.
        classes: how many there are.
    """
    correct = int((labels == answers).sum())
    counts = np.bincount(labels, minlength=classes)
    right = np.bincount(labels[labels == answers], minlength=classes)
    rates, level = right / counts, 1 - ALPHA / len(PROBES)
    ends = (wilson_interval(int(k), int(n), level) for k, n in zip(right, counts, strict=True))
    lows = np.array([low for low, _ in ends])
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
    """What a probe found.

    Attributes:
        probe: which.
        inside: cross-validated inside the training photos.
        outside: learned from the training photos and tried on the others; None where there are
            none, or too few.
    """

    probe: Probe
    inside: Score
    outside: Score | None

    @property
    def found(self) -> bool:
        """Whether it is a shortcut."""
        return self.inside.tells or (self.outside is not None and self.outside.tells)

    @property
    def telling(self) -> Score:
        """The score to be quoted: on other photos if that shows it, else inside training."""
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
    """Try probes.

    Photos that are near-identical stay together in one fold, and those near-identical to a
    training photo are not tried on.

    Args:
        looks: of all photos.
        groups: number of each photo's group of near-identical photos.
        classes: how many there are.
        learn_from: the split whose photos are learned from.
        probes: what to try.
        seed: of folds and forests.
        on_probe: called after each probe.

    Returns:
        One result a probe, without those that too few photos allow.
    """
    results = []
    for probe in probes:
        result = _try(
            probe, features, np.asarray(groups), classes, learn_from=learn_from, seed=seed
        )
        if result:
            results.append(result)
        if on_probe:
            on_probe()
    return results


def _try(
    probe: Probe,
    features: Sequence[PhotoFeatures],
    groups: Ints,
    classes: int,
    *,
    learn_from: str,
    seed: int,
) -> ProbeResult | None:
    measured = [
        (numbers, photo_features, int(group))
        for photo_features, group in zip(features, groups, strict=True)
        if (numbers := probe.features(photo_features)) is not None
    ]
    if not measured:
        return None
    values = np.array([numbers for numbers, _, _ in measured], float)
    labels = np.array([photo_features.photo.label for _, photo_features, _ in measured])
    group = np.array([group for _, _, group in measured])
    known = np.array(
        [photo_features.photo.split == learn_from for _, photo_features, _ in measured]
    )
    if not enough(labels[known], group[known], classes):
        return None
    forest = _forest(values.shape[1], seed)
    answers = cross_val_predict(
        forest, values[known], labels[known], groups=group[known], cv=folds(seed)
    )
    inside = score(labels[known], answers, classes)
    other = ~known & ~np.isin(group, group[known])
    outside = None
    if enough(labels[other], group[other], classes):
        forest.fit(values[known], labels[known])
        outside = score(labels[other], forest.predict(values[other]), classes)
    return ProbeResult(probe, inside, outside)


def enough(labels: Ints, groups: Ints, classes: int) -> bool:
    """Whether there are :data:`FEWEST` different photos of each class; groups are of one photo."""
    return all(len(np.unique(groups[labels == k])) >= FEWEST for k in range(classes))


def folds(seed: int) -> StratifiedGroupKFold:
    """How photos are cross-validated: near-identical ones stay in one fold."""
    return StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)


def _forest(numbers: int, seed: int) -> RandomForestClassifier:
    """Many numbers: a plain random forest. Few: one that cannot learn single photos by heart."""
    many = numbers > 10
    return RandomForestClassifier(
        TREES if many else TREES // 2,
        min_samples_leaf=1 if many else 5,
        class_weight="balanced",
        random_state=seed,
        n_jobs=1,
    )


def verdict(result: ProbeResult, *, others: Sequence[str]) -> str:
    """A plain sentence about a probe.

    Args:
        result: of the probe.
        others: names of the splits that it was tried on.
    """
    told = result.telling
    names = " and ".join(f"'{name}'" for name in others)
    where = f"on {names}" if told is result.outside else "when cross-validated in training"
    words = result.probe.words
    if not result.found:
        return (
            f"{words} does not tell the class: {told.accuracy:.0%} of the answers {where}, where"
            f" the commonest class alone gives {told.majority:.0%}."
        )
    if told.accuracy_ci95[0] > told.majority:
        gain = f"gives {told.accuracy:.0%} of the answers {where}"
        against = f"the commonest class alone gives {told.majority:.0%}"
    else:
        share = f"a balanced accuracy of {told.balanced_accuracy:.0%}"
        gain = f"tells the classes apart with {share} {where}"
        against = f"a guess gives {told.chance:.0%}"
    return (
        f"{words} alone {gain} ({against}): a model trained on this can score high without seeing"
        " a dish."
    )


def shortcut_findings(results: Sequence[ProbeResult], *, others: Sequence[str]) -> list[Finding]:
    """An error for each shortcut."""
    return [
        Finding(
            "shortcut",
            Severity.ERROR,
            verdict(result, others=others),
            details={
                "probe": result.probe.name,
                "accuracy": result.telling.accuracy,
                "accuracy_ci95": list(result.telling.accuracy_ci95),
                "majority": result.telling.majority,
                "balanced_accuracy": result.telling.balanced_accuracy,
            },
        )
        for result in results
        if result.found
    ]
