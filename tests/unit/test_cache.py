"""The cache may only ever cost speed: pixels are those of the photo, whatever happens on disk."""

import errno
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import platecheck.data.cache as module
from platecheck.data.cache import PixelCache, default_folder
from platecheck.data.folders import Photo, read_photos
from platecheck.errors import PhotoError
from platecheck.photo import open_photo

WritePhotos = Callable[[Path, Mapping[str, int]], Path]

SIZE = 8
ENTRY = SIZE * SIZE * 3  # bytes


@pytest.fixture
def photos(tmp_path: Path, write_photos: WritePhotos) -> tuple[Photo, ...]:
    return read_photos(write_photos(tmp_path / "set", {"clean": 4, "dirty": 4})).photos


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def entries(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def decoded(photo: Photo, size: int = SIZE) -> np.ndarray:
    return open_photo(photo.path, size=size)


def refuse_to_decode(*_: object, **__: object) -> np.ndarray:
    raise AssertionError("decoded although it is cached")


# --- hits and misses


def test_a_hit_gives_the_same_pixels_without_decoding(
    photos: tuple[Photo, ...], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = PixelCache(SIZE, folder=folder)
    first = [cache.get(photo) for photo in photos]
    monkeypatch.setattr(module, "open_photo", refuse_to_decode)
    # Another one too, as another process would open it.
    for again in (cache, PixelCache(SIZE, folder=folder)):
        for photo, pixels in zip(photos, first, strict=True):
            found = again.get(photo)
            assert np.array_equal(found, pixels)
            assert np.array_equal(found, decoded(photo))
            assert found.dtype == np.uint8
            found[:] = 0  # whoever asked may change it, and no one else sees that
            assert np.array_equal(again.get(photo), pixels)


def test_a_changed_file_gives_its_new_pixels(photos: tuple[Photo, ...], folder: Path) -> None:
    cache = PixelCache(SIZE, folder=folder)
    before = cache.get(photos[0])
    photos[0].path.write_bytes(photos[1].path.read_bytes())
    changed = replace(photos[0], sha256=photos[1].sha256)
    assert not np.array_equal(before, decoded(changed))
    assert np.array_equal(cache.get(changed), decoded(changed))


def test_a_file_that_changed_since_it_was_hashed_is_not_kept_as_the_old_one(
    photos: tuple[Photo, ...], folder: Path
) -> None:
    cache = PixelCache(SIZE, folder=folder)
    old = photos[0].path.read_bytes()
    photos[0].path.write_bytes(photos[1].path.read_bytes())
    assert np.array_equal(cache.get(photos[0]), decoded(photos[1]))
    assert entries(folder) == []
    photos[0].path.write_bytes(old)
    assert not np.array_equal(cache.get(photos[0]), decoded(photos[1]))


def test_a_copy_under_another_name_is_decoded_once(
    photos: tuple[Photo, ...], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = PixelCache(SIZE, folder=folder)
    cache.get(photos[0])
    monkeypatch.setattr(module, "open_photo", refuse_to_decode)
    cache.get(replace(photos[0], path=Path("elsewhere.png"), name="elsewhere.png"))


def test_sizes_are_kept_apart(photos: tuple[Photo, ...], folder: Path) -> None:
    for size in (SIZE, 2 * SIZE, SIZE):
        pixels = PixelCache(size, folder=folder).get(photos[0])
        assert np.array_equal(pixels, decoded(photos[0], size))
    assert len(entries(folder)) == 2


def test_another_decoder_gets_entries_of_its_own(
    photos: tuple[Photo, ...], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    PixelCache(SIZE, folder=folder).get(photos[0])
    monkeypatch.setattr(module, "DECODER_VERSION", module.DECODER_VERSION + 1)
    PixelCache(SIZE, folder=folder).get(photos[0])
    assert len(entries(folder)) == 2


def test_a_photo_without_a_hash_is_refused(photos: tuple[Photo, ...], folder: Path) -> None:
    with pytest.raises(ValueError, match="no hash"):
        PixelCache(SIZE, folder=folder).get(replace(photos[0], sha256=""))


def test_a_photo_that_cannot_be_opened_is_named_and_not_kept(
    photos: tuple[Photo, ...], folder: Path
) -> None:
    photos[0].path.write_bytes(b"")
    with pytest.raises(PhotoError, match=r"000\.png: the file is empty"):
        PixelCache(SIZE, folder=folder).get(photos[0])
    assert entries(folder) == []


# --- damage


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.one_of(
        st.binary(max_size=ENTRY - 1), st.binary(min_size=ENTRY + 1, max_size=2 * ENTRY)
    )
)
def test_an_entry_of_the_wrong_length_is_computed_anew(
    photos: tuple[Photo, ...], folder: Path, content: bytes
) -> None:
    cache = PixelCache(SIZE, folder=folder)
    cache.get(photos[0])
    (entry,) = entries(folder)
    entry.write_bytes(content)
    assert np.array_equal(cache.get(photos[0]), decoded(photos[0]))
    assert entry.stat().st_size == ENTRY  # and mended


def test_a_folder_in_the_place_of_an_entry_costs_speed_only(
    photos: tuple[Photo, ...], folder: Path
) -> None:
    cache = PixelCache(SIZE, folder=folder)
    cache.get(photos[0])
    (entry,) = entries(folder)
    entry.unlink()
    entry.mkdir()
    assert np.array_equal(cache.get(photos[0]), decoded(photos[0]))
    assert np.array_equal(PixelCache(SIZE, folder=folder).get(photos[0]), decoded(photos[0]))


def test_what_is_read_back_cannot_run_code(photos: tuple[Photo, ...], folder: Path) -> None:
    cache = PixelCache(SIZE, folder=folder)
    cache.get(photos[0])
    (entry,) = entries(folder)
    evil = np.array([{"a": 1}], dtype=object)
    np.save(entry.with_suffix(".npy"), evil, allow_pickle=True)
    entry.with_suffix(".npy").replace(entry)
    assert np.array_equal(cache.get(photos[0]), decoded(photos[0]))


# --- a disk that does not want to


def test_a_place_that_cannot_be_written_to_costs_speed_only(
    photos: tuple[Photo, ...], tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(b"in the way")
    cache = PixelCache(SIZE, folder=tmp_path / "file")
    for photo in photos:
        assert np.array_equal(cache.get(photo), decoded(photo))
    assert (tmp_path / "file").read_bytes() == b"in the way"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EDQUOT])
def test_a_full_disk_costs_speed_only_and_leaves_nothing_half_written(
    photos: tuple[Photo, ...], folder: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def write_half(path: Path, content: bytes) -> int:
        with path.open("wb") as file:
            file.write(content[: len(content) // 2])
        raise OSError(number, os.strerror(number))

    cache = PixelCache(SIZE, folder=folder)
    monkeypatch.setattr(Path, "write_bytes", write_half)
    for photo in photos:
        assert np.array_equal(cache.get(photo), decoded(photo))
    assert entries(folder) == []


def test_a_folder_that_may_only_be_read_still_gives_its_pixels(
    photos: tuple[Photo, ...], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = PixelCache(SIZE, folder=folder)
    expected = cache.get(photos[0])

    def refuse(*_: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(os, "utime", refuse)
    monkeypatch.setattr(module, "open_photo", refuse_to_decode)
    assert np.array_equal(cache.get(photos[0]), expected)


# --- a bound


def used(entry: Path, days_ago: float) -> None:
    then = time.time() - days_ago * 86400
    os.utime(entry, (then, then))


def fill(folder: Path, photos: tuple[Photo, ...]) -> dict[str, Path]:
    """Cache photos, the first one used longest ago; give their entries by the photo's name."""
    cache = PixelCache(SIZE, folder=folder)
    for photo in photos:
        cache.get(photo)
    found = {
        photo.name: next(e for e in entries(folder) if e.name.startswith(photo.sha256))
        for photo in photos
    }
    for i, entry in enumerate(found.values()):
        used(entry, days_ago=len(found) - i)
    return found


def test_the_longest_unused_go_first(photos: tuple[Photo, ...], folder: Path) -> None:
    old = fill(folder, photos[:4])
    cache = PixelCache(SIZE, folder=folder, max_bytes=4 * ENTRY)
    cache.get(photos[0])  # is old no more
    for photo in photos[4:6]:
        cache.get(photo)
    assert [entry.exists() for entry in old.values()] == [True, False, False, True]
    assert len(entries(folder)) == 4


def test_the_bound_holds_and_what_this_run_uses_is_not_pushed_out(
    photos: tuple[Photo, ...], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = PixelCache(SIZE, folder=folder, max_bytes=3 * ENTRY)
    for _ in range(2):
        for photo in photos:
            assert np.array_equal(cache.get(photo), decoded(photo))
    assert sum(entry.stat().st_size for entry in entries(folder)) <= 3 * ENTRY
    monkeypatch.setattr(module, "open_photo", refuse_to_decode)
    for photo in photos[:3]:
        cache.get(photo)


def test_what_was_there_before_counts_and_what_killed_processes_left_too(
    photos: tuple[Photo, ...], folder: Path
) -> None:
    old = fill(folder, photos[:2])
    left = next(iter(old.values())).parent / ".part-abc.rgb"
    left.write_bytes(bytes(ENTRY))
    used(left, days_ago=9)
    cache = PixelCache(SIZE, folder=folder, max_bytes=3 * ENTRY)
    cache.get(photos[2])
    assert not left.exists()
    assert all(entry.exists() for entry in old.values())


def test_a_bound_below_one_photo_keeps_nothing(photos: tuple[Photo, ...], folder: Path) -> None:
    cache = PixelCache(SIZE, folder=folder, max_bytes=ENTRY - 1)
    assert np.array_equal(cache.get(photos[0]), decoded(photos[0]))
    assert entries(folder) == []


def test_entries_that_vanish_meanwhile_do_no_harm(
    photos: tuple[Photo, ...], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process may remove an entry between its listing and a look at it."""
    fill(folder, photos[:3])
    listing = Path.glob

    def glob(self: Path, pattern: str) -> list[Path]:
        return [*listing(self, pattern), self / "00" / "gone.rgb"]

    monkeypatch.setattr(Path, "glob", glob)
    cache = PixelCache(SIZE, folder=folder, max_bytes=3 * ENTRY)
    cache.get(photos[3])
    assert len(entries(folder)) == 3


# --- where it is


def test_the_folder_is_the_environment_s_choice(
    tmp_path: Path, photos: tuple[Photo, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLATECHECK_CACHE", str(tmp_path / "mine"))
    PixelCache(SIZE).get(photos[0])
    assert len(entries(tmp_path / "mine")) == 1
    monkeypatch.delenv("PLATECHECK_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert default_folder() == tmp_path / "xdg" / "platecheck"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_folder() == tmp_path / ".cache" / "platecheck"


# --- several processes

WORKER = """
import sys
from pathlib import Path
from platecheck.data.cache import PixelCache
from platecheck.data.folders import read_photos
from platecheck.photo import open_photo

photos = read_photos(Path(sys.argv[1])).photos
print("ready", flush=True)
sys.stdin.readline()
for _ in range(10):
    # Opened anew each time: what the last one used may go, so both push each other's entries out.
    cache = PixelCache(8, folder=Path(sys.argv[2]), max_bytes=5 * 192)
    for photo in photos:
        assert (cache.get(photo) == open_photo(photo.path, size=8)).all()
print("right")
"""


def test_two_processes_at_once(tmp_path: Path, photos: tuple[Photo, ...], folder: Path) -> None:
    command = [sys.executable, "-c", WORKER, str(tmp_path / "set"), str(folder)]
    workers = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    for worker in workers:
        output, _ = worker.communicate(timeout=120)
        assert (worker.returncode, output) == (0, "right\n")
    assert all(entry.stat().st_size == ENTRY for entry in entries(folder))
