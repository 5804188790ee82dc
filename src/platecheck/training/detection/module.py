"""The Lightning module of a detector: losses and average precision."""

import torch
from torch import Tensor, nn

from platecheck.training.detection.loss import Target, detection_loss
from platecheck.training.detection.metrics import Matched, average_precision, best_boxes, match
from platecheck.training.detection.network import DishDetector
from platecheck.training.recipe import Normalization, Recipe
from platecheck.training.recipe_module import RecipeModule

# Photos uint8 [N, S, S, 3] and the boxes of each.
BoxBatch = tuple[Tensor, list[Target]]


class DetectorModule(RecipeModule[DishDetector]):
    """Trains a `DishDetector` according to a recipe."""

    def __init__(
        self, network: DishDetector, recipe: Recipe, normalization: Normalization, *, seed: int
    ) -> None:
        super().__init__(network, recipe, seed=seed)
        assert recipe.detection is not None
        self.nms_iou = recipe.detection.nms_iou
        self.mean = nn.Buffer(torch.tensor(normalization.mean) * 255, persistent=False)
        self.std = nn.Buffer(torch.tensor(normalization.std) * 255, persistent=False)
        self._matched: list[Matched] = []

    def forward(self, photos: Tensor) -> tuple[Tensor, Tensor]:
        """Return score logits [N, A] and boxes [N, A, 4] of uint8 photos [N, S, S, 3]."""
        network = self.network if self.training else self.ema_network
        inputs = ((photos - self.mean) / self.std).permute(0, 3, 1, 2)
        result: tuple[Tensor, Tensor] = network(inputs)
        return result

    def training_step(self, batch: BoxBatch, _batch_idx: int) -> dict[str, Tensor]:
        loss = self._loss(batch, *self(batch[0]))
        self._log_epoch("train_loss", loss, len(batch[0]))
        return {"loss": loss}

    def validation_step(self, batch: BoxBatch, _batch_idx: int) -> None:
        photos, targets = batch
        logits, boxes = self(photos)
        self._log_epoch("val_loss", self._loss(batch, logits, boxes), len(photos))
        rows = zip(boxes.cpu().numpy(), logits.sigmoid().cpu().numpy(), targets, strict=True)
        for places, scores, target in rows:
            found = best_boxes(places, scores, self.nms_iou)
            truth = target.boxes.cpu().numpy()
            self._matched.append(match(*found, truth, complete=target.complete))

    def on_validation_epoch_end(self) -> None:
        self.log("val_ap50", average_precision(self._matched), sync_dist=True)
        self._matched.clear()

    def _loss(self, batch: BoxBatch, logits: Tensor, boxes: Tensor) -> Tensor:
        scored, fitted = detection_loss(logits, boxes, self.network.positions, batch[1])
        return scored + fitted
