"""The cache may only ever cost speed: pixels are those of the photo, whatever happens on disk."""

import errno
import multiprocessing
import os
import pickle
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest

import platecheck.data.cache as module
from platecheck.data.cache import PixelCache, default_folder
from platecheck.data.folders import Photo, read_photos
from platecheck.errors import PhotoError
from platecheck.photo import open_photo
from tests.support.writing import write_photos

Photos = tuple[Photo, ...]

SIZE = 8
ROW = SIZE * SIZE * 3 + 1  # bytes


@pytest.fixture
def photos(tmp_path: Path) -> Photos:
    return read_photos(write_photos(tmp_path / "set", {"clean": 3, "dirty": 3})).photos


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Paths of the photos that the cache has decoded, in order."""
    paths: list[Path] = []

    def open_(path: Path, **options: Any) -> np.ndarray:
        paths.append(path)
        return open_photo(path, **options)

    monkeypatch.setattr(module, "open_photo", open_)
    return paths


def assert_right(cache: PixelCache, photos: Photos) -> None:
    for photo in photos:
        pixels = cache.get(photo)
        assert pixels.dtype == np.uint8
        assert np.array_equal(pixels, open_photo(photo.path, size=cache.size))
        pixels[:] = 0  # must not change the cached pixels


def test_pixel_cache_decodes_each_photo_once(photos: Photos, decoded: list[Path]) -> None:
    cache = PixelCache(SIZE, photos)
    for _ in range(2):
        assert_right(cache, photos)
    assert decoded == [photo.path for photo in photos]
    assert_right(PixelCache(2 * SIZE, photos), photos)


def test_pixel_cache_decodes_other_photos_at_every_use(photos: Photos, decoded: list[Path]) -> None:
    cache = PixelCache(SIZE, photos[1:])
    for _ in range(2):
        assert_right(cache, photos[:1])
    assert len(decoded) == 2
    assert_right(PixelCache(SIZE, ()), photos)


@pytest.mark.parametrize("kept", [0, 2])
def test_pixel_cache_keeps_no_more_than_max_bytes(
    photos: Photos, decoded: list[Path], kept: int
) -> None:
    cache = PixelCache(SIZE, photos, max_bytes=(kept + 1) * ROW - 1)
    for _ in range(2):
        assert_right(cache, photos)
    assert len(decoded) == 2 * len(photos) - kept


def test_pixel_cache_shares_pixels_with_forks(photos: Photos, decoded: list[Path]) -> None:
    cache = PixelCache(SIZE, photos)
    child = multiprocessing.get_context("fork").Process(target=assert_right, args=(cache, photos))
    child.start()
    child.join()
    assert child.exitcode == 0
    assert_right(cache, photos)
    assert decoded == []


def test_pixel_cache_pickled_starts_empty(photos: Photos, decoded: list[Path]) -> None:
    cache = PixelCache(SIZE, photos)
    assert_right(cache, photos)
    assert_right(pickle.loads(pickle.dumps(cache)), photos)
    assert len(decoded) == 2 * len(photos)


def test_pixel_cache_leaves_no_file_behind(tmp_path: Path, photos: Photos) -> None:
    cache = PixelCache(SIZE, photos, folder=tmp_path / "cache")
    assert_right(cache, photos)
    assert not list((tmp_path / "cache").iterdir())


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EDQUOT])
def test_pixel_cache_on_a_full_disk_decodes_at_every_use(
    photos: Photos, decoded: list[Path], monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    error = OSError(number, os.strerror(number))
    monkeypatch.setattr(os, "posix_fallocate", Mock(side_effect=error))
    cache = PixelCache(SIZE, photos)
    for _ in range(2):
        assert_right(cache, photos)
    assert len(decoded) == 2 * len(photos)


def test_pixel_cache_in_an_unusable_folder_decodes(photos: Photos, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"in the way")
    assert_right(PixelCache(SIZE, photos, folder=tmp_path / "file"), photos)
    assert (tmp_path / "file").read_bytes() == b"in the way"


def test_pixel_cache_unreadable_photo_is_named(photos: Photos) -> None:
    photos[0].path.write_bytes(b"")
    with pytest.raises(PhotoError, match=r"000\.png: the file is empty"):
        PixelCache(SIZE, photos).get(photos[0])


def test_default_folder_follows_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, folder in (
        ("PLATECHECK_CACHE", tmp_path),
        ("XDG_CACHE_HOME", tmp_path / "platecheck"),
        ("HOME", tmp_path / ".cache" / "platecheck"),
    ):
        monkeypatch.setenv(name, str(tmp_path))
        assert default_folder() == folder
        monkeypatch.delenv(name)
