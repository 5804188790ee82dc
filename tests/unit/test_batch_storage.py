"""A path or URL of a list becomes something that open_photo takes, or an error of that row."""

import os
from io import BytesIO

import pyarrow as pa
import pytest

from platecheck.batch import storage
from platecheck.batch.storage import as_text, filesystem, local_path, photo_at
from platecheck.errors import DataError, PhotoError
from platecheck.glob import is_remote
from platecheck.photo import open_photo


@pytest.mark.parametrize(
    ("place", "remote"),
    [
        ("s3://bucket/a.jpg", True),
        ("GS://bucket", True),
        ("https://example.org/a.jpg", True),
        ("file:///a.jpg", False),
        ("/a/b.jpg", False),
        ("a:b.jpg", False),
        ("s3:/b.jpg", False),
        ("", False),
    ],
)
def test_what_is_on_another_machine(place: str, remote: bool) -> None:
    assert is_remote(place) is remote


@pytest.mark.parametrize(
    ("path", "root", "opened"),
    [
        ("a.jpg", "/archive", "/archive/a.jpg"),
        ("/b/a.jpg", "/archive", "/b/a.jpg"),
        ("/b/a.jpg", "s3://bucket", "/b/a.jpg"),
        ("file:///b/%61%20%25.jpg", "/archive", "/b/a %.jpg"),
        ("a%20b.jpg", "/archive", "/archive/a%20b.jpg"),
    ],
)
def test_where_a_local_photo_is(path: str, root: str, opened: str) -> None:
    assert photo_at(path, root) == opened


def test_a_name_that_is_no_text_becomes_a_url_that_says_its_bytes() -> None:
    odd = os.fsdecode(b"caf\xe9 %.jpg")
    assert as_text(odd, "/archive") == "file:///archive/caf%E9%20%25.jpg"
    assert local_path(as_text(odd, "/archive")) == f"/archive/{odd}"
    assert as_text(odd, "s3://bucket") == "caf\\xe9 %.jpg"
    assert as_text("é %.jpg", "/archive") == "é %.jpg"


@pytest.mark.parametrize("path", [None, ""])
def test_a_row_without_a_path(path: str | None) -> None:
    with pytest.raises(PhotoError, match="the list has no path here"):
        open_photo(photo_at(path, "/archive"))


class Store:
    """Stands for an object store."""

    def __init__(self, content: bytes, size: int | None = None) -> None:
        self.content, self.told, self.asked = content, size, list[str]()

    def open_input_file(self, path: str) -> "Store":
        self.asked.append(path)
        if path.endswith("missing.jpg"):
            raise FileNotFoundError(2, "no such key")
        if path.endswith("//.jpg"):
            raise pa.ArrowInvalid("Empty path component")
        return self

    def __enter__(self) -> "Store":
        return self

    def __exit__(self, *_error: object) -> None: ...

    def size(self) -> int:
        return len(self.content) if self.told is None else self.told

    def read(self) -> bytes:
        assert self.told is None, "what is too large is not read"
        return self.content


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Store:
    from PIL import Image

    file = BytesIO()
    Image.new("RGB", (3, 2)).save(file, "png")
    store = Store(file.getvalue())
    monkeypatch.setattr(storage, "_host", lambda scheme, host: (store, host))
    return store


def test_a_photo_elsewhere_is_read_when_it_is_opened(store: Store) -> None:
    photo = photo_at("s3://bucket/odd %20#?.jpg", "/archive")
    assert store.asked == []
    assert open_photo(photo).shape == (2, 3, 3)
    assert store.asked == ["bucket/odd %20#?.jpg"]  # a key is no quoted URL


def test_relative_paths_may_begin_elsewhere(store: Store) -> None:
    open_photo(photo_at("day/1.jpg", "s3://bucket/photos/"))
    assert store.asked == ["bucket/photos/day/1.jpg"]


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ("missing.jpg", "there is no such file"),
        ("//.jpg", r"cannot be read \(Empty path component\)"),
    ],
)
def test_what_is_wrong_elsewhere_is_the_photos_error(store: Store, key: str, reason: str) -> None:
    with pytest.raises(PhotoError, match=reason):
        open_photo(photo_at(f"s3://bucket/{key}", "/archive"))


def test_a_file_elsewhere_that_is_too_large_is_not_read(store: Store) -> None:
    store.told = 2**30 + 1
    with pytest.raises(PhotoError, match="the file is larger than 1024 MB"):
        open_photo(photo_at("s3://bucket/a.jpg", "/archive"))


def test_a_url_of_an_unknown_kind() -> None:
    with pytest.raises(DataError, match="gopher://host cannot be reached: Unrecognized"):
        filesystem("gopher://host/a.jpg")
    with pytest.raises(PhotoError, match=r"cannot be read \(gopher://host cannot be reached"):
        open_photo(photo_at("gopher://host/a.jpg", "/archive"))
