"""The shipped sample photos are what the renderer renders today."""

from pathlib import Path

import numpy as np
from PIL import Image

from platecheck.data.render import write_samples
from platecheck.data.render.samples import SAMPLES

FOLDER = Path(__file__).parents[2] / "samples"


def test_write_samples_writes_the_shipped_photos(tmp_path: Path) -> None:
    written = write_samples(tmp_path / "new")
    assert {path.name for path in written} == {path.name for path in FOLDER.glob("*.jpg")}
    for path in written:
        with Image.open(path) as new, Image.open(FOLDER / path.name) as kept:
            assert new.size == (512, 512)
            assert np.abs(np.asarray(new, int) - np.asarray(kept)).mean() < 2


def test_samples_show_both_classes_on_the_same_backgrounds() -> None:
    backgrounds: dict[str, list[str]] = {"clean": [], "dirty": []}
    for name in SAMPLES:
        backgrounds[name.split("-")[0]].append(name.split("-")[-1])
    assert sorted(backgrounds["clean"]) == sorted(backgrounds["dirty"])
