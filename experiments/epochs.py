"""``python -m experiments.epochs RUN``: compare the epochs of a finished classifier on more photos.

A run selects its best epoch on its validation photos and their dishes on other backgrounds. This
adds decorated copies of these dishes, to which exports are calibrated too, and prints for every
epoch how many are predicted correctly and the cross-entropy, both after calibration. Export another
epoch than the best with ``platecheck export RUN --epoch EPOCH``.
"""

import argparse
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import track
from scipy.special import log_softmax

from platecheck.export.calibration import (
    batches,
    calibration_views,
    decorated_dishes,
    fast_device,
)
from platecheck.training.run import Run
from platecheck.training.temperature import fit_platt
from platecheck.training.torch_predictor import TorchPredictor


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m experiments.epochs", description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--first", type=int, default=1, metavar="EPOCH")
    options = parser.parse_args()
    run = Run.load(options.run)
    views = calibration_views(run, "val")
    decorated = list(decorated_dishes(run))
    pixels = views.pixels + [dish for dish, _ in decorated]
    labels = np.append(views.labels, [label for _, label in decorated]).astype(int)
    plain = len(views.pixels)
    print(f"| epoch | correct of {plain} | of {len(decorated)} decorated | cross-entropy of all |")
    print("|---|---|---|---|")
    epochs = range(options.first, len(run.history) + 1)
    for epoch in track(epochs, "epochs", console=Console(stderr=True)):
        model = TorchPredictor(run, epoch, device=fast_device())
        logits = np.concatenate([model.logits(batch) for batch in batches(pixels)])
        scaling = fit_platt(logits, labels)
        scores = log_softmax(logits / scaling.temperature + np.array(scaling.bias), axis=1)
        correct = scores.argmax(axis=1) == labels
        loss = -scores[np.arange(len(labels)), labels].mean()
        counts = f"{correct[:plain].sum()} | {correct[plain:].sum()}"
        print(f"| {epoch} | {counts} | {loss:.4f} |", flush=True)


if __name__ == "__main__":
    main()
