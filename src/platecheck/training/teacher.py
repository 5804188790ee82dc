"""A model whose answers a network learns beside the labels.

Hinton, Vinyals, Dean, Distilling the knowledge in a neural network, 2015. Teacher and student see
the same photo, changed in the same way (Beyer et al., Knowledge distillation: a good teacher is
patient and consistent, 2022), each at its own size; but the student sees it through a bad camera,
and the teacher may look at it four times, mirrored.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from platecheck.classifier import Classifier
from platecheck.errors import DataError, ModelError
from platecheck.model_info import ModelInfo, SplitInfo, match_classes

# As it is, left and right swapped, upside down, and both.
MIRRORS = (np.s_[:, :], np.s_[:, ::-1], np.s_[::-1], np.s_[::-1, ::-1])


class Teacher:
    """An exported model; loaded in whichever process asks it first."""

    def __init__(self, model: str, classes: Sequence[str], *, tta_flips: bool = False) -> None:
        """Take a shipped model's name or a file, to teach these classes.

        With `tta_flips` its answer is the mean, in logits, of those for all mirrored versions.
        """
        self.model = model
        self.classes = tuple(classes)
        self.tta_flips = tta_flips

    @cached_property
    def _info(self) -> ModelInfo:
        # Not of the one that answers: processes that prepare photos each load their own.
        return Classifier.load(self.model).info

    @cached_property
    def _classifier(self) -> Classifier:
        return Classifier.load(self.model)

    def __getstate__(self) -> dict[str, Any]:
        """To another process goes no session."""
        return {"model": self.model, "classes": self.classes, "tta_flips": self.tta_flips}

    @property
    def size(self) -> int:
        """Pixels of the square photos that it sees."""
        return self._info.size

    def probabilities(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Its answer [classes], in the student's order, for a photo uint8 [size, size, 3]."""
        ways = MIRRORS if self.tta_flips else MIRRORS[:1]
        found = self._classifier.probabilities(np.stack([pixels[way] for way in ways]))
        mean: NDArray[np.float32] = softmax(np.log(np.maximum(found, 1e-7)).mean(axis=0))
        return mean[self._columns]

    @cached_property
    def _columns(self) -> list[int]:
        """Where the student's classes stand in its answers."""
        found = match_classes(self.classes, self._info.classes)
        known = [index for index in found if index is not None]
        if len(known) != len(self.classes) or len(known) != len(self._info.classes):
            raise ModelError(
                f"the teacher {self.model} tells {', '.join(self._info.classes)},"
                f" but the photos are {', '.join(self.classes)}: rename the class folders, or train"
                " without a teacher, --set teacher=null"
            )
        return known

    def check(self, division: SplitInfo | None) -> None:
        """Make sure that it can teach its classes, and has not seen what judges its student.

        Args:
            division: of the student's photos.

        Raises:
            ModelError: there is no such model, or it knows other classes.
            DataError: it learnt from the same photos, divided in another way.
        """
        _ = self._columns
        theirs = self._info.split_info
        same = theirs and division and theirs.fingerprint == division.fingerprint
        if theirs and same and theirs != division:
            raise DataError(
                f"the teacher {self.model} may have learnt from photos that are to judge its"
                f" student; divide them as they were for it: --split-seed={theirs.seed}"
                f" --set val_to_train={theirs.val_to_train}"
            )
