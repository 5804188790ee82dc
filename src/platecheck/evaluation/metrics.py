"""Compute metrics from probabilities or decisions and labels, of any model."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator, BaseModel, ConfigDict, model_serializer

from platecheck.errors import DataError, MissingExtraError
from platecheck.model_info import NO_DISH, UNSURE

try:
    from scipy.stats import binomtest
    from sklearn import metrics as sk
except ModuleNotFoundError as error:
    raise MissingExtraError("Evaluation", "evaluate") from error

FloatArray = NDArray[np.floating[Any]]
IntArray = NDArray[np.integer[Any]]

SIGNIFICANCE_LEVEL = 0.05
ROW_SUM_TOLERANCE = 1e-3  # half-precision and quantized models round their softmax


class Frozen(BaseModel):
    """Immutable metrics."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Proportion(Frozen):
    """A count out of a total."""

    count: int
    total: int

    @classmethod
    def of(cls, counted: NDArray[np.bool_], **fields: Any) -> Self:
        """Count the true values of an array; `fields` are those that a subclass adds."""
        return cls(count=int(counted.sum()), total=counted.size, **fields)

    @property
    def value(self) -> float | None:
        """count / total; None if the total is 0."""
        return self.count / self.total if self.total else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % Wilson score interval; None if the total is 0."""
        return wilson_interval(self.count, self.total) if self.total else None

    @model_serializer
    def _as_json(self) -> dict[str, Any]:
        return {"count": self.count, "of": self.total, "share": self.value, "ci95": self.interval}

    def __str__(self) -> str:
        if self.value is None or self.interval is None:
            return "none"
        low, high = self.interval
        return f"{self.count}/{self.total} = {self.value:.2%}  ({low:.1%} to {high:.1%})"


class DecisionMetrics(Frozen):
    """Metrics of decisions, which may also be *unsure* or *not a dish*.

    Attributes:
        wrong: by class, false discoveries among photos given that class. For ``clean``, these are
            dirty dishes that would be used.
        missed: by class, photos of the class given another one. For ``clean``, these are false
            alarms.
    """

    coverage: Proportion  # photos given a class
    accuracy: Proportion  # correct ones among these
    unsure: Proportion
    no_dish: Proportion
    wrong: dict[str, Proportion]
    missed: dict[str, Proportion]


class ClassMetrics(Frozen):
    """Precision, recall and F1 of one class, in [0, 1], and its number of photos."""

    precision: float
    recall: float
    f1: float
    support: int


class MajorityBaseline(Frozen):
    """Accuracy of always predicting the most frequent class, and whether the model beats it.

    Attributes:
        verdict: ``better``, ``not better``, ``not told apart`` (more correct, but p_value is 0.05
            or more) or ``too few photos`` (even a perfect model would not reach 0.05).
    """

    predicted: str  # that class; the first in case of ties
    photos: int
    correct: int  # of the baseline
    accuracy: float
    p_value: float  # exact one-sided binomial test of the model against the baseline
    verdict: str
    only_answer: str | None  # the class that the model predicts for every photo, if any

    def __str__(self) -> str:
        p = "p < 0.001" if self.p_value < 0.001 else f"p = {self.p_value:.2g}"
        relation, test = {
            "better": ("Better than", f" ({p})"),
            "not better": ("No better than", ""),
            "not told apart": ("Not significantly better than", f" ({p})"),
            "too few photos": ("Too few photos to compare with", ""),
        }[self.verdict]
        accuracy = f"{self.correct}/{self.photos} = {self.accuracy:.1%}"
        text = f"{relation} always predicting '{self.predicted}': {accuracy}{test}."
        return text + (f" It only predicts '{self.only_answer}'." if self.only_answer else "")


class Metrics(Frozen):
    """Metrics of one evaluation; its JSON has exactly these keys.

    Attributes:
        auroc: area under the ROC curve; with two classes the score is the second class's
            probability, with more it is the macro average, one-vs-rest. None if a class has
            no photos.
        brier: multi-class Brier score, the mean over photos of the sum over classes of
            (probability - truth)²: in [0, 2], twice the two-class score of the second class alone.
    """

    photos: int
    correct: int
    accuracy: float
    accuracy_ci95: tuple[float, float]  # 95 % Wilson score interval (low, high)
    precision: float  # macro average over the classes, as recall and F1
    recall: float
    f1: float
    auroc: float | None
    ece: float  # expected calibration error, 15 bins
    brier: float
    mean_confidence: float  # mean probability of the predicted class
    classes: list[str]
    confusion_matrix: list[list[int]]  # counts; rows are true, columns predicted classes
    per_class: dict[str, ClassMetrics]
    majority_baseline: MajorityBaseline


# Bytes that are not UTF-8, which JSON cannot hold, are replaced.
_PrintablePath = Annotated[
    str, AfterValidator(lambda path: os.fsencode(path).decode("utf-8", "replace"))
]


class Mistake(Frozen):
    """A misclassified photo; `probability` is that of the predicted class."""

    path: _PrintablePath
    label: str
    predicted: str
    probability: float


class UnreadablePhoto(Frozen):
    """A photo that could not be read and was not evaluated."""

    path: _PrintablePath
    reason: str


class EvaluationResult(Metrics):
    """Metrics with misclassified and unreadable photos; the latter are not counted in `photos`."""

    mistakes: list[Mistake]
    unreadable: list[UnreadablePhoto]


@dataclass(frozen=True, eq=False)
class Reliability:
    """Accuracy by confidence.

    Attributes:
        edges: [bins + 1] from 0 to 1; bins include their lower edge, the last one also 1.
        confidence: [bins] mean probability of the predicted class, NaN in an empty bin.
    """

    edges: NDArray[np.float64]
    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]  # [bins] proportion of correct predictions, NaN in an empty bin
    count: NDArray[np.int64]  # [bins] photos

    @property
    def ece(self) -> float:
        """Expected calibration error (Guo et al., 2017), weighted by photos, in [0, 1]."""
        gaps = np.abs(self.accuracy - self.confidence)
        filled = self.count > 0
        return float(np.average(gaps[filled], weights=self.count[filled]))


def evaluate_probabilities(
    probabilities: FloatArray, labels: IntArray, classes: Sequence[str]
) -> Metrics:
    """Compute metrics of a model's probabilities.

    The predicted class is the most probable one, the first in case of ties. As in scikit-learn and
    torchmetrics, macro averages skip classes that are neither true nor predicted, and a metric
    that would divide by zero is 0.

    Args:
        probabilities: [N, C] in [0, 1], rows sum to 1.
        labels: [N] indices of the true classes, in [0, C).
        classes: C distinct names, C at least 2.

    Raises:
        DataError: N is 0, or the arrays are invalid.
    """
    _check(probabilities, labels, classes)
    predicted = probabilities.argmax(axis=1)
    indices = np.arange(len(classes))
    one_hot = labels[:, None] == indices
    scores = probabilities.astype(np.float64)

    correct = int((predicted == labels).sum())
    auroc = None
    if one_hot.any(axis=0).all():
        scored = [1] if len(classes) == 2 else indices
        auroc = float(np.mean([sk.roc_auc_score(one_hot[:, c], scores[:, c]) for c in scored]))
    precision, recall, f1, support = sk.precision_recall_fscore_support(
        labels, predicted, labels=indices, zero_division=0
    )
    occurs = np.union1d(labels, predicted)
    return Metrics(
        photos=len(labels),
        correct=correct,
        accuracy=correct / len(labels),
        accuracy_ci95=wilson_interval(correct, len(labels)),
        precision=float(precision[occurs].mean()),
        recall=float(recall[occurs].mean()),
        f1=float(f1[occurs].mean()),
        auroc=auroc,
        ece=reliability(probabilities, labels).ece,
        brier=float(((scores - one_hot) ** 2).sum(axis=1).mean()),
        mean_confidence=float(scores.max(axis=1).mean()),
        classes=list(classes),
        confusion_matrix=sk.confusion_matrix(labels, predicted, labels=indices).tolist(),
        per_class={
            name: ClassMetrics(
                precision=float(precision[i]),
                recall=float(recall[i]),
                f1=float(f1[i]),
                support=int(support[i]),
            )
            for i, name in enumerate(classes)
        },
        majority_baseline=_majority_baseline(predicted, labels, classes),
    )


def evaluate_decisions(
    decisions: Sequence[str], labels: IntArray, classes: Sequence[str]
) -> DecisionMetrics:
    """Compute metrics of decisions, each a class, `UNSURE` or `NO_DISH`.

    `labels` are the indices of the true classes.
    """
    given, truth = np.array(decisions), np.array(classes)[labels]
    decided, correct = np.isin(given, classes), given == truth
    wrong = decided & ~correct
    return DecisionMetrics(
        coverage=Proportion.of(decided),
        accuracy=Proportion.of(correct[decided]),
        unsure=Proportion.of(given == UNSURE),
        no_dish=Proportion.of(given == NO_DISH),
        wrong={name: Proportion.of(wrong[given == name]) for name in classes},
        missed={name: Proportion.of(wrong[truth == name]) for name in classes},
    )


def _majority_baseline(
    predicted: IntArray, labels: IntArray, classes: Sequence[str]
) -> MajorityBaseline:
    photos, most = len(labels), int(np.bincount(labels).max())
    correct, rate = int((predicted == labels).sum()), most / photos
    p_value = float(binomtest(correct, photos, rate, alternative="greater").pvalue)
    verdict = "better" if p_value < SIGNIFICANCE_LEVEL else "not told apart"
    if rate**photos >= SIGNIFICANCE_LEVEL:
        verdict = "too few photos"
    elif correct <= most:
        verdict = "not better"
    constant = (predicted == predicted[0]).all()
    return MajorityBaseline(
        predicted=classes[int(np.bincount(labels).argmax())],
        photos=photos,
        correct=most,
        accuracy=rate,
        p_value=p_value,
        verdict=verdict,
        only_answer=classes[int(predicted[0])] if constant else None,
    )


def wilson_interval(correct: int, photos: int, level: float = 0.95) -> tuple[float, float]:
    """Return Wilson's score interval (1927), (low, high), which suits small samples."""
    interval = binomtest(correct, photos).proportion_ci(level, method="wilson")
    return float(interval.low), float(interval.high)


