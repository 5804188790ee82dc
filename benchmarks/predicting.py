"""Predicting: one photo, many photos, and a whole process."""

import subprocess
import sys
from pathlib import Path

import torch
from PIL import Image

from benchmarks.timing import Row, compare
from platecheck.classifier import Classifier
from platecheck.training import torchvision_guard

torchvision_guard.install()

import torchvision  # noqa: E402
from torchvision.transforms import v2  # noqa: E402

IMPORT_TORCH = """
import torch
from platecheck.training import torchvision_guard
torchvision_guard.install()
import torchvision
"""


def one_photo(photos: list[Path], *, rounds: int, model: str = "plate") -> Row:
    """One photo on one core, decoding included, against eager EfficientNet-B2."""
    classifier = Classifier.load(model)
    network = torchvision.models.efficientnet_b2(weights=None, num_classes=2).eval()
    prepare = v2.Compose(
        [
            v2.Resize((288, 288)),
            v2.ToImage(),
            v2.ToDtype(torch.float32, scale=True),
            v2.Normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]),
        ]
    )

    @torch.inference_mode()
    def eager() -> None:
        for photo in photos:
            network(prepare(Image.open(photo).convert("RGB"))[None]).softmax(1)

    def ours() -> None:
        for photo in photos:
            classifier.predict(photo)

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    row = compare(
        f"{len(photos)} photos one by one, on one core",
        ("PyTorch eager, EfficientNet-B2 at 288 px", eager),
        (f"Classifier.predict, {model} at {classifier.size} px", ours),
        rounds=rounds,
        goal=6,
        note="opening and decoding the file included",
    )
    torch.set_num_threads(threads)
    return row


def many_photos(photos: list[Path], *, rounds: int) -> Row:
    """Photos a second on all cores, against the single-photo loop."""
    classifier = Classifier.load()
    return compare(
        f"{len(photos)} photos on all cores",
        ("a loop of Classifier.predict", lambda: [classifier.predict(p) for p in photos]),
        ("Classifier.predict_many", lambda: list(classifier.predict_many(photos))),
        rounds=rounds,
    )


def whole_process(photo: Path, *, rounds: int) -> Row:
    """From process start to the answer, against importing PyTorch alone."""
    predict = [sys.executable, "-m", "platecheck", "predict", str(photo)]
    torch_only = [sys.executable, "-c", IMPORT_TORCH]
    return compare(
        "a process that answers for one photo",
        ("import torch, torchvision; no more", lambda: _run(torch_only)),
        ("platecheck predict PHOTO", lambda: _run(predict)),
        rounds=rounds,
        goal=3,
    )


def _run(command: list[str]) -> None:
    subprocess.run(command, check=True, capture_output=True)
