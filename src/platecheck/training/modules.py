"""The Lightning modules of a run: those of a classifier or of a detector."""

from collections.abc import Mapping

import torch

from platecheck.data.boxes import BoxedPhotoSet, Boxes
from platecheck.training import torchvision_guard
from platecheck.training.datamodule import PlateDataModule, dirty_class
from platecheck.training.detection.datamodule import BoxDataModule
from platecheck.training.detection.module import DetectorModule
from platecheck.training.detection.network import DishDetector
from platecheck.training.module import PlateModule
from platecheck.training.plate_net import PlateNet
from platecheck.training.run import Run
from platecheck.training.teacher import TeacherModel

torchvision_guard.install()

from lightning.pytorch import LightningDataModule, LightningModule  # noqa: E402


def build_modules(
    run: Run,
    network: PlateNet | DishDetector,
    boxes: Mapping[str, Boxes],
    *,
    teacher: TeacherModel | None,
    workers: int | None,
) -> tuple[LightningModule, LightningDataModule]:
    """Return what trains a network and what loads its photos."""
    recipe, normalization, seed = run.recipe, run.facts.normalization, run.facts.seed
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if isinstance(network, DishDetector):
        data = BoxedPhotoSet(run.photos, boxes)
        return (
            DetectorModule(network, recipe, normalization, seed=seed),
            BoxDataModule(data, recipe, seed=seed, workers=workers),
        )
    classes = run.facts.classes
    module = PlateModule(
        network, recipe, classes=len(classes), seed=seed, dirty=dirty_class(classes)
    )
    datamodule = PlateDataModule(
        run.photos, recipe, normalization, seed=seed, teacher=teacher, workers=workers
    )
    return module, datamodule
