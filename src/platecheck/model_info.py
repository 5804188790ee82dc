"""Metadata of an exported model, and the decision rule from outputs to a label."""

import json
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from platecheck.errors import ModelError

# The metadata property that holds ModelInfo as JSON, and the version of its layout.
METADATA_KEY = "platecheck"
FORMAT: Literal[1] = 1

# The class, in any spelling of `class_key`, that a photo of poor quality cannot prove.
CLEAN = "clean"

# Labels beside the classes.
UNSURE = "unsure"
NO_DISH = "not a dish"


# JSON keys of fields that have been renamed; the keys are part of the file format.
_JSON_KEYS = {
    "split_info": "division",
    "val_to_train": "learnt",
    "error_guarantee": "promise",
    "ood_threshold": "oddness_limit",
    "ood_deciles": "oddness_deciles",
}


class JsonModel(BaseModel):
    """A model that is stored as JSON under the keys of file format 1."""

    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        alias_generator=lambda name: _JSON_KEYS.get(name, name),
        populate_by_name=True,
        serialize_by_alias=True,
    )


class SplitInfo(JsonModel):
    """How a split was subdivided, to identify the photos used for training and selection."""

    split: str
    seed: int
    fingerprint: str = Field(description="of the photos of the split before it was divided")
    val_to_train: float = Field(
        default=0.0, ge=0, lt=1, description="share of the validation photos moved to training"
    )


class ErrorGuarantee(JsonModel):
    """The error rates that the thresholds were chosen for, on validation photos."""

    wrong: dict[str, float] = Field(description="maximum error rate by predicted class")
    shares: dict[str, float] = Field(description="class prior on validation; assumed unchanged")
    photos: int
    answered: float = Field(description="coverage: share of photos that are not unsure")


class Reference(JsonModel):
    """Distribution of the predictions for validation photos, the baseline for drift detection."""

    answers: dict[str, int] = Field(description="number of photos by label")
    ood_deciles: tuple[float, ...] = Field(
        default=(), description="nine deciles of the OOD score; empty without such an output"
    )


class ModelInfo(JsonModel):
    """Metadata of an exported model."""

    format: Literal[1] = 1
    platecheck: str = Field(description="version that wrote the file")
    recipe: str
    network: str
    classes: tuple[str, ...] = Field(min_length=2)
    size: int = Field(ge=1, le=4096, description="side of the square input, in pixels")
    precision: Literal["float32", "int8"]
    temperature: float = Field(gt=0, description="divisor of the logits")
    bias: tuple[float, ...] = Field((0.0,), description="added to them then, for each class")
    thresholds: dict[str, float] = Field(
        default_factory=dict, description="minimum probability by class; below it: unsure"
    )
    error_guarantee: ErrorGuarantee | None = Field(
        default=None, description="error rates that the thresholds were chosen for"
    )
    ood_threshold: float | None = Field(default=None, description="above it: not a dish")
    quality_check: bool = Field(
        default=True, description="whether clean dishes in photos of poor quality are unsure"
    )
    reference: Reference | None = Field(default=None, description="baseline for drift detection")
    epoch: int
    seed: int
    data_fingerprint: str
    split_info: SplitInfo | None
    metrics: dict[str, dict[str, Any]] = Field(description="by split: photos, correct, …")

    def threshold(self, probabilities: NDArray[np.floating]) -> float:
        """Return the threshold of the most probable class, given [classes]; 0 if it has none."""
        return self.thresholds.get(self.classes[int(np.argmax(probabilities))], 0.0)

    def label(self, probabilities: NDArray[np.floating], ood_score: float | None = None) -> str:
        """Return the label for one photo with these [classes]: a class, `UNSURE` or `NO_DISH`."""
        limit = self.ood_threshold
        if ood_score is not None and limit is not None and ood_score > limit:
            return NO_DISH
        best = int(np.argmax(probabilities))
        sure = probabilities[best] >= self.threshold(probabilities)
        return self.classes[best] if sure else UNSURE


class DetectorInfo(JsonModel):
    """Metadata of an exported detector."""

    format: Literal[1] = 1
    kind: Literal["detector"] = "detector"
    platecheck: str = Field(description="version that wrote the file")
    recipe: str
    network: str
    size: int = Field(ge=32, le=4096, description="side of the square input, in pixels")
    precision: Literal["float32", "int8"]
    threshold: float = Field(ge=0, le=1, description="minimum score of a dish")
    nms_iou: float = Field(
        gt=0, le=1, description="of boxes that overlap more, only the best is kept"
    )
    epoch: int
    seed: int
    data_fingerprint: str
    metrics: dict[str, dict[str, Any]] = Field(description="by set of photos: boxes, found, …")


Info = TypeVar("Info", ModelInfo, DetectorInfo)


def _parse(kind: type[Info], metadata: dict[str, str], where: str) -> Info:
    if METADATA_KEY not in metadata:
        raise ModelError(f"{where} is an ONNX model, but not one written by platecheck export")
    try:
        content = json.loads(metadata[METADATA_KEY])
        if isinstance(content, dict):
            if content.get("format", FORMAT) != FORMAT:
                raise ModelError(f"{where} needs a newer platecheck: upgrade to read it")
            is_detector = content.get("kind") == "detector"
            if is_detector != (kind is DetectorInfo):
                what = "detector, not a classifier: inspect takes it as --detector"
                if not is_detector:
                    what = "classifier, not a detector: pass it with --model"
                raise ModelError(f"{where} is a {what}")
        return kind.model_validate(content)
    except (ValueError, ValidationError) as error:
        raise ModelError(f"{where} has corrupt metadata: {first_line(error)}") from error


def read_detector_info(metadata: dict[str, str], where: str) -> DetectorInfo:
    """Parse platecheck's metadata from the metadata properties of a detector's ONNX file."""
    return _parse(DetectorInfo, metadata, where)


def read_info(metadata: dict[str, str], where: str) -> ModelInfo:
    """Parse platecheck's metadata from the metadata properties of an ONNX file."""
    info = _parse(ModelInfo, metadata, where)
    for name in info.classes:
        if class_key(name) in (UNSURE, NO_DISH):
            raise ModelError(f"{where} has a class '{name}'; rename its folder and train again")
    return info


def class_key(name: str) -> str:
    """Normalize a class name for comparison: Unicode form, spaces and case."""
    return unicodedata.normalize("NFC", name).strip().casefold()


def class_columns(classes: Iterable[str], others: Sequence[str]) -> list[str]:
    """Return one column name per class, prefixed where it would collide with another column."""
    columns: list[str] = []
    for name in classes:
        taken = {class_key(column) for column in (*others, *columns)}
        while class_key(name) in taken:
            name = f"probability_{name}"  # noqa: PLW2901
        columns.append(name)
    return columns


def match_classes(wanted: Sequence[str], known: Sequence[str]) -> list[int | None]:
    """Return for each wanted class the index of the known class of that name, or None.

    Case and Unicode form are ignored where only one name matches.
    """
    found = [known.index(name) if name in known else None for name in wanted]
    free = [index for index in range(len(known)) if index not in found]
    for place, name in enumerate(wanted):
        alike = [index for index in free if class_key(known[index]) == class_key(name)]
        if found[place] is None and len(alike) == 1:
            found[place] = alike[0]
            free.remove(alike[0])
    return found


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, or its type if it has none."""
    return (str(error).splitlines() or [type(error).__name__])[0]
