"""A run folder: everything needed to resume, evaluate and reproduce a training run.

==================  ==============================================================================
``recipe.yaml``     the recipe, with all defaults and overrides
``run.json``        seed, data fingerprint, versions, normalization
``photos.csv``      each photo's split, class and hash
``history.csv``     loss and accuracy of every epoch; ``curves.png`` and ``tensorboard/`` likewise
``weights/``        ``epoch-007.safetensors``: the trained weights; ``frozen.safetensors``
``last.ckpt``       the checkpoint to resume from
``calibration…``    the temperature; ``familiarity.safetensors``: the OOD statistics
==================  ==============================================================================
"""

import csv
import io
import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from platecheck.data.folders import Photo, PhotoSet, base_of
from platecheck.errors import DataError, ModelError, PhotoError
from platecheck.files import write_text
from platecheck.model_info import JsonModel, SplitInfo, first_line
from platecheck.training.recipe import Normalization, Recipe, parse_recipe
from platecheck.training.temperature import Scaling

PHOTO_KEYS = ("name", "class", "split", "sha256")
MEASURED_KEYS = ("train_loss", "train_accuracy", "val_loss", "val_accuracy")
HISTORY_KEYS = ("epoch", *MEASURED_KEYS, "learning_rate", "seconds")
DETECTION_KEYS = ("epoch", "train_loss", "val_loss", "val_ap50", "learning_rate", "seconds")
History = list[dict[str, float]]


class RunFacts(JsonModel):
    """Content of ``run.json``."""

    platecheck: str
    seed: int
    data: str
    fingerprint: str
    classes: tuple[str, ...]
    split_info: SplitInfo | None
    normalization: Normalization
    unreadable: dict[str, str]
    settings: dict[str, Any]
    versions: dict[str, str]
    command: str


