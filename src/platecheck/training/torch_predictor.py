"""The network of a run, ready to answer, and what is fitted to it when it has learnt."""

import json
import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from platecheck.errors import ModelError
from platecheck.export.calibration import fit_temperature
from platecheck.export.calibration_set import (
    augmented_calibration_views,
    batches,
    rendered_calibration_views,
    views,
)
from platecheck.export.ood import MahalanobisOOD, OODHead, fit_ood
from platecheck.files import write_text
from platecheck.training.networks import PlateNet, build_network
from platecheck.training.onnx_import import import_ood, started_from
from platecheck.training.pretrained import read_state
from platecheck.training.recipe import Normalization
from platecheck.training.run import Run

# Log odds of dirt at a place. The dirt map learns with clean and dirty places weighing the same
# (training/module.py); about one place of twenty is dirty.
PRIOR = -math.log(19)


class InferenceModel(nn.Module):
    """From uint8 photos to probabilities: what is exported.

    Normalisation and temperature are part of it, so that whoever runs it cannot get them wrong.
    """

    def __init__(
        self,
        network: PlateNet,
        normalization: Normalization,
        temperature: float,
        familiarity: MahalanobisOOD | None = None,
    ) -> None:
        super().__init__()
        self.network = network
        mean, std = torch.tensor(normalization.mean), torch.tensor(normalization.std)
        # (pixel / 255 - mean) / std, as one multiplication and one addition
        self.scale = nn.Buffer((1 / (255 * std))[:, None, None])
        self.shift = nn.Buffer((-mean / std)[:, None, None])
        self.temperature = temperature
        self.oddness = OODHead(familiarity) if familiarity else None

    def forward(self, pixels: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Probabilities [N, classes] of photos uint8 [N, H, W, 3].

        Beside them, where the network gives it, evidence [N, h, w] in [0, 1], and where it was
        fitted, oddness [N].
        """
        if self.network.evidence is None:
            return torch.softmax(self.logits(pixels) / self.temperature, dim=1)
        logits, dirt, pooled = self.network.with_heatmap(self._inputs(pixels))
        evidence = torch.sigmoid(dirt + PRIOR)
        found = (torch.softmax(logits / self.temperature, dim=1), evidence)
        return found if self.oddness is None else (*found, self.oddness(pooled))

    def logits(self, pixels: Tensor) -> Tensor:
        """Logits [N, classes] before the temperature."""
        found: Tensor = self.network(self._inputs(pixels))
        return found

    def pooled_features(self, pixels: Tensor) -> Tensor:
        """What tells dishes from anything else, [N, F]; of networks that give evidence."""
        return self.network.with_heatmap(self._inputs(pixels))[2]

    def _inputs(self, pixels: Tensor) -> Tensor:
        return pixels.permute(0, 3, 1, 2).float() * self.scale + self.shift


class TorchPredictor:
    """A run's network at one epoch; gives probabilities like an exported file."""

    def __init__(self, run: Run, epoch: int | None = None) -> None:
        """Load the weights of an epoch counted from 1; of the best one when absent.

        Raises:
            ModelError: that epoch was not trained, or its weights are damaged.
        """
        self.run = run
        self.epoch = epoch if epoch is not None else run.best_epoch
        if not run.weights(self.epoch).is_file():
            raise ModelError(f"{run.folder} has no weights of epoch {self.epoch}")
        recipe = run.recipe
        network = build_network(
            recipe.network, classes=len(run.facts.classes), size=recipe.input.size
        )
        state = read_state(run.weights(self.epoch))
        if recipe.network.frozen:
            frozen = read_state(run.frozen_weights)
            state |= {f"backbone.{key}": tensor for key, tensor in frozen.items()}
        try:
            network.load_state_dict(state)
        except RuntimeError as error:
            raise ModelError(f"{run.weights(self.epoch)} does not fit the recipe") from error
        if not all(bool(tensor.isfinite().all()) for tensor in state.values()):
            raise ModelError(
                f"the weights of epoch {self.epoch} in {run.folder} are not numbers: the training"
                " diverged; choose an earlier epoch, or train again with a lower learning rate"
            )
        # Fitted to the best epoch: to the features of another one every dish would be odd.
        fitted = bool(run.history) and self.epoch == run.best_epoch
        known = fitted and run.familiarity.is_file() and network.evidence is not None
        self.familiarity = MahalanobisOOD.load(run.familiarity) if known else None
        temperature = run.temperature if fitted else 1.0
        normalization = run.facts.normalization
        self.module = InferenceModel(network, normalization, temperature, self.familiarity).eval()

    @property
    def classes(self) -> tuple[str, ...]:
        return self.run.facts.classes

    def fit_temperature(self) -> float:
        """Fit the temperature of this epoch on the validation photos, and answer with it.

        With a robust recipe on these and on their dishes on other tables (Mixed-Rand).
        """
        pixels, labels, _ = views(self.run, "val")
        logits = np.concatenate([self.logits(batch) for batch in batches(pixels)])
        robust = self.run.recipe.augmentation.robust is not None
        self.module.temperature = fit_temperature(logits, labels, cautious=robust)
        return self.module.temperature

    @property
    def size(self) -> int:
        return self.run.recipe.input.size

    @torch.inference_mode()
    def probabilities(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Probabilities float32 [N, classes] of photos uint8 [N, size, size, 3]."""
        logits = self.module.logits(torch.from_numpy(pixels))
        found: NDArray[np.float32] = torch.softmax(logits / self.module.temperature, dim=1).numpy()
        return found

    @torch.inference_mode()
    def pooled_features(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """What tells dishes from anything else, float32 [N, F]; of networks that give evidence."""
        found: NDArray[np.float32] = self.module.pooled_features(torch.from_numpy(pixels)).numpy()
        return found

    @torch.inference_mode()
    def logits(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Logits float32 [N, classes], before the temperature."""
        found: NDArray[np.float32] = self.module.logits(torch.from_numpy(pixels)).numpy()
        return found


def calibrate(run: Run) -> None:
    """Fit the temperature; where the network gives evidence, what tells dishes from anything else.

    Both files are written into the run folder.

    Args:
        run: with at least one finished epoch.
    """
    for stale in (run.familiarity, run.calibration):
        stale.unlink(missing_ok=True)
    model = TorchPredictor(run)
    pixels = views(run, "val").pixels
    temperature = model.fit_temperature()
    content = {"temperature": temperature, "epoch": model.epoch, "photos": len(pixels)}
    if model.module.network.evidence is not None:
        learnt = [*views(run, "train").pixels, *rendered_calibration_views(run)]
        # A dim or blurred dish is a dish: half of what is shown is changed so.
        train, val = (
            np.concatenate(
                [
                    model.pooled_features(batch)
                    for batch in batches([*some, *augmented_calibration_views(some)])
                ]
            )
            for some in (learnt, pixels)
        )
        start = started_from(run.recipe.network)
        before = import_ood(start) if start else None
        fit_ood(train, val, before).save(run.familiarity)
    write_text(run.calibration, json.dumps(content, indent=2) + "\n")
