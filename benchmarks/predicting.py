"""Predicting: one photo, many photos, and a whole process."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from benchmarks.timing import Row, compare
from platecheck.classifier import Classifier
from platecheck.data.render import render_scene
from platecheck.inspector import Inspector
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


def one_inspection(photos: list[Path], folder: Path, *, rounds: int) -> list[Row]:
    """Photos of one dish and rendered ones of eight, on one core, against `Classifier.predict`."""
    inspector = Inspector.load()
    tables = []
    for seed in range(100):
        scene = render_scene(np.random.default_rng(seed), size=1280, kind="table", dishes=8)
        path = folder / f"table-{seed}.jpg"
        Image.fromarray(scene.photo).save(path, quality=90)
        if len(inspector.inspect(path).dishes) == 8:
            tables.append(path)
        if len(tables) == 5:
            break

    def run(judge: Callable[[Path], object], paths: list[Path]) -> Callable[[], object]:
        return lambda: [judge(path) for path in paths]

    return [
        compare(
            f"{len(paths)} photos of {number} one by one, on one core",
            ("Classifier.predict", run(inspector.classifier.predict, paths)),
            ("Inspector.inspect", run(inspector.inspect, paths)),
            rounds=rounds,
            note="opening and decoding the file included",
        )
        for number, paths in (("one dish", photos), ("eight dishes, 1280 px", tables))
    ]


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
