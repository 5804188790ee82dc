"""The teacher model of a distillation.

Hinton, Vinyals, Dean, Distilling the knowledge in a neural network, 2015. Teacher and student see
the same augmented photo (Beyer et al., Knowledge distillation: a good teacher is patient and
consistent, 2022), each at its own size; only the student's is degraded by lighting and camera.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from platecheck.classifier import Classifier
from platecheck.errors import DataError, ModelError
from platecheck.model_info import ModelInfo, SplitInfo, match_classes

# The photo itself, mirrored horizontally, vertically, and both.
FLIPS = (np.s_[:, :], np.s_[:, ::-1], np.s_[::-1], np.s_[::-1, ::-1])


@dataclass
class TeacherModel:
    """An exported model that predicts a student's targets; each worker process loads its own."""

    model: str
    classes: tuple[str, ...]
    tta_flips: bool = False

    @cached_property
    def _classifier(self) -> Classifier:
        return Classifier.load(self.model)

    @cached_property
    def info(self) -> ModelInfo:
        return Classifier.load(self.model).info

    def __getstate__(self) -> dict[str, Any]:
        """Do not pickle the ONNX Runtime session."""
        return {"model": self.model, "classes": self.classes, "tta_flips": self.tta_flips}

    def probabilities(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return probabilities [classes], in the student's order, for a photo [size, size, 3]."""
        flips = FLIPS if self.tta_flips else FLIPS[:1]
        rows = self._classifier.probabilities(np.stack([pixels[flip] for flip in flips]))
        mean: NDArray[np.float32] = softmax(np.log(np.maximum(rows, 1e-7)).mean(axis=0))
        return mean[self._columns]

    @cached_property
    def _columns(self) -> list[int]:
        """Index of each of the student's classes among the teacher's."""
        found = match_classes(self.classes, self.info.classes)
        known = [index for index in found if index is not None]
        if len(known) != len(self.classes) or len(known) != len(self.info.classes):
            raise ModelError(
                f"the teacher {self.model} has the classes {', '.join(self.info.classes)},"
                f" but the photos have {', '.join(self.classes)}: rename the class folders, or"
                " train without a teacher, --set teacher=null"
            )
        return known

    def check(self, split_info: SplitInfo | None) -> None:
        """Check the teacher's classes, and that it was not trained on the student's other splits.

        Raises:
            ModelError: there is no such model, or it has other classes.
            DataError: it was trained on the same photos with another split.
        """
        _ = self._columns
        theirs = self.info.split_info
        same_photos = theirs and split_info and theirs.fingerprint == split_info.fingerprint
        if theirs and same_photos and theirs != split_info:
            raise DataError(
                f"the teacher {self.model} may have been trained on evaluation photos of its"
                f" student; split them as for the teacher: --split-seed={theirs.seed}"
                f" --set val_to_train={theirs.val_to_train}"
            )
