"""The Lightning module: loss, accuracy, optimiser, schedule."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import log_softmax
from torch import Tensor, nn
from torch.optim.lr_scheduler import OneCycleLR, ReduceLROnPlateau
from torch.optim.swa_utils import AveragedModel

from platecheck.export.calibration import fit_temperature
from platecheck.training import torchvision_guard
from platecheck.training.datamodule import mix
from platecheck.training.feature_cache import FrozenBackbone
from platecheck.training.networks import PlateNet
from platecheck.training.recipe import Recipe
from platecheck.training.robust import CLEAN, DIRT, UNKNOWN

torchvision_guard.install()

from lightning.pytorch import LightningModule  # noqa: E402
from torchmetrics.classification import MulticlassAccuracy  # noqa: E402

# Photos, labels, for robust training where the dirt is, and what the teacher says of them.
Batch = (
    tuple[Tensor, Tensor] | tuple[Tensor, Tensor, Tensor] | tuple[Tensor, Tensor, Tensor, Tensor]
)

# How much the dirt map counts beside the class.
HEATMAP_WEIGHT = 0.5
# Of a dirty dish whose dirt nobody marked, this share of the dish is taken to be dirt.
SHARE_OF_DIRT = 0.01


class PlateModule(LightningModule):
    """Trains a `PlateNet` by a recipe."""

    def __init__(
        self,
        network: PlateNet,
        recipe: Recipe,
        *,
        classes: int,
        seed: int,
        dirty: int | None = None,
    ) -> None:
        """Train `network` by `recipe`; `seed` decides what dropout drops.

        `dirty` is the class whose dishes have dirt on them, for the evidence head.
        """
        super().__init__()
        self.network = network
        self.recipe = recipe
        self.seed = seed
        self.dirty = dirty
        self.frozen: FrozenBackbone | None = None
        self.loss = nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing)
        self.averaged: AveragedModel | None = None
        if recipe.ema_decay:
            average = ema_average(recipe.ema_decay)
            self.averaged = AveragedModel(network, avg_fn=average, use_buffers=True)
            self.averaged.requires_grad_(False)
        self.train_accuracy = MulticlassAccuracy(classes, average="micro")
        self.val_accuracy = MulticlassAccuracy(classes, average="micro")
        self.schedule: ReduceLROnPlateau | OneCycleLR | None = None
        self._schedule_state: dict[str, Any] | None = None
        self.epoch_learning_rate = recipe.optimizer.lr
        self._validated: list[tuple[NDArray[np.float32], NDArray[np.int64]]] = []

    @property
    def ema_network(self) -> PlateNet:
        """The network that is validated and kept: the average of weights where there is one."""
        if self.averaged is None:
            return self.network
        assert isinstance(self.averaged.module, PlateNet)
        return self.averaged.module

    def on_fit_start(self) -> None:
        if self.network.frozen:
            size = self.recipe.input.size
            self.frozen = FrozenBackbone(self.network.backbone, size=size, device=self.device)

    def forward(self, inputs: Tensor) -> Tensor:
        network = self.network if self.training else self.ema_network
        if self.frozen is None:
            logits: Tensor = network(inputs.to(memory_format=torch.channels_last))
            return logits
        features = self.frozen(inputs) if inputs.ndim == 4 else inputs
        head: Tensor = network.head(features)
        return head

    def on_train_epoch_start(self) -> None:
        """Note the learning rate of this epoch, before the schedule changes it; ramp dropout."""
        self.epoch_learning_rate = float(self.trainer.optimizers[0].param_groups[0]["lr"])
        recipe = self.recipe.network
        if recipe.dropout_ramp:
            grown = min(1.0, self.current_epoch / (recipe.dropout_ramp * self.recipe.epochs))
            for module in self.network.backbone.modules():
                if isinstance(module, nn.Dropout):
                    module.p = recipe.dropout * grown

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Seed dropout by epoch and step, so that a resumed run drops what an unbroken one did."""
        torch.manual_seed(mix(self.seed, self.current_epoch, batch_idx, self.global_rank))

    def training_step(self, batch: Batch, _batch_idx: int) -> dict[str, Tensor]:
        """Cross-entropy and accuracy of one batch; with an evidence head, its loss too."""
        if self.network.evidence is None or len(batch) < 3:
            return self._step(batch, self(batch[0]), "train", self.train_accuracy)
        photos = batch[0].to(memory_format=torch.channels_last)
        logits, dirt, _ = self.network.with_heatmap(photos)
        step = self._step(batch, logits, "train", self.train_accuracy)
        dirty = batch[1] == (-1 if self.dirty is None else self.dirty)
        step["loss"] = step["loss"] + HEATMAP_WEIGHT * heatmap_loss(dirt, batch[2], dirty)
        return step

    def validation_step(self, batch: Batch, _batch_idx: int) -> None:
        logits = self(batch[0])
        self._step(batch, logits, "val", self.val_accuracy)
        if self.recipe.soft_targets:
            self._validated.append((logits.float().cpu().numpy(), batch[1].cpu().numpy()))

    def on_validation_epoch_end(self) -> None:
        """With label smoothing or a teacher, the loss that counts is that of calibrated answers.

        These make every answer less sure than it is right; the temperature undoes that, and an
        epoch must not be chosen for being less smoothed.
        """
        if not self._validated:
            return
        logits, labels = (np.concatenate(part) for part in zip(*self._validated, strict=True))
        self._validated.clear()
        scores = log_softmax(logits / fit_temperature(logits, labels), axis=1)
        loss = -float(scores[np.arange(len(labels)), labels].mean())
        self.log("val_loss", loss, sync_dist=True)

    def _step(
        self, batch: Batch, logits: Tensor, split: str, accuracy: MulticlassAccuracy
    ) -> dict[str, Tensor]:
        labels = batch[1]
        # Smoothing is for learning; what validation says must not depend on it.
        loss: Tensor = (
            self.loss(logits, self._wanted(batch))
            if split == "train"
            else nn.functional.cross_entropy(logits, labels)
        )
        right: Tensor = accuracy(logits, labels)
        if split == "train":
            self.log("loss", loss, prog_bar=True, logger=False)
        n = len(labels)
        if split == "train" or not self.recipe.soft_targets:
            name = f"{split}_loss"
            self.log(name, loss, on_step=False, on_epoch=True, sync_dist=True, batch_size=n)
        self.log(f"{split}_accuracy", accuracy, on_step=False, on_epoch=True, batch_size=n)
        return {"loss": loss, "accuracy": right}

    def _wanted(self, batch: Batch) -> Tensor:
        """Labels [N], or with a teacher the probabilities [N, classes] that are to be given."""
        if len(batch) < 4 or self.recipe.teacher is None:
            return batch[1]
        taught, weight = batch[3], self.recipe.teacher.weight
        certain = nn.functional.one_hot(batch[1], taught.shape[1])
        return weight * taught + (1 - weight) * certain

    def configure_optimizers(self) -> torch.optim.Optimizer:
        made = {"radam": torch.optim.RAdam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}
        wanted = self.recipe.optimizer
        groups: list[dict[str, Any]] = [
            {"params": [p for p in self.network.parameters() if p.requires_grad]}
        ]
        if wanted.head_lr is not None:
            backbone = list(self.network.backbone.parameters())
            known = {id(p) for p in backbone}
            heads = [p for p in self.network.parameters() if id(p) not in known]
            groups = [{"params": backbone}, {"params": heads, "lr": wanted.head_lr}]
        optimizer: torch.optim.Optimizer = made[wanted.name](
            groups, lr=wanted.lr, weight_decay=wanted.weight_decay
        )
        schedule = self.recipe.schedule
        if schedule.name == "reduce_on_plateau":
            self.schedule = ReduceLROnPlateau(
                optimizer, factor=schedule.factor, patience=schedule.patience
            )
        elif schedule.name == "one_cycle":
            self.schedule = OneCycleLR(
                optimizer,
                max_lr=[float(group["lr"]) for group in optimizer.param_groups],
                total_steps=int(self.trainer.estimated_stepping_batches) + 1,
                pct_start=schedule.pct_start,
            )
        if self.schedule is not None and self._schedule_state is not None:
            state = self._schedule_state
            if isinstance(self.schedule, OneCycleLR):  # its length is that of all epochs wanted now
                state = {"last_epoch": state["last_epoch"]}
            self.schedule.load_state_dict(state)
        return optimizer

    def on_train_batch_end(self, *_: Any) -> None:
        """After every step: the average of weights, and the schedule that goes by steps."""
        if self.averaged is not None:
            self.averaged.update_parameters(self.network)
        if isinstance(self.schedule, OneCycleLR):
            self.schedule.step()

    def on_train_epoch_end(self) -> None:
        """Step the schedule.

        Not Lightning's to do: it would step after the checkpoint is saved and skip the step when
        it resumes, and the resumed run would go its own way.
        """
        if isinstance(self.schedule, ReduceLROnPlateau):
            self.schedule.step(float(self.trainer.callback_metrics["val_loss"]))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if self.schedule is not None:
            checkpoint["schedule"] = self.schedule.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Put the schedule's state aside until the optimiser exists."""
        self._schedule_state = checkpoint.get("schedule")


def ema_average(decay: float) -> Callable[[Tensor, Tensor, Tensor | int], Tensor]:
    """An exponential moving average that forgets its beginning: it starts with a short memory."""

    def average(averaged: Tensor, current: Tensor, steps: Tensor | int) -> Tensor:
        if not averaged.is_floating_point():  # a counter
            return current
        kept = min(decay, (1 + int(steps)) / (10 + int(steps)))
        return torch.lerp(current, averaged, kept)

    return average


def heatmap_loss(dirt: Tensor, target: Tensor, dirty: Tensor) -> Tensor:
    """What the dirt map costs.

    Where the truth is known, binary cross-entropy, dirt weighing as much as all that is clean. On
    a dirty dish whose dirt nobody marked, the dirtiest places of the unknown part must be dirt
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
        places = max(1, round(SHARE_OF_DIRT * dirt.shape[1] * dirt.shape[2]))
        hidden = dirt.masked_fill(~unknown, -torch.inf)[searched].flatten(1)
        found = hidden.topk(places, dim=1).values
        # Where fewer places are unknown than are looked for, the rest is nowhere.
        terms.append(nn.functional.softplus(-found[found > -torch.inf]).mean())
    return torch.stack(terms).mean() if terms else dirt.sum() * 0