@dataclass(frozen=True)
class Run:
    """An opened run folder."""

    folder: Path
    recipe: Recipe
    facts: RunFacts
    photos: PhotoSet
    history: History = field(default_factory=list)

    @property
    def history_keys(self) -> tuple[str, ...]:
        return DETECTION_KEYS if self.recipe.detection else HISTORY_KEYS

    @property
    def best_epoch(self) -> int:
        """The epoch with the lowest validation loss, or the highest AP50; counted from 1.

        Of equal ones the last: if all of a few validation photos are right, it has learnt most.

        Raises:
            ModelError: no epoch was finished, or the training diverged in the first one.
        """
        if not self.history:
            raise ModelError(
                f"{self.folder} has no finished epoch: continue with --resume, or, if it diverged,"
                " train into another folder with a lower learning rate"
            )
        finite = [row for row in self.history if math.isfinite(row["val_loss"])]
        if not finite:
            raise ModelError(
                f"{self.folder} diverged: no epoch has a finite validation loss; train"
                " again with a lower learning rate, --set optimizer.lr=…"
            )
        if self.recipe.detection:
            return int(max(finite, key=lambda row: (row["val_ap50"], row["epoch"]))["epoch"])
        return int(min(finite, key=lambda row: (row["val_loss"], -row["epoch"]))["epoch"])

    @property
    def scaling(self) -> Scaling:
        """Temperature and bias of the logits; 1 and 0 if the recipe does not calibrate."""
        if not self.calibration.is_file():
            return Scaling()
        try:
            found = json.loads(self.calibration.read_text(encoding="utf-8"))
            return Scaling(float(found["temperature"]), tuple(map(float, found.get("bias", (0,)))))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ModelError(
                f"{self.calibration} is corrupt; delete it and use --resume to recreate it"
            ) from error

    @property
    def calibration(self) -> Path:
        return self.folder / "calibration.json"

    @property
    def ood_statistics(self) -> Path:
        return self.folder / "familiarity.safetensors"

    @property
    def data(self) -> Path:
        """Folder of the photos; a DataError if it is gone."""
        if not Path(self.facts.data).exists():
            raise DataError(
                f"{self.facts.data}, which {self.folder} was trained with, is gone; if the photos"
                " were moved, pass their location with --data"
            )
        return Path(self.facts.data)

    @property
    def finished(self) -> bool:
        return len(self.history) >= self.recipe.epochs

    def weights(self, epoch: int) -> Path:
        """Return the file of trained weights after an epoch, counted from 1."""
        return self.folder / "weights" / f"epoch-{epoch:03d}.safetensors"

    @property
    def frozen_weights(self) -> Path:
        return self.folder / "weights" / "frozen.safetensors"

    @property
    def checkpoint(self) -> Path:
        return self.folder / "last.ckpt"

    def save(self) -> None:
        """Write recipe, photo list and, last, ``run.json``, which marks a run folder."""
        write_text(self.folder / "recipe.yaml", self.recipe.to_yaml())
        classes = self.photos.classes
        rows = ((p.name, classes[p.label], p.split, p.sha256) for p in self.photos.photos)
        _write_csv(self.folder / "photos.csv", [PHOTO_KEYS, *rows])
        # Not pydantic's JSON, which refuses file names that are not UTF-8.
        write_text(self.folder / "run.json", json.dumps(self.facts.model_dump(), indent=2) + "\n")

    @staticmethod
    def is_run(folder: Path) -> bool:
        return (Path(folder) / "run.json").is_file()

    @staticmethod
    def load(folder: Path, *, data: Path | None = None) -> "Run":
        """Open a run folder; `data` is the photos' location, if they were moved.

        Raises:
            ModelError: it is no run folder, or a file in it is damaged.
        """
        folder = Path(folder)
        if not Run.is_run(folder):
            raise ModelError(f"{folder} is not a run folder: it has no run.json")
        try:
            content = json.loads((folder / "run.json").read_text(encoding="utf-8"))
            facts = RunFacts.model_validate(content | ({"data": str(data)} if data else {}))
            path = folder / "recipe.yaml"
            wanted = yaml.safe_load(path.read_text(encoding="utf-8"))
            # Before 0.3, a recipe could train its teacher itself.
            if (teacher := wanted.get("teacher")) and teacher.pop("recipe", None):
                teacher["model"] = str(folder / "teacher" / "model.onnx")
            recipe = parse_recipe(wanted, where=str(path))
            photos = _read_photos_csv(folder / "photos.csv", facts)
            run = Run(folder, recipe, facts, photos)
            history = read_history(folder / "history.csv", run.history_keys)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError) as error:
            raise ModelError(f"{folder} is damaged: {first_line(error)}") from error
        return replace(run, history=history)


def _read_photos_csv(path: Path, facts: RunFacts) -> PhotoSet:
    folder, classes = Path(facts.data), facts.classes
    with path.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        rows = [[row[key] for key in PHOTO_KEYS] for row in csv.DictReader(file)]
    photos = tuple(
        Photo(base_of(folder) / name, name, classes.index(of_class), split, sha256)
        for name, of_class, split, sha256 in rows
    )
    unreadable = tuple(PhotoError(name, why) for name, why in facts.unreadable.items())
    return PhotoSet(folder, classes, photos, unreadable)


def read_history(path: Path, keys: Sequence[str] = HISTORY_KEYS) -> History:
    """Read ``history.csv``; empty if there is none yet."""
    if not path.is_file():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [{key: float(row[key]) for key in keys} for row in csv.DictReader(file)]


def write_history(path: Path, history: History, keys: Sequence[str] = HISTORY_KEYS) -> None:
    """Write ``history.csv``."""
    rows = ((int(row["epoch"]), *(row[key] for key in keys[1:])) for row in history)
    _write_csv(path, [keys, *rows])


def _write_csv(path: Path, rows: Iterable[Iterable[object]]) -> None:
    table = io.StringIO()
    csv.writer(table, lineterminator="\n").writerows(rows)
    write_text(path, table.getvalue())
