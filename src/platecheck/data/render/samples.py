"""Render the sample photos shipped with the project."""

from pathlib import Path

import numpy as np
from PIL import Image

from platecheck.data.render.dataset import QUALITY
from platecheck.data.render.scene import render_dish

SIZE = 512
# name: (kind, seed); the name starts with the label and ends with the background
SAMPLES: dict[str, tuple[str, int]] = {
    "clean-patterned-rim-on-cloth": ("patterned", 8),
    "clean-white-plate-on-concrete": ("plate", 8),
    "clean-steel-bowl-on-wood": ("steel", 8),
    "clean-speckled-bowl-on-stone": ("speckled", 9),
    "dirty-sauce-on-wood": ("plate", 1),
    "dirty-mustard-on-cloth": ("deep-plate", 7),
    "dirty-steel-dish-on-concrete": ("steel", 3),
    "dirty-crumbs-on-stone": ("plate", 19),
}


def write_samples(folder: Path) -> list[Path]:
    """Write the `SAMPLES` as JPEG files of 512 × 512 pixels; return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, (kind, seed) in SAMPLES.items():
        label, *_, background = name.split("-")
        rng = np.random.default_rng(seed)
        dish = render_dish(rng, size=SIZE, label=label, background=background, kind=kind)
        path = folder / f"{name}.jpg"
        Image.fromarray(dish.photo).save(path, quality=QUALITY)
        paths.append(path)
    return paths
