"""What the tests that train for real share, apart from their fixtures."""

import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import platecheck
from platecheck.photo import open_photo
from platecheck.training.callbacks import Callback, OnEpoch
from platecheck.training.recipe import Recipe, load_recipe
from platecheck.training.run import History, Run
from platecheck.training.torch_predictor import TorchPredictor
from platecheck.training.train import TrainerSettings, TrainingSetup, train_epochs
from tests.conftest import Answer
from tests.conftest import Cli as Cli

HERE = Path(__file__).parent
ONE_PROCESS: dict[str, Any] = {"accelerator": "cpu", "devices": 1, "workers": 0}
SETTINGS = TrainerSettings(**ONE_PROCESS)
PATIENCE = 300  # seconds that a process gets before its test gives up

# TinyVGG so small, and so gentle, that it learns wood from concrete within five epochs. Dropout,
# random changes and the schedule are all at work, for resuming has to repeat them.
GENTLE = (
    "input.size=32",
    "network.dropout=0.1",
    "network.head=32",
    "network.head_dropout=0.1",
    "optimizer={name: adamw, lr: 0.002}",
    "augmentation={horizontal_flip: true, rotation: 10}",
    "batch_size=8",
    "calibrate=true",
)
EPOCHS = 5


def gentle(*changes: str, epochs: int = EPOCHS) -> Recipe:
    """The recipe of these tests, with `changes` to it."""
    return load_recipe("tiny_vgg", [*GENTLE, *changes, f"epochs={epochs}"])


def options(*changes: str, epochs: int = EPOCHS) -> list[str]:
    """The same, as options of ``platecheck train``, with one process on the CPU."""
    recipe = [part for change in (*GENTLE, *changes) for part in ("--set", change)]
    how = ["--accelerator", "cpu", "--devices", "1", "--workers", "0"]
    return [*recipe, "--epochs", str(epochs), *how]


def train(recipe: Recipe, data: Path, out: Path, **options: Any) -> Run:
    """Train in this process."""
    return platecheck.train(recipe, data, out, **{**ONE_PROCESS, **options})


def fit(
    setup: TrainingSetup, *, callbacks: Sequence[Callback] = (), on_epoch: OnEpoch | None = None
) -> Run:
    """Train the epochs alone, without a teacher or calibration."""
    with setup.held:
        train_epochs(setup, on_epoch=on_epoch, callbacks=list(callbacks))
    return Run.load(setup.run.folder)


def same_weights(ours: Run, theirs: Run) -> bool:
    """Whether all epochs of two runs have the same weights, bit for bit."""
    return len(ours.history) == len(theirs.history) and all(
        ours.weights(epoch).read_bytes() == theirs.weights(epoch).read_bytes()
        for epoch in range(1, len(ours.history) + 1)
    )


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def without_seconds(history: History) -> History:
    """What must be the same in every run of a recipe and a seed."""
    return [{key: row[key] for key in row if key != "seconds"} for row in history]


def cross_entropy(logits: NDArray[np.float32], labels: list[int]) -> float:
    """Mean cross-entropy, worked out without torch."""
    shifted = logits.astype(float) - logits.max(axis=1, keepdims=True)
    scores = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return float(-scores[np.arange(len(labels)), labels].mean())


def validation(run: Run) -> tuple[NDArray[np.uint8], list[int]]:
    """Pixels and labels of a run's validation photos."""
    photos, size = run.photos.split("val"), run.recipe.input.size
    pixels = np.stack([open_photo(photo.path, size=size) for photo in photos])
    return pixels, [photo.label for photo in photos]


def assert_history_is_of_the_weights(run: Run) -> None:
    """Compare the history with what the saved weights of every epoch give."""
    pixels, labels = validation(run)
    for epoch, row in enumerate(run.history, 1):
        logits = TorchPredictor(run, epoch).logits(pixels)
        assert row["val_loss"] == pytest.approx(cross_entropy(logits, labels), abs=1e-5)
        assert row["val_accuracy"] == pytest.approx((logits.argmax(axis=1) == labels).mean())
    assert run.history[run.best_epoch - 1]["val_accuracy"] > 0.8


def start(
    *command: str | Path, cwd: Path | None = None, **environment: str
) -> "subprocess.Popen[str]":
    """Start a command in a process group of its own, as a terminal does."""
    return subprocess.Popen(
        [str(part) for part in command],
        cwd=cwd,
        env={**os.environ, "COLUMNS": "200", "OMP_NUM_THREADS": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def finish(process: "subprocess.Popen[str]") -> Answer:
    """Wait for a command to end; when patience does first, end its whole group and fail."""
    try:
        out, err = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
        raise AssertionError(f"still running after {PATIENCE} seconds:\n{out}\n{err}") from None
    return Answer(process.returncode, out, err)
