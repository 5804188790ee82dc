"""Does the heatmap point at the dirt? On rendered dirty dishes, where its place is known.

    python -m experiments.heatmaps [MODEL …]

MODEL is an exported file with a heatmap, or the run folder of a TinyVGG, whose heatmap is
Grad-CAM (Selvaraju et al., 2017) of the class ``dirty`` at the last convolution.
"""

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from platecheck.classifier import Classifier, find_model
from platecheck.data.render import render_dish
from platecheck.evaluation.metrics import Proportion
from platecheck.training.run import Run
from platecheck.training.torch_predictor import TorchPredictor

COUNT = 300
SEED = 2**21

Floats = NDArray[np.float32]


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(prog="python -m experiments.heatmaps", description=__doc__)
    parser.add_argument("models", nargs="*", type=Path, default=[None])
    options = parser.parse_args()
    print(
        "| model | pointing game | energy on the dirt | on the dish | dirt covers | dish covers |"
    )
    print("|---|---|---|---|---|---|")
    for path in options.models:
        size, evidence = explainer(path)
        hits, shares = 0, []
        for photo, dirt, dish in dirty_dishes(size):
            heat = cv2.resize(evidence(photo), (size, size), interpolation=cv2.INTER_LINEAR)
            hits += bool(dirt[np.unravel_index(heat.argmax(), heat.shape)])
            total = max(float(heat.sum()), 1e-9)
            energy = heat[dirt].sum() / total, heat[dish].sum() / total
            shares.append((*energy, dirt.mean(), dish.mean()))
        means = " | ".join(f"{value:.1%}" for value in np.mean(shares, axis=0))
        print(f"| {path or 'shipped'} | {Proportion(count=hits, total=len(shares))} | {means} |")


def dirty_dishes(
    size: int,
) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.bool_], NDArray[np.bool_]]]:
    """Photo, where its dirt is, where its dish is."""
    for index in range(COUNT):
        found = render_dish(np.random.default_rng([SEED, index]), size=size, label="dirty")
        if found.dirt_mask.any():
            yield found.photo, found.dirt_mask, found.dish_mask


def explainer(path: Path | None) -> tuple[int, Callable[[NDArray[np.uint8]], Floats]]:
    """The input size, and what gives a map [h, w], not negative, of a photo."""
    if find_model(path).is_file():
        classifier = Classifier.load(path)

        def given(photo: NDArray[np.uint8]) -> Floats:
            evidence = classifier.outputs(photo[None]).heatmap
            assert evidence is not None, "this model has no heatmap"
            return evidence[0]

        return classifier.size, given
    model = TorchPredictor(Run.load(path))
    return model.size, lambda photo: grad_cam(model, photo)


def grad_cam(model: TorchPredictor, photo: NDArray[np.uint8]) -> Floats:
    """Grad-CAM of ``dirty`` at TinyVGG's last convolution."""
    kept = {}
    last = [m for m in model.network.modules() if isinstance(m, torch.nn.Conv2d)][-1]
    hook = last.register_forward_hook(lambda _m, _i, output: kept.update(maps=output))
    with torch.enable_grad():
        logits = model.network(model.normalize(torch.from_numpy(photo[None]).clone()))
        (slope,) = torch.autograd.grad(logits[0, model.classes.index("dirty")], kept["maps"])
    hook.remove()
    weights = slope.mean(dim=(2, 3), keepdim=True)
    return torch.relu((weights * kept["maps"]).sum(dim=1))[0].detach().numpy()


if __name__ == "__main__":
    main()
