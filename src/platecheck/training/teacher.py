"""A model whose answers a network learns beside the labels.

Hinton, Vinyals, Dean, Distilling the knowledge in a neural network, 2015. Teacher and student see
the very same changed photo (Beyer et al., Knowledge distillation: a good teacher is patient and
consistent, 2022), each at its own size.
"""

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from platecheck.classifier import Classifier
from platecheck.errors import DataError, ModelError
from platecheck.model_info import Division, ModelInfo


class Teacher:
    """An exported model; loaded in whichever process asks it first."""

    def __init__(self, model: str) -> None:
        """Take a shipped model's name or a file."""
        self.model = model

    @cached_property
    def _info(self) -> ModelInfo:
        # Not of the one that answers: processes that prepare photos each load their own.
        return Classifier.load(self.model).info

    @cached_property
    def _classifier(self) -> Classifier:
        return Classifier.load(self.model)

    def __getstate__(self) -> dict[str, str]:
        """To another process goes the name alone."""
        return {"model": self.model}

    @property
    def size(self) -> int:
        """Pixels of the square photos that it sees."""
        return self._info.size

    def probabilities(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Its answer [classes] for a photo uint8 [size, size, 3]."""
        found: NDArray[np.float32] = self._classifier.probabilities(pixels[None])[0]
        return found

    def check(self, classes: tuple[str, ...], division: Division | None) -> None:
        """Make sure that it can teach these classes, and has not seen what judges its student.

        Args:
            classes: of the student.
            division: of the student's photos.

        Raises:
            ModelError: there is no such model, or it knows other classes.
            DataError: it learnt from the same photos, divided in another way.
        """
        info = self._info
        if info.classes != classes:
            raise ModelError(
                f"the teacher {self.model} tells {', '.join(info.classes)},"
                f" but the photos are {', '.join(classes)}"
            )
        theirs = info.division
        same = theirs and division and theirs.fingerprint == division.fingerprint
        if theirs and same and theirs != division:
            raise DataError(
                f"the teacher {self.model} may have learnt from photos that are to judge its"
                f" student; divide them as they were for it: --split-seed={theirs.seed}"
                f" --set learn_from_val={theirs.learnt}"
            )
