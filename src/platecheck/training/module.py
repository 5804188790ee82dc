"""The Lightning module of a classifier: loss and accuracy."""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import log_softmax
from torch import Tensor, nn

from platecheck.training import torchvision_guard
from platecheck.training.feature_cache import FrozenBackbone
from platecheck.training.plate_net import PlateNet
from platecheck.training.recipe import Recipe
from platecheck.training.recipe_module import RecipeModule
from platecheck.training.robust import CLEAN, DIRT, UNKNOWN
from platecheck.training.temperature import fit_temperature

torchvision_guard.install()

from torchmetrics.classification import MulticlassAccuracy  # noqa: E402

# Photos and labels; for robust training also the heatmap's target, and the teacher's predictions.
Batch = tuple[Tensor, ...]

HEATMAP_WEIGHT = 0.5  # of the heatmap loss; the classification loss has weight 1
DIRT_SHARE = 0.01  # assumed share of dirty cells without a dirt mask (MIL)


class PlateModule(RecipeModule[PlateNet]):
    """Trains a `PlateNet` according to a recipe."""

    def __init__(
        self,
        network: PlateNet,
        recipe: Recipe,
        *,
        classes: int,
        seed: int,
        dirty: int | None = None,
    ) -> None:
        """Set up training; `seed` is that of dropout, `dirty` the index of the class with dirt."""
        super().__init__(network, recipe, seed=seed)
        self.dirty = dirty
        self.frozen: FrozenBackbone | None = None
        self.loss = nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing)
        self.train_accuracy = MulticlassAccuracy(classes, average="micro")
        self.val_accuracy = MulticlassAccuracy(classes, average="micro")
        self._validated: list[tuple[NDArray[np.float32], NDArray[np.int64]]] = []

    def on_fit_start(self) -> None:
        if self.network.frozen:
            size = self.recipe.input.size
            self.frozen = FrozenBackbone(self.network.backbone, size=size, device=self.device)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return logits of photos [N, 3, H, W], or of features [N, F] of a frozen backbone."""
        network = self.network if self.training else self.ema_network
        if self.frozen is None:
            logits: Tensor = network(inputs.to(memory_format=torch.channels_last))
            return logits
        head: Tensor = network.head(self.frozen(inputs) if inputs.ndim == 4 else inputs)
        return head

    def on_train_epoch_start(self) -> None:
        """Note the learning rate; ramp dropout."""
        super().on_train_epoch_start()
        recipe = self.recipe.network
        if recipe.dropout_ramp:
            grown = min(1.0, self.current_epoch / (recipe.dropout_ramp * self.recipe.epochs))
            for module in self.network.backbone.modules():
                if isinstance(module, nn.Dropout):
                    module.p = recipe.dropout * grown

    def training_step(self, batch: Batch, _batch_idx: int) -> dict[str, Tensor]:
        photos, labels = batch[:2]
        heatmap_term: Tensor | float = 0.0
        if self.network.evidence is None or len(batch) < 3:
            logits = self(photos)
        else:
            photos = photos.to(memory_format=torch.channels_last)
            logits, dirt, _ = self.network.forward_with_heatmap(photos)
            dirty = labels == (-1 if self.dirty is None else self.dirty)
            heatmap_term = HEATMAP_WEIGHT * heatmap_loss(dirt, batch[2], dirty)
        loss = self.loss(logits, self._targets(batch))
        accuracy: Tensor = self.train_accuracy(logits, labels)
        self._log_epoch("train_loss", loss, len(labels))
        self._log_epoch("train_accuracy", self.train_accuracy, len(labels))
        return {"loss": loss + heatmap_term, "accuracy": accuracy}

    def validation_step(self, batch: Batch, _batch_idx: int) -> None:
        photos, labels = batch[:2]
        logits = self(photos)
        self.val_accuracy(logits, labels)
        self._log_epoch("val_accuracy", self.val_accuracy, len(labels))
        if self.recipe.soft_targets:
            self._validated.append((logits.float().cpu().numpy(), labels.cpu().numpy()))
        else:
            loss = nn.functional.cross_entropy(logits, labels)
            self._log_epoch("val_loss", loss, len(labels))

    def on_validation_epoch_end(self) -> None:
        """With soft targets, log the loss of calibrated predictions.

        Soft targets make the network underconfident, which the temperature undoes; an epoch must
        not be selected for its calibration alone.
        """
        if not self._validated:
            return
        logits, labels = (np.concatenate(part) for part in zip(*self._validated, strict=True))
        self._validated.clear()
        scores = log_softmax(logits / fit_temperature(logits, labels), axis=1)
        loss = -float(scores[np.arange(len(labels)), labels].mean())
        self.log("val_loss", loss, sync_dist=True)

    def _targets(self, batch: Batch) -> Tensor:
        """Return labels [N], or with a teacher probabilities [N, classes]."""
        if len(batch) < 4 or self.recipe.teacher is None:
            return batch[1]
        taught, weight = batch[3], self.recipe.teacher.weight
        certain = nn.functional.one_hot(batch[1], taught.shape[1])
        return weight * taught + (1 - weight) * certain


def heatmap_loss(dirt: Tensor, target: Tensor, dirty: Tensor) -> Tensor:
    """Return the loss of the heatmap.

    Where the mask is known: binary cross-entropy, with dirty and clean cells weighted equally. On
    a dirty dish without a dirt mask, the top-k logits of the unknown cells must be dirt
    (multiple-instance learning: Ilse et al., 2018, has a survey).

    Args:
        dirt: logits [N, h, w].
        target: CLEAN, DIRT or UNKNOWN, [N, h, w].
        dirty: bool [N].
    """
    dirt = dirt.float()
    terms = []
    for truth in (CLEAN, DIRT):
        known = target == truth
        if known.any():
            loss = nn.functional.binary_cross_entropy_with_logits
            terms.append(loss(dirt[known], torch.full_like(dirt[known], float(truth == DIRT))))
    unknown = target == UNKNOWN
    searched = dirty & unknown.any(dim=2).any(dim=1)
    if searched.any():
        places = max(1, round(DIRT_SHARE * dirt.shape[1] * dirt.shape[2]))
        hidden = dirt.masked_fill(~unknown, -torch.inf)[searched].flatten(1)
        found = hidden.topk(places, dim=1).values
        # There may be fewer unknown cells than `places`.
        terms.append(nn.functional.softplus(-found[found > -torch.inf]).mean())
    return torch.stack(terms).mean() if terms else dirt.sum() * 0
