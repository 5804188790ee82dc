"""Out-of-distribution score: Mahalanobis distance to the training distribution.

The Mahalanobis distance of Lee et al., A simple unified framework for detecting out-of-distribution
samples, 2018, on standardized features of several depths, with one Gaussian for all classes whose
small variances are taken as equal (probabilistic PCA: Tipping and Bishop, 1999), so that a few
hundred photos are enough.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from safetensors.torch import load_file, save_file
from sklearn.decomposition import PCA
from torch import Tensor, nn

from platecheck.classifier import Classifier
from platecheck.files import replacing

DIRECTIONS = 64
FALSE_ALARM_RATE = 0.005  # of validation photos
# Allowance for distribution shift: new kitchens score higher than held-out photos.
MARGIN = 1.1
# Minimum number of samples drawn from the OOD statistics of the fine-tuned model.
DRAWN = 1000
MIN_RELATIVE_SCALE = 1e-3


@dataclass(frozen=True)
class MahalanobisOOD:
    """A Gaussian of features; the attributes' names are those of the saved file.

    Attributes:
        mean: float32 [F].
        scale: float32 [F], standard deviations.
        directions: float32 [K, F] of standardized features, each scaled so that what is
            subtracted is a sum of squares.
        precision: one over the variance of all other directions.
        limit: score above which a photo shows no dish.
    """

    mean: NDArray[np.float32]
    scale: NDArray[np.float32]
    directions: NDArray[np.float32]
    precision: float
    limit: float

    def ood_score(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the root mean squared distance [N] of features [N, F], in standard deviations."""
        with torch.inference_mode():
            found: NDArray[np.float32] = OODHead(self)(torch.from_numpy(features)).numpy()
        return found

    def sample(self, count: int, seed: int) -> NDArray[np.float32]:
        """Sample features [count, F] as a substitute for the unavailable training photos."""
        rng = np.random.default_rng(seed)
        apart = rng.normal(0, self.precision**-0.5, (count, len(self.mean)))
        lengths = np.sum(self.directions**2, axis=1)
        axes = self.directions / np.sqrt(np.maximum(lengths, 1e-12))[:, None]
        # Along an axis the variance is 1 / (precision - length).
        wider = np.sqrt(self.precision / np.maximum(self.precision - lengths, 1e-6))
        apart += (apart @ axes.T * (wider - 1)) @ axes
        return (self.mean + self.scale * apart).astype(np.float32)

    def save(self, path: Path) -> None:
        tensors = {name: torch.tensor(value) for name, value in vars(self).items()}
        with replacing(path) as temporary:
            save_file(tensors, temporary)

    @classmethod
    def load(cls, path: Path) -> "MahalanobisOOD":
        found: dict[str, Any] = {name: tensor.numpy() for name, tensor in load_file(path).items()}
        numbers = {name: float(found[name]) for name in ("precision", "limit")}
        return cls(**found | numbers)


class OODHead(nn.Module):
    """The distance as part of an exported graph."""

    def __init__(self, ood: MahalanobisOOD) -> None:
        super().__init__()
        self.mean = nn.Buffer(torch.from_numpy(ood.mean))
        self.scale = nn.Buffer(torch.from_numpy(ood.scale))
        self.directions = nn.Buffer(torch.from_numpy(ood.directions))
        self.precision = ood.precision

    def forward(self, features: Tensor) -> Tensor:
        apart = (features - self.mean) / self.scale
        explained = (apart @ self.directions.T).square().sum(dim=1)
        distance = apart.square().sum(dim=1) * self.precision - explained
        return torch.sqrt(torch.clamp(distance, min=0.0) / features.shape[1])


def fit_ood(
    train: NDArray[np.float32],
    validation: NDArray[np.float32],
    before: MahalanobisOOD | None = None,
) -> MahalanobisOOD:
    """Fit the Gaussian to training photos and the limit to validation photos.

    Args:
        train: features [N, F].
        validation: features [M, F]; the limit is their conformal quantile times `MARGIN`.
        before: OOD statistics of the model that was fine-tuned; keeps its data in distribution.
    """
    if before is not None:
        train = np.concatenate([train, before.sample(max(DRAWN, len(train)), seed=0)])
    mean, scale = train.mean(axis=0), train.std(axis=0)
    # A feature that hardly varies must not dominate the score.
    scale = scale + max(MIN_RELATIVE_SCALE * float(scale.mean()), 1e-6)
    standardized = (train - mean) / scale
    kept = min(DIRECTIONS, min(train.shape) - 1)
    pca = PCA(kept, svd_solver="full").fit(standardized)
    total = float(np.square(standardized).sum()) / max(1, len(train) - 1)
    left = total - float(pca.explained_variance_.sum())
    rest = max(left / max(1, train.shape[1] - kept), 1e-12)
    scales = np.sqrt(np.maximum(1 / rest - 1 / np.maximum(pca.explained_variance_, rest), 0))
    directions = np.ascontiguousarray(pca.components_ * scales[:, None], np.float32)
    ood = MahalanobisOOD(
        mean.astype(np.float32), scale.astype(np.float32), directions, 1 / rest, float("inf")
    )
    limit = _limit(ood.ood_score(validation))
    if before is not None:
        drawn = _limit(ood.ood_score(before.sample(DRAWN, seed=1)))
        limit = max(limit, drawn, before.limit)
    return replace(ood, limit=limit)


def import_ood(path: Path) -> MahalanobisOOD | None:
    """Read the OOD statistics of an exported model; None if it has none."""
    graph = onnx.load(path).graph
    constants = {tensor.name: numpy_helper.to_array(tensor).copy() for tensor in graph.initializer}
    if "oddness.mean" not in constants:
        return None
    nodes = [node for node in graph.node if node.name.startswith("/oddness/")]
    (directions,) = (constants[node.input[1]].T for node in nodes if node.op_type == "MatMul")
    (precision,) = (
        constants[name]
        for node in nodes
        for name in node.input
        if node.op_type == "Mul" and name in constants
    )
    limit = Classifier.load(path).info.ood_threshold
    return MahalanobisOOD(
        constants["oddness.mean"],
        constants["oddness.scale"],
        directions,
        float(precision),
        float("inf") if limit is None else limit,
    )


def _limit(scores: NDArray[np.float32]) -> float:
    rank = min(len(scores) - 1, int(np.ceil((1 - FALSE_ALARM_RATE) * (len(scores) + 1))) - 1)
    return MARGIN * float(np.sort(scores)[rank])