def reliability(probabilities: FloatArray, labels: IntArray, bins: int = 15) -> Reliability:
    """Bin predictions by confidence into equal-width bins; see `evaluate_probabilities`."""
    _check(probabilities, labels)
    if bins < 1:
        raise DataError(f"A reliability diagram needs at least one bin, not {bins}.")
    confidence = probabilities.max(axis=1).astype(np.float64)
    correct = probabilities.argmax(axis=1) == labels
    edges = np.linspace(0, 1, bins + 1)
    bin_of = np.digitize(confidence, edges[1:-1])
    count = np.bincount(bin_of, minlength=bins)
    with np.errstate(invalid="ignore"):  # 0/0 gives NaN for an empty bin
        return Reliability(
            edges=edges,
            confidence=np.bincount(bin_of, weights=confidence, minlength=bins) / count,
            accuracy=np.bincount(bin_of, weights=correct, minlength=bins) / count,
            count=count,
        )


def mistakes(
    probabilities: FloatArray, labels: IntArray, classes: Sequence[str], paths: Sequence[str | Path]
) -> list[Mistake]:
    """Return misclassified photos, most confident first, then by path.

    Arguments as `evaluate_probabilities`, and the [N] paths of the photos.
    """
    _check(probabilities, labels, classes)
    if len(paths) != len(labels):
        raise DataError(f"{len(paths)} paths for {len(labels)} photos; give one path per photo.")
    predicted = probabilities.argmax(axis=1)
    found = [
        Mistake(
            path=os.fspath(paths[i]),
            label=classes[labels[i]],
            predicted=classes[predicted[i]],
            probability=float(probabilities[i, predicted[i]]),
        )
        for i in np.flatnonzero(predicted != labels).tolist()
    ]
    return sorted(found, key=lambda mistake: (-mistake.probability, mistake.path))


