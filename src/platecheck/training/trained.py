"""The network of a run, ready to answer."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from platecheck.errors import ModelError
from platecheck.training.networks import PlateNet, build_network
from platecheck.training.pretrained import read_state
from platecheck.training.recipe import Normalization
from platecheck.training.run import Run


class WholeModel(nn.Module):
    """From uint8 photos to probabilities: what is exported.

    Normalisation and temperature are part of it, so that whoever runs it cannot get them wrong.
    """

    def __init__(self, network: PlateNet, normalization: Normalization, temperature: float) -> None:
        """Wrap a network."""
        super().__init__()
        self.network = network
        mean, std = torch.tensor(normalization.mean), torch.tensor(normalization.std)
        # (pixel / 255 - mean) / std, as one multiplication and one addition
        self.scale = nn.Buffer(1 / (255 * std))
        self.shift = nn.Buffer(-mean / std)
        self.temperature = temperature

    def forward(self, pixels: Tensor) -> Tensor:
        """Probabilities [N, classes] of photos uint8 [N, H, W, 3]."""
        return torch.softmax(self.logits(pixels) / self.temperature, dim=1)

    def logits(self, pixels: Tensor) -> Tensor:
        """Logits [N, classes] before the temperature."""
        inputs = (pixels.float() * self.scale + self.shift).permute(0, 3, 1, 2)
        found: Tensor = self.network(inputs)
        return found


class TrainedModel:
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
        self.module = WholeModel(network, run.facts.normalization, run.temperature).eval()

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names, in the order of the probabilities."""
        return self.run.facts.classes

    @property
    def size(self) -> int:
        """Pixels of the square input."""
        return self.run.recipe.input.size

    @torch.inference_mode()
    def probabilities(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Probabilities float32 [N, classes] of photos uint8 [N, size, size, 3]."""
        found: NDArray[np.float32] = self.module(torch.from_numpy(pixels)).numpy()
        return found

    @torch.inference_mode()
    def logits(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Logits float32 [N, classes], before the temperature."""
        found: NDArray[np.float32] = self.module.logits(torch.from_numpy(pixels)).numpy()
        return found
