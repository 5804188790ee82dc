"""The teacher of a distillation: a model or an ensemble, whose logits are averaged.

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
    """Exported models that predict a student's targets; each worker process loads its own."""

    models: tuple[str, ...]
    classes: tuple[str, ...]
    tta_flips: bool = False

    @cached_property
    def _loaded(self) -> tuple[tuple[Classifier, list[int]], ...]:
        """Each model, and the indices of the student's classes among its own."""
        models = [(Classifier.load(name), name) for name in self.models]
        return tuple((each, self._columns(each.info, name)) for each, name in models)

    @cached_property
    def size(self) -> int:
        """Side in pixels of the photos that all of them take."""
        sizes = {
            each.info.size: name for (each, _), name in zip(self._loaded, self.models, strict=True)
        }
        if len(sizes) > 1:
            taken = ", ".join(f"{name} takes {size} px" for size, name in sizes.items())
            raise ModelError(f"an ensemble of teachers needs photos of one size: {taken}")
        return next(iter(sizes))

    def __getstate__(self) -> dict[str, Any]:
        """Do not pickle the ONNX Runtime sessions."""
        return {"models": self.models, "classes": self.classes, "tta_flips": self.tta_flips}

    def probabilities(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return probabilities [classes], in the student's order, for a photo [size, size, 3]."""
        flips = FLIPS if self.tta_flips else FLIPS[:1]
        views = np.stack([pixels[flip] for flip in flips])
        rows = [each.probabilities(views)[:, columns] for each, columns in self._loaded]
        mean: NDArray[np.float32] = softmax(
            np.log(np.maximum(np.concatenate(rows), 1e-7)).mean(axis=0)
        )
        return mean

    def _columns(self, info: ModelInfo, name: str) -> list[int]:
        found = match_classes(self.classes, info.classes)
        known = [index for index in found if index is not None]
        if len(known) != len(self.classes) or len(known) != len(info.classes):
            raise ModelError(
                f"the teacher {name} has the classes {', '.join(info.classes)},"
                f" but the photos have {', '.join(self.classes)}: rename the class folders, or"
                " train without a teacher, --set teacher=null"
            )
        return known

    def check(self, split_info: SplitInfo | None) -> None:
        """Check the teachers' classes and sizes, and that none saw the student's other splits.

        Raises:
            ModelError: there is no such model, or it has other classes or another size.
            DataError: it was trained on the same photos with another split.
        """
        _ = self.size
        for (each, _), name in zip(self._loaded, self.models, strict=True):
            theirs = each.info.split_info
            same_photos = theirs and split_info and theirs.fingerprint == split_info.fingerprint
            if theirs and same_photos and theirs != split_info:
                raise DataError(
                    f"the teacher {name} may have been trained on evaluation photos of its"
                    f" student; split them as for the teacher: --split-seed={theirs.seed}"
                    f" --set val_to_train={theirs.val_to_train}"
                )
