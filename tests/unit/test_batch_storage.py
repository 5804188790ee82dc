"""A path or URL becomes something that open_photo takes, or an error of its row."""

import os
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path

import fsspec
import pyarrow.parquet as pq
import pytest
from PIL import Image

from platecheck.batch import storage
from platecheck.batch.job import Job, run
from platecheck.batch.storage import as_text, filesystem, list_entries, local_path, photo_at
from platecheck.errors import DataError, PhotoError
from platecheck.glob import files_below, is_remote
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
def test_is_remote(place: str, remote: bool) -> None:
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
def test_photo_at_a_local_path(path: str, root: str, opened: str) -> None:
    assert photo_at(path, root) == opened


def test_as_text_of_a_name_that_is_not_utf_8_preserves_its_bytes() -> None:
    odd = os.fsdecode(b"caf\xe9 %.jpg")
    assert as_text(odd, "/archive") == "file:///archive/caf%E9%20%25.jpg"
    assert local_path(as_text(odd, "/archive")) == f"/archive/{odd}"
    assert as_text(odd, "s3://bucket") == "caf\\xe9 %.jpg"
    assert as_text("é %.jpg", "/archive") == "é %.jpg"


@pytest.fixture
def store() -> Iterator[str]:
    """Photos in fsspec's memory file system, which stands for all that pyarrow does not open."""
    file = BytesIO()
    Image.new("RGB", (3, 2)).save(file, "png")
    memory = fsspec.filesystem("memory")
    for name in ("odd %20#.png", "day/1.png", "notes.txt"):
        memory.pipe(f"/photos/{name}", file.getvalue())
    yield "memory://photos"
    memory.rm("/photos", recursive=True)


@pytest.mark.parametrize(
    ("path", "root"),
    [
        ("memory://photos/odd %20#.png", "/archive"),  # keys are not quoted
        ("day/1.png", "memory://photos"),
        ("day/1.png", "memory://photos/"),
    ],
)
def test_photo_at_a_url_is_read_when_it_is_opened(store: str, path: str, root: str) -> None:
    photo = photo_at(path, root)
    assert open_photo(photo).shape == (2, 3, 3)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        (None, "the path is empty in the manifest"),
        ("", "the path is empty in the manifest"),
        ("memory://photos/missing.png", "there is no such file"),
        ("gopher://host/a.jpg", r"cannot be read \(gopher://host/a.jpg cannot be opened: Protocol"),
    ],
)
def test_photo_at_a_wrong_path_is_the_photos_error(
    store: str, path: str | None, reason: str
) -> None:
    with pytest.raises(PhotoError, match=reason):
        open_photo(photo_at(path, "/archive"))


def test_photo_at_a_large_remote_file_is_not_read(
    store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storage, "MAX_BYTES", 60)
    with pytest.raises(PhotoError, match="the file is larger than 0 MB"):
        open_photo(photo_at(f"{store}/day/1.png", "/archive"))


def test_files_below_a_url_lists_with_fsspec(store: str) -> None:
    assert list(files_below(store, entries=list_entries)) == [
        f"{store}/odd %20#.png",
        f"{store}/day/1.png",
    ]


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("gopher://host/a", "gopher://host/a cannot be opened: Protocol not known: gopher"),
        ("missing://host/a", 'cannot be opened: MissingFileSystem requires "missingpackage"'),
    ],
)
def test_filesystem_names_what_is_not_supported_or_installed(url: str, message: str) -> None:
    fsspec.register_implementation(
        "missing",
        "missingpackage.MissingFileSystem",
        errtxt='MissingFileSystem requires "missingpackage"',
        clobber=True,
    )
    with pytest.raises(DataError, match=message):
        filesystem(url)


def test_run_with_photos_and_manifest_on_a_web_server(
    tmp_path: Path, write_model: Callable[..., Path]
) -> None:
    Image.new("RGB", (3, 2)).save(tmp_path / "1.png")
    (tmp_path / "list.csv").write_text("path\n1.png\nmissing.png\n")
    handler = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        out, model = tmp_path / "out.parquet", write_model(tmp_path / "mean.onnx")
        assert run(Job(f"{url}/list.csv", str(out), model=model, root=url)).counts.errors == 1
        server.shutdown()
    errors = pq.read_table(out).column("error").to_pylist()
    assert errors == [None, "there is no such file"]
