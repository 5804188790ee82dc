"""What a person sees while a network trains: a bar an epoch, and a line when it is over."""

from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from platecheck.training import torchvision_guard

torchvision_guard.install()

from lightning.pytorch import LightningModule, Trainer  # noqa: E402
from lightning.pytorch.callbacks import Callback  # noqa: E402


class TrainingProgress(Callback):
    """A bar with the loss and accuracy so far, where a person looks; a line an epoch everywhere."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[figures]}"),
            console=console,
            disable=not console.is_terminal,
            transient=True,
        )
        self.bar = self.progress.add_task("", figures="", visible=False)
        self.photos = 0
        self.right = 0.0

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.is_global_zero:
            self.photos, self.right = 0, 0.0
            self.progress.start()
            title = f"epoch {trainer.current_epoch + 1}/{trainer.max_epochs}"
            batches = trainer.num_training_batches
            self.progress.reset(self.bar, total=batches, description=title, visible=True)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Move the bar.

        The accuracy is that of the first process's photos: to ask the module's metric would wait
        for the other processes, which do not come here.
        """
        if trainer.is_global_zero:
            photos = len(batch[1])
            self.photos += photos
            self.right += photos * float(outputs["accuracy"])
            figures = f"loss {float(outputs['loss']):.4f}  accuracy {self.right / self.photos:.2%}"
            self.progress.update(self.bar, advance=1, figures=figures)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say what takes time after the last batch."""
        self.progress.update(self.bar, figures="validating")

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        figures = {name: float(value) for name, value in trainer.callback_metrics.items()}
        self.progress.console.print(
            f"epoch {trainer.current_epoch + 1:>3}/{trainer.max_epochs}"
            f"  train loss {figures['train_loss']:.4f} accuracy {figures['train_accuracy']:7.2%}"
            f"  validation loss {figures['val_loss']:.4f} accuracy {figures['val_accuracy']:7.2%}",
            highlight=False,
        )

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.progress.stop()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """Take the bar away, so that the terminal is as it was."""
        self.progress.stop()
