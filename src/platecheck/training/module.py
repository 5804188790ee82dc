"""The Lightning module: loss, accuracy, optimiser, schedule."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from platecheck.training import torchvision_guard
from platecheck.training.datamodule import mix
from platecheck.training.frozen import FrozenBackbone
from platecheck.training.networks import PlateNet
from platecheck.training.recipe import Recipe

torchvision_guard.install()

from lightning.pytorch import LightningModule  # noqa: E402
from torchmetrics.classification import MulticlassAccuracy  # noqa: E402

Batch = tuple[Tensor, Tensor]


class PlateModule(LightningModule):
    """Trains a :class:`PlateNet` by a recipe."""

    def __init__(self, network: PlateNet, recipe: Recipe, *, classes: int, seed: int) -> None:
        """Train `network` by `recipe`; `seed` decides what dropout drops."""
        super().__init__()
        self.network = network
        self.recipe = recipe
        self.seed = seed
        self.frozen: FrozenBackbone | None = None
        self.loss = nn.CrossEntropyLoss()
        self.train_accuracy = MulticlassAccuracy(classes, average="micro")
        self.val_accuracy = MulticlassAccuracy(classes, average="micro")
        self.schedule: ReduceLROnPlateau | None = None
        self._schedule_state: dict[str, Any] | None = None
        self.epoch_learning_rate = recipe.optimizer.lr

    def on_fit_start(self) -> None:
        """Prepare the frozen backbone, now that the device is known."""
        if self.network.frozen:
            size = self.recipe.input.size
            self.frozen = FrozenBackbone(self.network.backbone, size=size, device=self.device)

    def forward(self, inputs: Tensor) -> Tensor:
        """Logits [N, classes] of photos [N, 3, H, W], or of a frozen backbone's features [N, F]."""
        if self.frozen is None:
            logits: Tensor = self.network(inputs.to(memory_format=torch.channels_last))
            return logits
        features = self.frozen(inputs) if inputs.ndim == 4 else inputs
        head: Tensor = self.network.head(features)
        return head

    def on_train_epoch_start(self) -> None:
        """Note the learning rate of this epoch, before the schedule changes it."""
        self.epoch_learning_rate = float(self.trainer.optimizers[0].param_groups[0]["lr"])

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Seed dropout by epoch and step, so that a resumed run drops what an unbroken one did."""
        torch.manual_seed(mix(self.seed, self.current_epoch, batch_idx, self.global_rank))

    def training_step(self, batch: Batch, _batch_idx: int) -> dict[str, Tensor]:
        """Cross-entropy and accuracy of one batch."""
        return self._step(batch, "train", self.train_accuracy)

    def validation_step(self, batch: Batch, _batch_idx: int) -> None:
        """Log loss and accuracy of one validation batch."""
        self._step(batch, "val", self.val_accuracy)

    def _step(self, batch: Batch, split: str, accuracy: MulticlassAccuracy) -> dict[str, Tensor]:
        inputs, labels = batch
        logits = self(inputs)
        loss: Tensor = self.loss(logits, labels)
        right: Tensor = accuracy(logits, labels)
        if split == "train":
            self.log("loss", loss, prog_bar=True, logger=False)
        n = len(labels)
        self.log(f"{split}_loss", loss, on_step=False, on_epoch=True, sync_dist=True, batch_size=n)
        self.log(f"{split}_accuracy", accuracy, on_step=False, on_epoch=True, batch_size=n)
        return {"loss": loss, "accuracy": right}

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """The recipe's optimiser, over what is not frozen."""
        made = {"radam": torch.optim.RAdam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}
        wanted = self.recipe.optimizer
        learned = [p for p in self.network.parameters() if p.requires_grad]
        optimizer: torch.optim.Optimizer = made[wanted.name](
            learned, lr=wanted.lr, weight_decay=wanted.weight_decay
        )
        schedule = self.recipe.schedule
        if schedule.name == "reduce_on_plateau":
            self.schedule = ReduceLROnPlateau(
                optimizer, factor=schedule.factor, patience=schedule.patience
            )
            if self._schedule_state is not None:
                self.schedule.load_state_dict(self._schedule_state)
        return optimizer

    def on_train_epoch_end(self) -> None:
        """Step the schedule.

        Not Lightning's to do: it would step after the checkpoint is saved and skip the step when
        it resumes, and the resumed run would go its own way.
        """
        if self.schedule is not None:
            self.schedule.step(float(self.trainer.callback_metrics["val_loss"]))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the schedule's state."""
        if self.schedule is not None:
            checkpoint["schedule"] = self.schedule.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Put the schedule's state aside until the optimiser exists."""
        self._schedule_state = checkpoint.get("schedule")
