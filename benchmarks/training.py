"""Training: an epoch from scratch, and a transfer until it is good."""

import shutil
import tempfile
import time
from pathlib import Path

from benchmarks.plain import PlainTraining, photos_at
from benchmarks.timing import Row
from platecheck.data.folders import PhotoSet
from platecheck.training import torchvision_guard
from platecheck.training.recipe import Recipe, load_recipe
from platecheck.training.train import TrainerSettings, TrainingSetup, build_run, train_epochs

torchvision_guard.install()

from lightning.pytorch.callbacks import Callback  # noqa: E402

GOOD = 0.95
MOST_EPOCHS = 20


class Clock(Callback):
    """Notes the seconds of every epoch, validation included, and when validation got good."""

    def __init__(self) -> None:
        self.started = time.perf_counter()
        self.epochs: list[float] = []
        self.good_after: float | None = None

    def on_train_epoch_start(self, trainer, pl_module) -> None:
        self.epoch_started = time.perf_counter()

    def on_train_epoch_end(self, trainer, pl_module) -> None:
        now = time.perf_counter()
        self.epochs.append(now - self.epoch_started)
        if trainer.callback_metrics["val_accuracy"] >= GOOD and self.good_after is None:
            self.good_after = now - self.started
            trainer.should_stop = self.stop_when_good

    stop_when_good = False


def _prepared(
    recipe: Recipe, data: Path, folder: Path, precision: str = "32-true"
) -> TrainingSetup:
    shutil.rmtree(folder, ignore_errors=True)
    settings = TrainerSettings(accelerator="cpu", devices=1, precision=precision)
    return build_run(recipe, data, folder, settings=settings)


def epochs_from_scratch(data: Path, *, rounds: int) -> list[Row]:
    """An epoch of ``tiny_vgg``: the plain loop, then ours in float32, then in bfloat16, in turn."""
    recipe = load_recipe("tiny_vgg", [f"epochs={rounds + 1}"])
    photos = photos_at(data)
    times: dict[str, list[float]] = {"plain": [], "32-true": [], "bf16-mixed": []}
    with tempfile.TemporaryDirectory() as folder:
        prepared = {p: _prepared(recipe, data, Path(folder, p), p) for p in list(times)[1:]}
        normalization = prepared["32-true"].run.facts.normalization
        plain = PlainTraining(recipe, photos, normalization)
        plain.epoch()
        for _ in range(rounds):
            start = time.perf_counter()
            plain.epoch()
            times["plain"].append(time.perf_counter() - start)
            for precision, ready in prepared.items():
                clock = Clock()
                # One epoch to warm up (workers, cache), one that counts.
                short = ready.run.recipe.model_copy(update={"epochs": 2})
                again = _prepared(short, data, ready.run.folder, precision)
                train_epochs(again, None, callbacks=[clock])
                times[precision].append(clock.epochs[-1])
    goals = {"32-true": 1.5, "bf16-mixed": 3.0}
    return [
        Row(
            f"an epoch of tiny_vgg, {precision}",
            "ImageFolder + DataLoader, eager float32",
            sorted(times["plain"])[rounds // 2],
            f"platecheck train, {precision}",
            sorted(times[precision])[rounds // 2],
            tuple(a / b for a, b in zip(times["plain"], times[precision], strict=True)),
            goal,
            f"{len(photos.split('train'))} photos to train, {len(photos.split('val'))} to validate",
        )
        for precision, goal in goals.items()
    ]


def transfer_until_good(data: Path) -> list[Row]:
    """Seconds until ``efficientnet_lite2`` has 95 % of the validation photos right."""
    photos = photos_at(data)
    name = "efficientnet_lite2"
    recipe = load_recipe(name, [f"epochs={MOST_EPOCHS}"])
    with tempfile.TemporaryDirectory() as folder:
        clock = Clock()
        clock.stop_when_good = True
        start = time.perf_counter()
        train_epochs(_prepared(recipe, data, Path(folder, "run")), None, callbacks=[clock])
    plain_seconds, plain_epochs = _plain_until_good(recipe, photos)
    what = f"{name} until 95 % of the validation photos are right"
    if clock.good_after is None or plain_seconds is None:
        who = "platecheck" if clock.good_after is None else "the plain loop"
        reached = f"{who} did not get there in {MOST_EPOCHS} epochs"
        return [Row(what, "", 0, "", 0, (float("nan"),), 10, reached)]
    ours = clock.started + clock.good_after - start
    return [
        Row(
            what,
            f"the same recipe in the plain loop, {plain_epochs} epochs",
            plain_seconds,
            f"platecheck train {name}, {len(clock.epochs)} epochs",
            ours,
            (plain_seconds / ours,),
            10,
            "one run each; the start and the reading of photos included",
        )
    ]


def _plain_until_good(recipe: Recipe, photos: PhotoSet) -> tuple[float | None, int]:
    normalization = recipe.input.normalize
    start = time.perf_counter()
    plain = PlainTraining(recipe, photos, normalization)
    for epoch in range(1, MOST_EPOCHS + 1):
        if plain.epoch() >= GOOD:
            return time.perf_counter() - start, epoch
    return None, MOST_EPOCHS
