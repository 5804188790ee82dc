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

from platecheck.data.render import BACKGROUNDS, dataset, render_scene, write_dataset, write_scenes
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


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scenes") / "photos"
    progress: list[int] = []
    summary = write_scenes(
        folder, photos=7, size=160, seed=5, masks=True, workers=1, on_progress=progress.append
    )
    assert progress == list(range(1, 8))
    assert summary.photos == sum(summary.splits.values()) == sum(summary.kinds.values()) == 7
    assert set(summary.splits) == {"train", "val", "test"}
    return folder


def test_write_scenes_round_trips_boxes_labels_and_masks(scenes: Path) -> None:
    with (scenes / "scenes.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    photos = list(dict.fromkeys(row["photo"] for row in rows))
    assert sorted(photos) == sorted(p for p in contents(scenes) if p.endswith(".jpg"))
    for number, photo in enumerate(photos):
        scene = render_scene(np.random.default_rng([5, number]), size=160)
        known = [row for row in rows if row["photo"] == photo]
        assert {row["kind"] for row in known} == {scene.kind}
        if not len(scene.boxes):
            assert [row["label"] for row in known] == [""]
            known = []
        assert [row["label"] for row in known] == list(scene.labels)
        boxes = [[float(row[key]) for key in ("x0", "y0", "x1", "y1")] for row in known]
        np.testing.assert_array_equal(np.reshape(boxes, (-1, 4)), scene.boxes)
        visible = [float(row["visible"]) for row in known]
        np.testing.assert_allclose(visible, scene.visible, atol=6e-4)

        label = (scenes / photo.replace("images", "labels")).with_suffix(".txt")
        lines = [[float(q) for q in line.split()] for line in label.read_text().splitlines()]
        classes, x, y, w, h = np.reshape(lines, (-1, 5)).T
        assert (classes == 0).all()
        with Image.open(scenes / photo) as image:
            width, height = image.size
            assert np.abs(np.asarray(image) - scene.photo.astype(float)).mean() < 4
        read = np.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], -1)
        np.testing.assert_allclose(read * ((width, height) * 2), scene.boxes, atol=0.01)
        with Image.open((scenes / photo.replace("images", "masks")).with_suffix(".png")) as image:
            mask = np.asarray(image)
        for place, (own, dirt) in enumerate(zip(scene.masks, scene.dirt_masks, strict=True), 1):
            np.testing.assert_array_equal(mask % 128 == place, own)
            np.testing.assert_array_equal(mask == 128 + place, dirt)
        assert len(np.unique(mask % 128)) == 1 + len(scene.boxes)


def test_write_scenes_on_workers_writes_the_same_bytes(scenes: Path, tmp_path: Path) -> None:
    write_scenes(tmp_path / "again", photos=7, size=160, seed=5, masks=True, workers=2)
    assert contents(tmp_path / "again") == contents(scenes)


def test_write_scenes_of_one_kind_without_masks(tmp_path: Path) -> None:
    summary = write_scenes(
        tmp_path / "hobs", photos=2, size=160, kind="hob", splits={"train": 0.5, "val": 0.5}
    )
    assert summary.kinds == {"hob": 2}
    assert summary.labels == {}
    assert sorted(contents(tmp_path / "hobs")) == [
        "data.yaml",
        "images/train/0001.jpg",
        "images/val/0001.jpg",
        "labels/train/0001.txt",
        "labels/val/0001.txt",
        "scenes.csv",
    ]
    assert (tmp_path / "hobs/labels/train/0001.txt").read_text() == ""
    assert (tmp_path / "hobs/data.yaml").read_text() == (
        "train: images/train\nval: images/val\nnames:\n  0: dish\n"
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"photos": 2}, "2 photos are too few for 3 splits"),
        ({"photos": 8, "kind": "garage"}, "no such kind of scene"),
        ({"photos": 8, "size": 32}, "size 32 is out of range"),
        ({"photos": 8, "seed": -1}, "seed -1 is negative"),
        ({"photos": 8, "workers": 0}, "workers must be at least 1"),
        ({"photos": 8, "splits": {"train": 0.5}}, "must add up to 1"),
    ],
)
def test_write_scenes_rejects_invalid_arguments_and_leaves_nothing(
    tmp_path: Path, arguments: dict[str, object], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        write_scenes(tmp_path / "scenes", **arguments)
    assert not list(tmp_path.iterdir())
