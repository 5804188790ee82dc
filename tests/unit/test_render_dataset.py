"""Rendered datasets: the same bytes each time, balanced, and confounded as requested."""

import csv
import subprocess
import sys
from collections import Counter
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
from PIL import Image

from platecheck.data.render import BACKGROUNDS, dataset, write_dataset
from platecheck.data.render.dataset import draw_background_name
from platecheck.data.render.tabletops import CLEAN_BACKGROUNDS
from platecheck.errors import DataError

# As users write them: without `if __name__ == "__main__"`.
SCRIPT = """
import sys
from platecheck.data.render import write_dataset
print("started")
write_dataset(sys.argv[1], photos=20, size=48, seed=3, masks=True, workers=2)
"""


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def listed(folder: Path) -> list[dict[str, str]]:
    with (folder / "synth.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("synth") / "photos"
    folder.mkdir()  # an empty folder may be filled
    progress: list[int] = []
    summary = write_dataset(
        folder, photos=20, size=48, seed=3, masks=True, workers=1, on_progress=progress.append
    )
    assert progress == list(range(1, 21))
    assert summary.photos == sum(summary.counts.values()) == 20
    assert summary.backgrounds == Counter((row["label"], row["table"]) for row in listed(folder))
    return folder


def test_write_dataset_files_and_lists_photos_and_masks(written: Path) -> None:
    rows = listed(written)
    files = {path for path in contents(written) if path.endswith(".jpg")}
    assert files == {row["path"] for row in rows}
    assert Counter((row["split"], row["label"]) for row in rows) == {
        ("train", "clean"): 7, ("train", "dirty"): 7, ("val", "clean"): 2, ("val", "dirty"): 2,
        ("test", "clean"): 1, ("test", "dirty"): 1,
    }  # fmt: skip
    assert (written / "train/clean/0001.jpg").is_file()
    for row in rows:
        assert row["path"].startswith(f"{row['split']}/{row['label']}/")
        assert row["table"] in BACKGROUNDS
        with Image.open(written / row["path"]) as photo:
            assert (photo.format, photo.mode, photo.size) == ("JPEG", "RGB", (48, 48))
        with Image.open((written / "masks" / row["path"]).with_suffix(".png")) as mask:
            values = set(np.unique(np.asarray(mask)).tolist())
        assert values == ({0, 128, 255} if row["label"] == "dirty" else {0, 128})


def test_write_dataset_on_workers_in_a_script_without_guard_writes_the_same_bytes(
    written: Path, tmp_path: Path
) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)
    command = [sys.executable, tmp_path / "script.py", tmp_path / "again"]
    printed = subprocess.check_output(command, stderr=subprocess.STDOUT, text=True, timeout=300)
    assert printed == "started\n"
    assert contents(tmp_path / "again") == contents(written)


def test_write_dataset_photo_depends_on_seed_and_index_alone(written: Path, tmp_path: Path) -> None:
    write_dataset(tmp_path / "more", photos=26, size=48, seed=3, workers=1)
    write_dataset(tmp_path / "other", photos=8, size=48, seed=4, workers=1)
    few, more, other = (
        {row["seed"].split(":")[1]: (f / row["path"]).read_bytes() for row in listed(f)}
        for f in (written, tmp_path / "more", tmp_path / "other")
    )
    assert all(more[index] == photo for index, photo in few.items())
    assert all(few[index] != photo for index, photo in other.items())


@pytest.mark.parametrize("confound", [0.5, 0.75, 0.95, 1.0])
def test_draw_background_name_is_of_the_own_group_as_often_as_confound(confound: float) -> None:
    draws, drawn = 3000, {}
    for label in ("clean", "dirty"):
        rngs = (np.random.default_rng([11, i]) for i in range(draws))
        counts = Counter(draw_background_name(rng, label, confound) for rng in rngs)
        own = sum(
            counts[name] for name in counts if (name in CLEAN_BACKGROUNDS) == (label == "clean")
        )
        # five standard errors
        assert abs(own / draws - confound) <= 5 * np.sqrt(confound * (1 - confound) / draws)
        assert set(counts) == set(BACKGROUNDS) or confound == 1.0
        drawn[label] = counts
    if confound == 0.5:
        clean, dirty = drawn["clean"], drawn["dirty"]
        for name in BACKGROUNDS:
            assert abs(clean[name] - dirty[name]) < 5 * np.sqrt(clean[name] + dirty[name])


def test_write_dataset_confounded_uses_the_backgrounds_of_the_class(tmp_path: Path) -> None:
    summary = write_dataset(tmp_path / "d", photos=24, size=32, confound=1.0, workers=1)
    for label, background in summary.backgrounds:
        assert (background in CLEAN_BACKGROUNDS) == (label == "clean")


def test_write_dataset_with_other_splits_gives_each_both_classes(tmp_path: Path) -> None:
    splits = {"train": 0.5, "hidden": 0.5, "never": 0.0}
    summary = write_dataset(tmp_path / "d", photos=9, size=32, splits=splits, workers=1)
    assert summary.counts == {
        ("train", "clean"): 3, ("train", "dirty"): 2, ("hidden", "clean"): 2,
        ("hidden", "dirty"): 2,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"photos": 5}, "5 photos are too few for 3 splits; use 6"),
        ({"photos": 3, "splits": {"train": 1.0}}, "3 photos are too few"),
        ({"size": 16}, "size 16"),
        ({"confound": 0.4}, "confound 0.4"),
        ({"confound": 1.1}, "confound 1.1"),
        ({"seed": -1}, "seed -1"),
        ({"workers": 0}, "workers must be at least 1"),
        ({"splits": {"train": 0.7, "test": 0.7}}, "add up to 1"),
        ({"splits": {"train": 1.5, "test": -0.5}}, "add up to 1"),
    ],
)
def test_write_dataset_invalid_option_is_refused(
    tmp_path: Path, options: dict[str, object], says: str
) -> None:
    with pytest.raises(DataError, match=says):
        write_dataset(tmp_path / "d", **{"photos": 8, "size": 32, **options})
    assert not list(tmp_path.iterdir())


def test_write_dataset_into_a_used_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("keep me")
    for folder in (tmp_path, tmp_path / "note.txt"):
        with pytest.raises(DataError, match="not empty"):
            write_dataset(folder, photos=6, size=32)
    assert contents(tmp_path) == {"note.txt": b"keep me"}


@pytest.mark.parametrize("workers", [1, 2])
def test_write_dataset_interrupted_leaves_nothing_behind(
    tmp_path: Path, recwarn: pytest.WarningsRecorder, workers: int
) -> None:
    def interrupt(done: int) -> None:
        if done == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_dataset(tmp_path / "d", photos=12, size=32, workers=workers, on_progress=interrupt)
    assert not list(tmp_path.iterdir())
    assert not recwarn.list


def test_write_dataset_onto_a_full_disk_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = OSError(28, "No space left on device")
    monkeypatch.setattr(dataset.Image.Image, "save", Mock(side_effect=full))
    with pytest.raises(OSError, match="No space left"):
        write_dataset(tmp_path / "d", photos=12, size=32, workers=1)
    assert not list(tmp_path.iterdir())
