"""Lightning callbacks: checkpointing and progress."""

import json
import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from safetensors.torch import save_file

from platecheck.errors import ModelError
from platecheck.files import replacing
from platecheck.training import torchvision_guard
from platecheck.training.module import PlateModule
from platecheck.training.run import HISTORY_KEYS, History, Run, write_history

torchvision_guard.install()

from lightning.pytorch import LightningModule, Trainer  # noqa: E402
from lightning.pytorch.callbacks import Callback, Checkpoint  # noqa: E402

OnEpoch = Callable[[Run], None]


class DivergedError(ModelError):
    """Loss or weights are not finite; nothing of the epoch is kept."""

    def __init__(self, epoch: int, loss: float, rate: float) -> None:
        few = {1: "no earlier epoch to keep", 2: "the first one is kept"}
        kept = few.get(epoch, f"the {epoch - 1} before it are kept")
        finite = math.isfinite(loss)
        what = "some weights are not finite" if finite else f"the validation loss is {loss}"
        super().__init__(
            f"the training diverged in epoch {epoch}: {what}; {kept}. Train into another folder"
            f" with a lower learning rate than {rate:g} (--set optimizer.lr=…), with"
            " --set optimizer.clip_gradient=1 or with --precision 32-true"
        )


class RunCheckpoint(Checkpoint):
    """Save after every epoch: its weights, the history, then the state to resume from.

    In that order, because the checkpoint commits the epoch. Lightning calls a `Checkpoint`
    after all other callbacks.
    """

    def __init__(self, run: Run, on_epoch: OnEpoch | None = None) -> None:
        self.run = run
        self.history: History = []
        self.on_epoch = on_epoch
        self._started = 0.0

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._started = time.monotonic()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        assert isinstance(pl_module, PlateModule)
        epoch, rate = trainer.current_epoch + 1, pl_module.epoch_learning_rate
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        state = pl_module.ema_network.learned_state()
        finite = all(bool(tensor.isfinite().all()) for tensor in state.values())
        # The training loss may overflow in half precision: such a step is skipped.
        if not math.isfinite(metrics["val_loss"]) or not finite:
            raise DivergedError(epoch, metrics["val_loss"], rate)
        seconds = round(time.monotonic() - self._started, 3)
        row = metrics | {"epoch": epoch, "learning_rate": rate, "seconds": seconds}
        self.history.append({key: row[key] for key in HISTORY_KEYS})
        first = trainer.is_global_zero
        if first:
            with replacing(self.run.weights(epoch)) as temporary:
                names = {"classes": json.dumps(self.run.facts.classes)}
                save_file(state, temporary, metadata=names)
            write_history(self.run.folder / "history.csv", self.history)
        # Every process must call save_checkpoint; only the first one writes.
        with replacing(self.run.checkpoint) if first else nullcontext(Path()) as temporary:
            trainer.save_checkpoint(temporary)
        if first and self.on_epoch:
            self.on_epoch(Run.load(self.run.folder))

    def state_dict(self) -> dict[str, Any]:
        """Store the history in the checkpoint, so that they are always consistent."""
        return {"history": self.history}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.history = state_dict["history"]


class TrainingProgress(Callback):
    """Print one line per epoch and, on a terminal, a progress bar with loss and accuracy."""

    def __init__(self, console: Console) -> None:
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[metrics]}"),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )
        self.bar = self.progress.add_task("", metrics="", visible=False)
        self.photos = 0
        self.correct = 0.0

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.is_global_zero:
            self.photos, self.correct = 0, 0.0
            self.progress.start()
            title = f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"
            batches = trainer.num_training_batches
            self.progress.reset(self.bar, total=batches, description=title, visible=True)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Advance the bar, with the accuracy of the first process's photos.

        Computing the module's metric would wait for the other processes.
        """
        if trainer.is_global_zero:
            photos = len(batch[1])
            self.photos += photos
            self.correct += photos * float(outputs["accuracy"])
            accuracy = self.correct / self.photos
            metrics = f"loss {float(outputs['loss']):.4f}  accuracy {accuracy:.2%}"
            self.progress.update(self.bar, advance=1, metrics=metrics)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.progress.update(self.bar, metrics="validating")

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.is_global_zero:
            metrics = trainer.callback_metrics
            self.progress.console.print(
                f"epoch {trainer.current_epoch + 1:>3}/{trainer.max_epochs}"
                f"  train loss {metrics['train_loss']:.4f}"
                f" accuracy {metrics['train_accuracy']:7.2%}"
                f"  validation loss {metrics['val_loss']:.4f}"
                f" accuracy {metrics['val_accuracy']:7.2%}",
                highlight=False,
            )

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.progress.stop()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        self.progress.stop()
