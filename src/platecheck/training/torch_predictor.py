"""PyTorch inference with the network of a run."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from platecheck.errors import ModelError
from platecheck.training.memory import keep_freed_memory
from platecheck.training.plate_net import build_network
from platecheck.training.pretrained import read_state
from platecheck.training.run import Run
from platecheck.training.temperature import Scaling


class TorchPredictor:
    """A run's network at one epoch; predicts probabilities like an exported model."""

    def __init__(self, run: Run, epoch: int | None = None, *, device: str = "cpu") -> None:
        """Load the weights of an epoch [default: the best one] onto a device.

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
                f"the weights of epoch {self.epoch} in {run.folder} are not finite: the training"
                " diverged; choose an earlier epoch, or train again with a lower learning rate"
            )
        keep_freed_memory()
        self.device = device
        self.network = network.eval().to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        # (pixel / 255 - mean) / std, as one multiplication and one addition
        mean, std = (torch.tensor(v) for v in vars(run.facts.normalization).values())
        self.scale = (1 / (255 * std))[:, None, None]
        self.shift = (-mean / std)[:, None, None]
        # Calibration is fitted to the best epoch.
        self.calibrated = bool(run.history) and self.epoch == run.best_epoch
        self.scaling = run.scaling if self.calibrated else Scaling()

    @property
    def classes(self) -> tuple[str, ...]:
        return self.run.facts.classes

    @property
    def size(self) -> int:
        return self.run.recipe.input.size

    def normalize(self, pixels: Tensor) -> Tensor:
        """Return the network's input [N, 3, H, W] for photos uint8 [N, H, W, 3]."""
        return pixels.permute(0, 3, 1, 2).float() * self.scale + self.shift

    def _input(self, pixels: NDArray[np.uint8]) -> Tensor:
        return self.normalize(torch.from_numpy(pixels)).to(self.device)

    @torch.inference_mode()
    def logits(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return logits [N, classes] for photos uint8 [N, size, size, 3]."""
        found: NDArray[np.float32] = self.network(self._input(pixels)).cpu().numpy()
        return found

    def probabilities(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return probabilities [N, classes] for photos uint8 [N, size, size, 3]."""
        temperature, bias = self.scaling
        logits = torch.from_numpy(self.logits(pixels)) / temperature + torch.tensor(bias)
        found: NDArray[np.float32] = torch.softmax(logits, dim=1).numpy()
        return found

    @torch.inference_mode()
    def pooled_features(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return pooled features [N, F] for OOD detection; needs a heatmap head."""
        features = self.network.forward_with_heatmap(self._input(pixels))[2]
        found: NDArray[np.float32] = features.cpu().numpy()
        return found
