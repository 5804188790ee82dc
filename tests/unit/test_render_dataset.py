"""Folders of artificial photos: the same bytes each time, balanced, and confounded as asked."""

import csv
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from platecheck.data.render import BACKGROUNDS, dataset, write_dataset
from platecheck.data.render.dataset import draw_background_name
from platecheck.data.render.tabletops import CLEAN_BACKGROUNDS
from platecheck.errors import DataError


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def listed(folder: Path) -> list[dict[str, str]]:
    with (folder / "synth.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("synth") / "photos"
    write_dataset(folder, photos=20, size=48, seed=3, masks=True, workers=1)
    return folder


def test_photos_are_filed_and_listed(written: Path) -> None:
    rows = listed(written)
    assert len(rows) == 20
    files = {path for path in contents(written) if path.endswith(".jpg")}
    assert files == {row["path"] for row in rows}
    assert Counter((row["split"], row["label"]) for row in rows) == {
        ("train", "clean"): 7, ("train", "dirty"): 7, ("val", "clean"): 2, ("val", "dirty"): 2,
        ("test", "clean"): 1, ("test", "dirty"): 1,
    }  # fmt: skip
    for row in rows:
        assert row["path"].startswith(f"{row['split']}/{row['label']}/")
        assert row["table"] in BACKGROUNDS
        with Image.open(written / row["path"]) as photo:
            assert (photo.format, photo.mode, photo.size) == ("JPEG", "RGB", (48, 48))
    assert (written / "train/clean/0001.jpg").is_file()


def test_masks_say_table_dish_and_dirt(written: Path) -> None:
    for row in listed(written):
        with Image.open((written / "masks" / row["path"]).with_suffix(".png")) as mask:
            values = set(np.unique(np.asarray(mask)).tolist())
        assert values == ({0, 128, 255} if row["label"] == "dirty" else {0, 128})


def test_any_number_of_workers_writes_the_same_bytes(written: Path, tmp_path: Path) -> None:
    seen: list[int] = []
    again = tmp_path / "again"
    summary = write_dataset(
        again, photos=20, size=48, seed=3, masks=True, workers=2, on_progress=seen.append
    )
    assert contents(again) == contents(written)
    assert seen == list(range(1, 21))
    assert summary.photos == sum(summary.counts.values()) == sum(summary.backgrounds.values()) == 20
    assert summary.backgrounds == Counter((row["label"], row["table"]) for row in listed(written))


def test_a_photo_depends_on_seed_and_number_not_on_how_many(written: Path, tmp_path: Path) -> None:
    write_dataset(tmp_path / "more", photos=26, size=48, seed=3, workers=1)
    write_dataset(tmp_path / "other", photos=20, size=48, seed=4, workers=1)

    def by_number(folder: Path) -> dict[str, bytes]:
        return {
            row["seed"].split(":")[1]: (folder / row["path"]).read_bytes() for row in listed(folder)
        }

    few, more, other = (by_number(f) for f in (written, tmp_path / "more", tmp_path / "other"))
    assert all(more[number] == photo for number, photo in few.items())
    assert all(other[number] != photo for number, photo in few.items())


@pytest.mark.parametrize("confound", [0.5, 0.75, 0.95, 1.0])
def test_confound_is_the_share_of_photos_on_their_class_own_tables(confound: float) -> None:
    draws = 6000
    for label in ("clean", "dirty"):
        tables = [
            draw_background_name(np.random.default_rng([11, i]), label, confound)
            for i in range(draws)
        ]
        own = np.mean([(table in CLEAN_BACKGROUNDS) == (label == "clean") for table in tables])
        # five standard errors
        assert abs(own - confound) <= 5 * np.sqrt(confound * (1 - confound) / draws)
        assert set(tables) == set(BACKGROUNDS) or confound == 1.0


def test_without_confounding_a_table_is_as_often_clean_as_dirty() -> None:
    draws = 6000
    clean, dirty = (
        Counter(
            draw_background_name(np.random.default_rng([5, i]), label, 0.5) for i in range(draws)
        )
        for label in ("clean", "dirty")
    )
    for table in BACKGROUNDS:
        assert abs(clean[table] - dirty[table]) < 5 * np.sqrt(clean[table] + dirty[table])


def test_confound_reaches_the_written_photos(tmp_path: Path) -> None:
    summary = write_dataset(tmp_path / "d", photos=40, size=32, confound=1.0, workers=1)
    for (label, table), count in summary.backgrounds.items():
        assert count
        assert (table in CLEAN_BACKGROUNDS) == (label == "clean")


def test_the_border_alone_does_not_tell_the_class(tmp_path: Path) -> None:
    """Colours of the border are spread alike in both classes when nothing is confounded."""
    write_dataset(tmp_path / "d", photos=240, size=32, confound=0.5, seed=1, workers=1)
    border = np.ones((32, 32), bool)
    border[2:-2, 2:-2] = False
    values: dict[str, list[np.ndarray]] = {"clean": [], "dirty": []}
    for row in listed(tmp_path / "d"):
        with Image.open(tmp_path / "d" / row["path"]) as photo:
            values[row["label"]].append(np.asarray(photo)[border].mean(0))
    clean, dirty = (np.array(values[label]) for label in ("clean", "dirty"))
    error = np.sqrt(clean.var(0) / len(clean) + dirty.var(0) / len(dirty))
    assert (np.abs(clean.mean(0) - dirty.mean(0)) < 4 * error).all()


def test_splits_can_be_chosen_and_each_gets_both_classes(tmp_path: Path) -> None:
    splits = {"train": 0.5, "hidden": 0.5, "never": 0.0}
    summary = write_dataset(tmp_path / "d", photos=9, size=32, splits=splits, workers=1)
    assert summary.counts == {
        ("train", "clean"): 3,
        ("train", "dirty"): 2,
        ("hidden", "clean"): 2,
        ("hidden", "dirty"): 2,
    }


def test_an_empty_folder_may_be_filled(tmp_path: Path) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    write_dataset(folder, photos=6, size=32, workers=1)
    assert (folder / "synth.csv").is_file()


@pytest.mark.parametrize(
    ("chosen", "says"),
    [
        ({"photos": 5}, "5 photos are too few for 3 splits; use 6"),
        ({"photos": 3, "splits": {"train": 1.0}}, "3 photos are too few"),
        ({"size": 16}, "size 16"),
        ({"confound": 0.4}, "confound 0.4"),
        ({"confound": 1.1}, "confound 1.1"),
        ({"seed": -1}, "seed -1"),
        ({"workers": 0}, "workers 0"),
        ({"splits": {"train": 0.7, "test": 0.7}}, "add up to 1"),
        ({"splits": {"train": 1.5, "test": -0.5}}, "add up to 1"),
    ],
)
def test_what_cannot_be_written_is_refused(
    tmp_path: Path, chosen: dict[str, object], says: str
) -> None:
    with pytest.raises(DataError, match=says):
        write_dataset(tmp_path / "d", **{"photos": 8, "size": 32, **chosen})
    assert not list(tmp_path.iterdir())


def test_a_folder_in_use_is_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "note.txt").write_text("keep me")
    with pytest.raises(DataError, match="not empty"):
        write_dataset(folder, photos=6, size=32)
    assert contents(folder) == {"note.txt": b"keep me"}
    with pytest.raises(DataError, match="not empty"):
        write_dataset(folder / "note.txt", photos=6, size=32)


def test_nothing_half_written_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail_at_the_fourth(done: int) -> None:
        if done == 4:
            raise KeyboardInterrupt

    for workers in (1, 2):
        with pytest.raises(KeyboardInterrupt):
            write_dataset(
                tmp_path / "d", photos=12, size=32, workers=workers, on_progress=fail_at_the_fourth
            )
        assert not list(tmp_path.iterdir())

    def no_space(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(dataset.Image.Image, "save", no_space)
    with pytest.raises(OSError, match="No space left"):
        write_dataset(tmp_path / "d", photos=12, size=32, workers=1)
    assert not list(tmp_path.iterdir())
