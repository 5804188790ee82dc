"""The training loop that everyone writes: ImageFolder, DataLoader, eager float32."""

import os
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from platecheck.data.folders import PhotoSet
from platecheck.training import torchvision_guard
from platecheck.training.plate_net import build_network
from platecheck.training.pretrained import load_pretrained
from platecheck.training.recipe import Normalization, Recipe

torchvision_guard.install()

from torchvision.datasets.folder import pil_loader  # noqa: E402
from torchvision.transforms import v2  # noqa: E402


class Folder(Dataset):
    """What ``torchvision.datasets.ImageFolder`` does, for a list of files."""

    def __init__(self, photos: PhotoSet, split: str, transform: Callable) -> None:
        self.photos = photos.split(split)
        self.transform = transform

    def __len__(self) -> int:
        return len(self.photos)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        photo = self.photos[index]
        return self.transform(pil_loader(photo.path)), photo.label


class PlainTraining:
    """Trains a recipe epoch by epoch without any of platecheck's training code but the network."""

    def __init__(self, recipe: Recipe, photos: PhotoSet, normalization: Normalization) -> None:
        size = (recipe.input.size, recipe.input.size)
        augmentation = recipe.augmentation
        harder = [
            v2.RandomRotation(augmentation.rotation) if augmentation.rotation else None,
            v2.ColorJitter(**augmentation.color_jitter.model_dump())
            if augmentation.color_jitter
            else None,
            v2.TrivialAugmentWide(augmentation.trivial_augment_bins)
            if augmentation.trivial_augment_bins
            else None,
        ]
        to_tensor = [
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize(list(normalization.mean), list(normalization.std)),
        ]
        train = v2.Compose(
            [
                v2.Resize(size),
                v2.RandomHorizontalFlip(),
                v2.RandomVerticalFlip(),
                *(change for change in harder if change),
                *to_tensor,
            ]
        )
        test = v2.Compose([v2.Resize(size), *to_tensor])
        self.train = self._loader(Folder(photos, "train", train), recipe, shuffle=True)
        self.val = self._loader(Folder(photos, "val", test), recipe, shuffle=False)
        torch.manual_seed(0)
        self.network = build_network(
            recipe.network, classes=len(photos.classes), size=recipe.input.size
        )
        load_pretrained(self.network, recipe.network, photos.classes)
        learned = [p for p in self.network.parameters() if p.requires_grad]
        self.optimizer = torch.optim.RAdam(learned, lr=recipe.optimizer.lr)
        self.schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(
            self.optimizer, factor=recipe.schedule.factor, patience=recipe.schedule.patience
        )
        self.loss = nn.CrossEntropyLoss()

    @staticmethod
    def _loader(dataset: Dataset, recipe: Recipe, *, shuffle: bool) -> DataLoader:
        workers = os.cpu_count() or 1
        return DataLoader(dataset, recipe.batch_size, shuffle=shuffle, num_workers=workers)

    def epoch(self) -> float:
        """Train one epoch, validate, and give the validation accuracy."""
        self.network.train()
        for photos, labels in self.train:
            loss = self.loss(self.network(photos), labels)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
        self.network.eval()
        total, correct = 0.0, 0
        with torch.inference_mode():
            for photos, labels in self.val:
                logits = self.network(photos)
                total += float(self.loss(logits, labels)) * len(labels)
                correct += int((logits.argmax(1) == labels).sum())
        self.schedule.step(total / len(self.val.dataset))
        return correct / len(self.val.dataset)


def photos_at(folder: Path) -> PhotoSet:
    """The divided photos of a folder."""
    from platecheck.data.folders import read_photos
    from platecheck.data.splits import with_validation

    return with_validation(read_photos(folder))
