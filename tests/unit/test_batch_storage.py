"""A path or URL becomes something that open_photo takes, or an error of its row."""

import os
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import fsspec
import pyarrow.parquet as pq
import pytest
from PIL import Image

from platecheck.batch.job import Job, run
from platecheck.batch.storage import as_text, filesystem, list_entries, local_path, photo_at
from platecheck.errors import DataError, PhotoError
from platecheck.glob import files_below, is_remote
from platecheck.photo import open_photo
from tests.conftest import WriteModel
from tests.support.photos import encode


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
    memory = fsspec.filesystem("memory")
    for name in ("odd %20#.png", "day/1.png", "notes.txt"):
        memory.pipe(f"/photos/{name}", encode(Image.new("RGB", (3, 2)), "PNG"))
    yield "memory://photos"
    memory.rm("/photos", recursive=True)


def test_photo_at_a_url_is_read_when_it_is_opened(store: str) -> None:
    for path, root in (
        (f"{store}/odd %20#.png", "/archive"),  # keys are not quoted
        ("day/1.png", store),
        ("day/1.png", f"{store}/"),
    ):
        assert open_photo(photo_at(path, root)).shape == (2, 3, 3)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        (None, "the path is empty in the manifest"),
        ("", "the path is empty in the manifest"),
        ("memory://photos/missing.png", "there is no such file"),
        ("gopher://host/a", r"reading failed \(gopher://host/a cannot be opened: Protocol not kno"),
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
    monkeypatch.setattr("platecheck.batch.storage.MAX_BYTES", 60)
    with pytest.raises(PhotoError, match="the file is larger than 0 MB"):
        open_photo(photo_at(f"{store}/day/1.png", "/archive"))


def test_files_below_a_url_lists_with_fsspec(store: str) -> None:
    expected = [f"{store}/odd %20#.png", f"{store}/day/1.png"]
    assert list(files_below(store, entries=list_entries)) == expected


def test_filesystem_that_is_not_installed_is_named() -> None:
    told = 'MissingFileSystem requires "missingpackage"'
    missing = "missingpackage.MissingFileSystem"
    fsspec.register_implementation("missing", missing, errtxt=told, clobber=True)
    with pytest.raises(DataError, match=f"cannot be opened: {told}"):
        filesystem("missing://host/a")


def test_run_with_photos_and_manifest_on_a_web_server(
    tmp_path: Path, write_model: WriteModel
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