def _check(
    probabilities: FloatArray, labels: IntArray, classes: Sequence[str] | None = None
) -> None:
    if probabilities.ndim != 2 or probabilities.shape[1] < 2:
        raise DataError(
            f"Probabilities must be [photos, 2 classes or more], not {list(probabilities.shape)}."
        )
    photos, columns = probabilities.shape
    if labels.shape != (photos,):
        raise DataError(f"{photos} rows of probabilities need {photos} labels, not {labels.shape}.")
    if photos == 0:
        raise DataError("There are no photos to evaluate.")
    if classes is not None and (len(classes) != columns or len(set(classes)) != columns):
        raise DataError(f"{columns} columns need {columns} different classes, not {list(classes)}.")
    if not np.issubdtype(labels.dtype, np.integer):
        raise DataError(f"Labels must be class indices (integers), not {labels.dtype}.")
    if labels.min() < 0 or labels.max() >= columns:
        raise DataError(
            f"Labels run from {labels.min()} to {labels.max()}, but {columns} classes "
            f"are numbered 0 to {columns - 1}."
        )
    if not np.isfinite(probabilities).all():
        raise DataError("Some probabilities are NaN or infinite; did training diverge?")
    if probabilities.min() < 0 or probabilities.max() > 1 + ROW_SUM_TOLERANCE:
        raise DataError(
            f"Probabilities must lie in [0, 1], not in [{probabilities.min():.3g}, "
            f"{probabilities.max():.3g}]; are these logits?"
        )
    if np.abs(probabilities.sum(axis=1, dtype=np.float64) - 1).max() > ROW_SUM_TOLERANCE:
        raise DataError("Each photo's probabilities must sum to 1; are these sigmoid outputs?")
