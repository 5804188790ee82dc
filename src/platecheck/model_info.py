"""What an exported file says of itself, and so what its probabilities mean."""

import json
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from platecheck.errors import ModelError

# The metadata property that holds ModelInfo as JSON, and the version of its layout.
METADATA_KEY = "platecheck"
FORMAT: Literal[1] = 1

# Answers beside the classes.
UNSURE = "unsure"
NO_DISH = "not a dish"


class Division(BaseModel):
    """How a split was divided, so that photos that a model was chosen on are told from others."""

    model_config = ConfigDict(frozen=True)

    split: str
    seed: int
    fingerprint: str = Field(description="of the photos of the split before it was divided")
    learnt: float = Field(
        default=0.0, ge=0, lt=1, description="share of the validation photos given to training"
    )


class Promise(BaseModel):
    """What the thresholds were chosen to keep, and what they keep on validation photos.

    Attributes:
        wrong: by class, the largest share of wrong answers among those of this class.
        shares: by class, its share of the validation photos: the promise is for sets like these.
        photos: validation answers that the thresholds were chosen on.
        answered: share of them that is answered, and not called unsure.
    """

    model_config = ConfigDict(frozen=True)

    wrong: dict[str, float]
    shares: dict[str, float]
    photos: int
    answered: float


class Reference(BaseModel):
    """What the model gives for its validation photos, to tell later how far others are from them.

    Attributes:
        answers: photos by answer.
        oddness_deciles: nine numbers between which a tenth of the photos lies each; none where the
            model does not tell how odd a photo is.
    """

    model_config = ConfigDict(frozen=True)

    answers: dict[str, int]
    oddness_deciles: tuple[float, ...] = ()


class ModelInfo(BaseModel):
    """What an exported file says of itself."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    format: Literal[1] = 1
    platecheck: str = Field(description="the version that wrote the file")
    recipe: str
    network: str
    classes: tuple[str, ...] = Field(min_length=2)
    size: int = Field(ge=1, le=4096, description="pixels of the square input")
    precision: Literal["float32", "int8"]
    temperature: float = Field(gt=0, description="the logits were divided by it")
    thresholds: dict[str, float] = Field(
        default_factory=dict, description="least probability by class; below it: unsure"
    )
    promise: Promise | None = Field(default=None, description="why the thresholds are so")
    oddness_limit: float | None = Field(default=None, description="above it: no dish")
    reference: Reference | None = Field(default=None, description="to tell drift by")
    epoch: int
    seed: int
    data_fingerprint: str
    division: Division | None
    metrics: dict[str, dict[str, Any]] = Field(description="by split: photos, correct, …")

    def needed(self, probabilities: NDArray[np.floating]) -> float:
        """Least probability, of the likeliest class, that it is answered with; 0: always.

        Args:
            probabilities: [classes].
        """
        return self.thresholds.get(self.classes[int(np.argmax(probabilities))], 0.0)

    def label(self, probabilities: NDArray[np.floating], oddness: float | None = None) -> str:
        """The answer for one photo: a class, :data:`UNSURE` or :data:`NO_DISH`.

        Args:
            probabilities: [classes].
            oddness: how unlike the photos that the model learned from; None where it cannot say.
        """
        if oddness is not None and self.oddness_limit is not None and oddness > self.oddness_limit:
            return NO_DISH
        best = int(np.argmax(probabilities))
        return self.classes[best] if probabilities[best] >= self.needed(probabilities) else UNSURE


def read_info(metadata: dict[str, str], where: Path) -> ModelInfo:
    """What an ONNX file's metadata say.

    Raises:
        ModelError: they are not platecheck's, or of a later layout.
    """
    if METADATA_KEY not in metadata:
        raise ModelError(f"{where} is an ONNX model, but not one written by platecheck export")
    try:
        content = json.loads(metadata[METADATA_KEY])
        if isinstance(content, dict) and content.get("format", FORMAT) != FORMAT:
            raise ModelError(f"{where} was written by a later platecheck: upgrade to read it")
        info = ModelInfo.model_validate(content)
    except (ValueError, ValidationError) as error:
        raise ModelError(f"{where} has damaged metadata: {first_line(error)}") from error
    for name in info.classes:
        if class_key(name) in (UNSURE, NO_DISH):
            raise ModelError(f"{where} has a class '{name}'; rename its folder and train it again")
    return info


def class_key(name: str) -> str:
    """What is equal for names that people take for the same one."""
    return unicodedata.normalize("NFC", name).strip().casefold()


def class_columns(classes: Iterable[str], others: Sequence[str]) -> list[str]:
    """Columns for the classes' probabilities: the class's name, prefixed until it is free."""
    columns: list[str] = []
    for name in classes:
        taken = {class_key(column) for column in (*others, *columns)}
        while class_key(name) in taken:
            name = f"probability_{name}"  # noqa: PLW2901
        columns.append(name)
    return columns


def match_classes(wanted: Sequence[str], known: Sequence[str]) -> list[int | None]:
    """For each wanted class, the index of the known one of that name; None where there is none.

    The case, and how an accent is encoded, make no difference where only one name fits.
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
    """What an error says first; its type where it says nothing."""
    return (str(error).splitlines() or [type(error).__name__])[0]
