"""The Lightning module: loss, accuracy, optimizer, schedule."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import log_softmax
from torch import Tensor, nn
from torch.optim.lr_scheduler import OneCycleLR, ReduceLROnPlateau

from platecheck.training import torchvision_guard
from platecheck.training.datamodule import derive_seed
from platecheck.training.feature_cache import FrozenBackbone
from platecheck.training.plate_net import PlateNet
from platecheck.training.recipe import Recipe
from platecheck.training.robust import CLEAN, DIRT, UNKNOWN
from platecheck.training.temperature import fit_temperature

torchvision_guard.install()

from lightning.pytorch import LightningModule  # noqa: E402
from timm.utils.model_ema import ModelEmaV3  # noqa: E402
from torchmetrics.classification import MulticlassAccuracy  # noqa: E402

# Photos and labels; for robust training also the heatmap's target, and the teacher's predictions.
Batch = tuple[Tensor, ...]

HEATMAP_WEIGHT = 0.5  # of the heatmap loss; the classification loss has weight 1
DIRT_SHARE = 0.01  # assumed share of dirty cells without a dirt mask (MIL)
EMA_WARMUP = 9.0  # after n steps the average's decay is at most n / (n + 9)


class PlateModule(LightningModule):
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
        super().__init__()
        self.network = network
        self.recipe = recipe
        self.seed = seed
        self.dirty = dirty
        self.frozen: FrozenBackbone | None = None
        self.loss = nn.CrossEntropyLoss(label_smoothing=recipe.label_smoothing)
        self.averaged: ModelEmaV3 | None = None
        if decay := recipe.ema_decay:
            self.averaged = ModelEmaV3(
                network, decay, use_warmup=True, warmup_gamma=EMA_WARMUP, warmup_power=1.0
            ).requires_grad_(False)
        self.train_accuracy = MulticlassAccuracy(classes, average="micro")
        self.val_accuracy = MulticlassAccuracy(classes, average="micro")
        self.schedule: ReduceLROnPlateau | OneCycleLR | None = None
        self._schedule_state: dict[str, Any] | None = None
        self.epoch_learning_rate = recipe.optimizer.lr
        self._validated: list[tuple[NDArray[np.float32], NDArray[np.int64]]] = []

    @property
    def ema_network(self) -> PlateNet:
        """The network that is validated and saved: the EMA weights, if enabled."""
        if self.averaged is None:
            return self.network
        assert isinstance(self.averaged.module, PlateNet)
        return self.averaged.module

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
        """Note the learning rate before the schedule changes it; ramp dropout."""
        self.epoch_learning_rate = float(self.trainer.optimizers[0].param_groups[0]["lr"])
        recipe = self.recipe.network
        if recipe.dropout_ramp:
            grown = min(1.0, self.current_epoch / (recipe.dropout_ramp * self.recipe.epochs))
            for module in self.network.backbone.modules():
                if isinstance(module, nn.Dropout):
                    module.p = recipe.dropout * grown

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Seed dropout by epoch and step, so that a resumed run drops the same units."""
        seed = derive_seed(self.seed, self.current_epoch, batch_idx, self.global_rank)
        torch.manual_seed(seed)

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

    def _log_epoch(self, name: str, value: Any, photos: int) -> None:
        self.log(name, value, on_step=False, on_epoch=True, sync_dist=True, batch_size=photos)

    def _targets(self, batch: Batch) -> Tensor:
        """Return labels [N], or with a teacher probabilities [N, classes]."""
        if len(batch) < 4 or self.recipe.teacher is None:
            return batch[1]
        taught, weight = batch[3], self.recipe.teacher.weight
        certain = nn.functional.one_hot(batch[1], taught.shape[1])
        return weight * taught + (1 - weight) * certain

    def configure_optimizers(self) -> torch.optim.Optimizer:
        kinds = {"radam": torch.optim.RAdam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}
        recipe, schedule = self.recipe.optimizer, self.recipe.schedule
        groups: list[dict[str, Any]] = [
            {"params": [p for p in self.network.parameters() if p.requires_grad]}
        ]
        if recipe.head_lr is not None:
            backbone = list(self.network.backbone.parameters())
            known = {id(p) for p in backbone}
            heads = [p for p in self.network.parameters() if id(p) not in known]
            groups = [{"params": backbone}, {"params": heads, "lr": recipe.head_lr}]
        optimizer: torch.optim.Optimizer = kinds[recipe.name](
            groups, lr=recipe.lr, weight_decay=recipe.weight_decay
        )
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
        if self.schedule is not None and (state := self._schedule_state) is not None:
            if isinstance(self.schedule, OneCycleLR):  # the number of epochs may have changed
                state = {"last_epoch": state["last_epoch"]}
            self.schedule.load_state_dict(state)
        return optimizer

    def on_train_batch_end(self, *_: Any) -> None:
        if self.averaged is not None:
            self.averaged.update(self.network, step=self.global_step)
        if isinstance(self.schedule, OneCycleLR):
            self.schedule.step()

    def on_train_epoch_end(self) -> None:
        """Step the schedule.

        Lightning would step after the checkpoint is saved and skip the step when it resumes, so
        that the resumed run would differ.
        """
        if isinstance(self.schedule, ReduceLROnPlateau):
            self.schedule.step(float(self.trainer.callback_metrics["val_loss"]))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if self.schedule is not None:
            checkpoint["schedule"] = self.schedule.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the schedule's state until the optimizer exists."""
        self._schedule_state = checkpoint.get("schedule")
        checkpoint["state_dict"].pop("averaged.n_averaged", None)  # of version 0.1


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
