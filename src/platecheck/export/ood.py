"""How unlike the training photos a photo is, from the features: is it a dish at all?

The Mahalanobis distance of Lee et al., A simple unified framework for detecting out-of-distribution
samples, 2018, on standardised features of several depths, with one Gaussian for all classes whose
small variances are taken as equal (probabilistic PCA: Tipping and Bishop, 1999), so that a few
hundred photos are enough.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from platecheck.files import replacing

DIRECTIONS = 64
# Share of validation photos that is taken for something else.
FALSE_ALARMS = 0.005
# Other kitchens are a little more unlike than photos held out from the same ones.
MARGIN = 1.1
# Features that are drawn from what was familiar before, at least.
DRAWN = 1000
# Of the mean standard deviation, added to each.
LEAST_SCALE = 1e-3


@dataclass(frozen=True)
class MahalanobisOOD:
    """A Gaussian of features.

    Attributes:
        mean: float32 [F].
        scale: float32 [F], standard deviations.
        directions: float32 [K, F] of standardised features, each scaled so that what is
            subtracted is a sum of squares.
        precision: one over the variance of all other directions.
        limit: oddness above which a photo shows no dish.
    """

    mean: NDArray[np.float32]
    scale: NDArray[np.float32]
    directions: NDArray[np.float32]
    precision: float
    limit: float

    def ood_score(self, features: NDArray[np.float32]) -> NDArray[np.float32]:
        """Root mean squared distance [N] of features [N, F], in standard deviations."""
        with torch.inference_mode():
            found: NDArray[np.float32] = OODHead(self)(torch.from_numpy(features)).numpy()
        return found

    def sample(self, count: int, seed: int) -> NDArray[np.float32]:
        """Features [count, F] as the Gaussian has them: what was familiar, without its photos."""
        rng = np.random.default_rng(seed)
        apart = rng.normal(0, self.precision**-0.5, (count, len(self.mean)))
        lengths = np.sum(self.directions**2, axis=1)
        axes = self.directions / np.sqrt(np.maximum(lengths, 1e-12))[:, None]
        # Along an axis the variance is 1 / (precision - length): there it is more than elsewhere.
        wide = np.sqrt(self.precision / np.maximum(self.precision - lengths, 1e-6))
        apart += (apart @ axes.T * (wide - 1)) @ axes
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

    def __init__(self, familiarity: MahalanobisOOD) -> None:
        super().__init__()
        self.mean = nn.Buffer(torch.from_numpy(familiarity.mean))
        self.scale = nn.Buffer(torch.from_numpy(familiarity.scale))
        self.directions = nn.Buffer(torch.from_numpy(familiarity.directions))
        self.precision = familiarity.precision

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
        validation: features [M, F]; of new photos like these at most `FALSE_ALARMS` are above
            the conformal quantile. The limit is that quantile times `MARGIN`.
        before: of the model that training started from, whose photos are not there: features drawn
            from it stand for them, so that what was a dish stays one.
    """
    if before is not None:
        train = np.concatenate([train, before.sample(max(DRAWN, len(train)), seed=0)])
    mean, scale = train.mean(axis=0), train.std(axis=0)
    # What hardly ever changes must not make everything odd.
    scale = scale + max(LEAST_SCALE * float(scale.mean()), 1e-6)
    _, singular, axes = np.linalg.svd((train - mean) / scale, full_matrices=False)
    variances = singular**2 / max(1, len(train) - 1)
    kept = min(DIRECTIONS, len(variances) - 1)
    rest = max(float(variances[kept:].sum()) / max(1, train.shape[1] - kept), 1e-12)
    scales = np.sqrt(np.maximum(1 / rest - 1 / np.maximum(variances[:kept], rest), 0))
    directions = (axes[:kept] * scales[:, None]).astype(np.float32)
    found = MahalanobisOOD(
        mean.astype(np.float32), scale.astype(np.float32), directions, 1 / rest, float("inf")
    )
    limit = _limit(found.ood_score(validation))
    if before is not None:
        drawn = _limit(found.ood_score(before.sample(DRAWN, seed=1)))
        limit = max(limit, drawn, before.limit)
    return replace(found, limit=limit)


def _limit(scores: NDArray[np.float32]) -> float:
    seen = np.sort(scores)
    rank = min(len(seen) - 1, int(np.ceil((1 - FALSE_ALARMS) * (len(seen) + 1))) - 1)
    return MARGIN * float(seen[rank])
