"""What training a classifier and a detector have in common: optimizer, schedule, averaging."""

from typing import Any, Generic, TypeVar

import torch
from torch.optim.lr_scheduler import OneCycleLR, ReduceLROnPlateau

from platecheck.training import torchvision_guard
from platecheck.training.datamodule import derive_seed
from platecheck.training.plate_net import TrainedNet
from platecheck.training.recipe import Recipe

torchvision_guard.install()

from lightning.pytorch import LightningModule  # noqa: E402
from timm.utils.model_ema import ModelEmaV3  # noqa: E402

EMA_WARMUP = 9.0  # after n steps the average's decay is at most n / (n + 9)

Net = TypeVar("Net", bound=TrainedNet)


class RecipeModule(LightningModule, Generic[Net]):
    """Trains a network with the optimizer, schedule and weight averaging of a recipe."""

    def __init__(self, network: Net, recipe: Recipe, *, seed: int) -> None:
        """Set up training; `seed` is that of random parts, such as dropout."""
        super().__init__()
        self.network = network
        self.recipe = recipe
        self.seed = seed
        self.averaged: ModelEmaV3 | None = None
        if decay := recipe.ema_decay:
            self.averaged = ModelEmaV3(
                network, decay, use_warmup=True, warmup_gamma=EMA_WARMUP, warmup_power=1.0
            ).requires_grad_(False)
        self.schedule: ReduceLROnPlateau | OneCycleLR | None = None
        self._schedule_state: dict[str, Any] | None = None
        self.epoch_learning_rate = recipe.optimizer.lr

    @property
    def ema_network(self) -> Net:
        """The network that is validated and saved: the EMA weights, if enabled."""
        if self.averaged is None:
            return self.network
        averaged: Net = self.averaged.module
        return averaged

    def on_train_epoch_start(self) -> None:
        """Note the learning rate before the schedule changes it."""
        self.epoch_learning_rate = float(self.trainer.optimizers[0].param_groups[0]["lr"])

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Seed dropout by epoch and step, so that a resumed run drops the same units."""
        seed = derive_seed(self.seed, self.current_epoch, batch_idx, self.global_rank)
        torch.manual_seed(seed)

    def _log_epoch(self, name: str, value: Any, photos: int) -> None:
        self.log(name, value, on_step=False, on_epoch=True, sync_dist=True, batch_size=photos)

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
