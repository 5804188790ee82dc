"""The sample photos that come with the project are what the renderer renders today."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from platecheck.data.render import write_samples
from platecheck.data.render.samples import SAMPLES, render_sample

FOLDER = Path(__file__).parents[2] / "samples"


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_is_what_the_renderer_renders(name: str) -> None:
    with Image.open(FOLDER / f"{name}.jpg") as photo:
        kept = np.asarray(photo.convert("RGB"), int)
    # JPEG itself costs 1 to 2 levels where there is noise; another scene would cost dozens.
    assert np.abs(kept - render_sample(name).photo).mean() < 3


def test_samples_are_written_and_none_is_left_over(tmp_path: Path) -> None:
    written = write_samples(tmp_path / "new")
    assert {path.name for path in written} == {path.name for path in FOLDER.glob("*.jpg")}
    for path in written:
        with Image.open(path) as new, Image.open(FOLDER / path.name) as kept:
            assert new.size == (512, 512)
            assert np.abs(np.asarray(new, int) - np.asarray(kept)).mean() < 2


def test_the_table_does_not_tell_the_class_of_a_sample() -> None:
    tables: dict[str, list[str]] = {"clean": [], "dirty": []}
    for name in SAMPLES:
        tables[name.split("-")[0]].append(name.split("-")[-1])
    assert sorted(tables["clean"]) == sorted(tables["dirty"])
