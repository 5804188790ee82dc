"""`fetch` verifies what arrives, explains what goes wrong and leaves no partial files.

A local HTTP server plays the far end and its failures. The "photos" are noise: only their bytes
matter.
"""

import csv
import hashlib
import random
import resource
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from unittest.mock import Mock
from urllib.parse import unquote

import pytest
import requests

from platecheck.data.download import FetchResult, fetch, read_manifest
from platecheck.errors import DataError

NAMES = [
    f"{split}/{label}/{number:04}.jpg"
    for split, count in (("train", 5), ("test", 4), ("hidden", 3))
    for label in ("clean", "dirty")
    for number in range(count)
]
NAMES[0] = "train/clean/a dish (1).jpg"  # must be quoted in a URL
HIDDEN = sorted(name for name in NAMES if name.startswith("hidden"))
NOISE = random.Random(0)
PHOTOS = {name: NOISE.randbytes(NOISE.randint(2000, 4000)) for name in NAMES}


class Server(ThreadingHTTPServer):
    """Serves `files`; `bad` names what to do wrong with a file, and how often."""

    daemon_threads = True
    request_queue_size = 64  # else clients wait a second to be let in

    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = dict(files)
        self.bad: dict[str, tuple[str, float]] = {}
        self.requests: Counter[str] = Counter()
        self.stalled = threading.Event()
        self.go_on = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/data"

    def handle_error(self, *_: object) -> None:
        """Stay silent when a client hangs up."""


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        name = unquote(self.path).removeprefix("/data/")
        self.server.requests[name] += 1
        trouble, times = self.server.bad.get(name, ("", 0))
        if self.server.requests[name] > times:
            trouble = ""
        content = self.server.files.get(name)
        if content is None or trouble in ("missing", "error"):
            self.send_error(503 if trouble == "error" else 404)
            return
        if trouble == "refused":
            self.connection.close()
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        half = len(content) // 2
        if trouble == "corrupt":
            content = content[:half] + bytes([content[half] ^ 1]) + content[half + 1 :]
        self.wfile.write(content[:half])
        if trouble == "broken":
            return
        if trouble == "stall":
            self.server.stalled.set()
            self.server.go_on.wait(60)
        self.wfile.write(content[half:])

    def log_message(self, *_: object) -> None:
        """Stay silent."""


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    return write_manifest(tmp_path / "manifest.csv", PHOTOS)


def write_manifest(path: Path, photos: Mapping[str, bytes]) -> Path:
    with path.open("w", newline="") as file:
        write = csv.writer(file).writerow
        write(("path", "sha256", "bytes"))
        for name, content in photos.items():
            write((name, hashlib.sha256(content).hexdigest(), len(content)))
    return path


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    # pooch waits a second and more before it tries again
    monkeypatch.setattr("pooch.core.time.sleep", lambda _: None)
    with Server(PHOTOS) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.02,))
        thread.start()
        yield running
        running.go_on.set()
        running.shutdown()
        thread.join()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "deep/dishes"


def files_in(folder: Path) -> dict[str, bytes]:
    """Return the content of every file below a folder, temporary ones included."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def copy_to(folder: Path, photos: dict[str, bytes]) -> Path:
    for name, content in photos.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


Fetch = Callable[..., FetchResult]


@pytest.fixture
def download(server: Server, folder: Path, manifest: Path) -> Fetch:
    """`fetch` from the server into `folder`."""
    return partial(fetch, folder, base_url=server.url, manifest=manifest)


# --- downloading


@pytest.mark.parametrize("slash", ["", "/"])
def test_fetch_downloads_every_photo_once(
    server: Server, folder: Path, download: Fetch, slash: str, capfd: pytest.CaptureFixture[str]
) -> None:
    result = download(base_url=server.url + slash)
    assert files_in(folder) == PHOTOS
    assert result.complete
    assert result.summary() == "24 photos fetched, 0 already there"
    assert set(server.requests.values()) == {1}
    assert {path.stat().st_mode & 0o777 for path in folder.rglob("*.jpg")} == {0o644}
    assert capfd.readouterr() == ("", "")


def test_fetch_of_some_splits_downloads_only_these(folder: Path, download: Fetch) -> None:
    assert download(splits=["train", "test"]).fetched == 18
    assert sorted(path.name for path in folder.iterdir()) == ["test", "train"]
    with pytest.raises(DataError, match=r"no split 'tets'; the set has: hidden, test, train"):
        download(splits=["train", "tets"])


def test_fetch_resumes_an_interrupted_download(
    server: Server, folder: Path, download: Fetch
) -> None:
    copy_to(folder, {name: PHOTOS[name] for name in NAMES[:10]})
    (folder / NAMES[3]).write_bytes(PHOTOS[NAMES[3]][:-1])  # cut short
    (folder / NAMES[4]).write_bytes(b"")
    calls: list[object] = []
    here = threading.current_thread
    result = download(on_start=calls.append, on_photo=lambda: calls.append(here()))
    assert files_in(folder) == PHOTOS
    assert (result.fetched, result.already_there) == (16, 8)
    assert set(server.requests) == set(NAMES[10:]) | {NAMES[3], NAMES[4]}
    assert calls == [16, *[here()] * 16]
    server.requests.clear()
    assert download().already_there == 24
    assert not server.requests


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        ("corrupt", "its content does not match the checksum"),
        ("broken", "the connection was lost"),
        ("refused", "the connection was lost"),
        ("error", "the server answered 503 Service Unavailable"),
    ],
)
def test_fetch_names_a_photo_that_keeps_failing_and_retries_the_others(
    server: Server, folder: Path, download: Fetch, trouble: str, reason: str
) -> None:
    bad = NAMES[5]
    server.bad = dict.fromkeys(NAMES[6:9], (trouble, 2)) | {bad: (trouble, float("inf"))}
    copy_to(folder, {bad: b"wrong from the start"})
    result = download()
    assert result.failed == {bad: reason}
    assert not result.complete
    assert result.summary().endswith(f"; 1 failed (first {bad}: {reason})")
    assert files_in(folder) == {name: PHOTOS[name] for name in NAMES if name != bad}
    assert server.requests[bad] == server.requests[NAMES[6]] == 3


def test_fetch_reports_photos_that_the_server_does_not_have(
    server: Server, folder: Path, download: Fetch
) -> None:
    server.bad = dict.fromkeys(HIDDEN, ("missing", 1))
    result = download()
    assert result.missing == HIDDEN
    assert result.summary() == "18 photos fetched, 0 already there; 6 not available (hidden 6)"
    assert set(server.requests.values()) == {1}
    assert not (folder / "hidden").exists()


@pytest.mark.parametrize(
    ("url", "variables", "says"),
    [
        # Nothing listens on port 9.
        ("http://127.0.0.1:9/", {"NO_PROXY": "*"}, "127.0.0.1:9: check the network, or copy the"),
        ("http://x.example/", {"http_proxy": "http://127.0.0.1:9"}, "x.example: the proxy cannot"),
        ("http://x.example/", {"http_proxy": "127.0.0.1:9"}, "check HTTPS_PROXY, HTTP_PROXY and"),
        ("http://x.example/", {"http_proxy": "nonsense://x"}, "the proxy cannot be used"),
        ("http://x.example/", {"http_proxy": "http://[bad"}, "the proxy cannot be used"),
        ("http://x.example/", {"http_proxy": "http://u:secret@h:no"}, "the proxy cannot be used"),
        ("https://127.0.0.1:{port}/", {"REQUESTS_CA_BUNDLE": "gone.pem"}, "set REQUESTS_CA_BUNDLE"),
        ("https://127.0.0.1:{port}/", {"CURL_CA_BUNDLE": __file__}, "or CURL_CA_BUNDLE"),
    ],
)
def test_fetch_without_connection_explains_it_in_one_line(
    server: Server,
    folder: Path,
    manifest: Path,
    monkeypatch: pytest.MonkeyPatch,
    url: str,
    variables: dict[str, str],
    says: str,
) -> None:
    for name in ("NO_PROXY", "no_proxy", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(DataError) as caught:
        fetch(folder, base_url=url.format(port=server.server_port), manifest=manifest)
    message = str(caught.value)
    assert message.startswith("no connection to")
    assert says in message
    assert message.endswith("from a local folder with --from DIR")
    assert "\n" not in message
    assert "secret" not in message
    assert not folder.exists()


def test_fetch_with_an_untrusted_certificate_explains_it(
    download: Fetch, monkeypatch: pytest.MonkeyPatch
) -> None:
    untrusted = requests.exceptions.SSLError("certificate verify failed")
    monkeypatch.setattr(requests, "head", Mock(side_effect=untrusted))
    with pytest.raises(DataError, match="its certificate cannot be verified"):
        download()


def test_fetch_gives_up_when_the_connection_is_lost(
    server: Server, folder: Path, download: Fetch
) -> None:
    server.bad = dict.fromkeys(NAMES[10:], ("refused", float("inf")))
    with pytest.raises(DataError, match="10 photos are already downloaded; rerun to resume"):
        download(workers=1)
    assert files_in(folder) == {name: PHOTOS[name] for name in NAMES[:10]}
    assert len(server.requests) < len(NAMES)


def test_fetch_killed_leaves_no_partial_photo_under_its_name(
    server: Server, folder: Path, manifest: Path, download: Fetch
) -> None:
    server.bad[NAMES[2]] = ("stall", 1)
    program = (
        "import sys; from pathlib import Path; from platecheck.data.download import fetch;"
        "fetch(Path(sys.argv[1]), base_url=sys.argv[2], manifest=Path(sys.argv[3]))"
    )
    arguments = [str(folder), server.url, str(manifest)]
    with subprocess.Popen([sys.executable, "-c", program, *arguments]) as child:
        assert server.stalled.wait(60)
        child.kill()
    whole = {name: content for name, content in files_in(folder).items() if name in PHOTOS}
    assert NAMES[2] not in whole
    assert whole.items() <= PHOTOS.items()
    assert download().complete
    assert PHOTOS.items() <= files_in(folder).items()


@pytest.mark.parametrize("url", ["ftp://example.org/", "example.org", "file:///tmp", ""])
def test_fetch_from_a_url_that_is_not_http_is_refused(download: Fetch, url: str) -> None:
    with pytest.raises(DataError, match="must start with http"):
        download(base_url=url)


# --- copying


def test_fetch_from_a_folder_copies_and_verifies(
    tmp_path: Path, folder: Path, manifest: Path
) -> None:
    known = {name: PHOTOS[name] for name in NAMES if name not in HIDDEN}
    source = copy_to(tmp_path / "source", known | {NAMES[1]: b"wrong"})
    result = fetch(folder, source=source, manifest=manifest)
    assert result.failed == {NAMES[1]: "its content does not match the checksum"}
    assert result.missing == HIDDEN
    copy_to(source, known)
    assert fetch(folder, source=source, manifest=manifest).fetched == 1
    assert files_in(folder) == known == files_in(source)
    assert fetch(folder, source=source, manifest=manifest, splits=["test"]).complete


def test_fetch_from_a_wrong_folder_is_refused(tmp_path: Path, manifest: Path, folder: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"the source folder .* does not exist"):
        fetch(folder, source=tmp_path / "none", manifest=manifest)
    with pytest.raises(DataError, match=r"has none of the photos.*hidden, test, train"):
        fetch(folder, source=tmp_path / "empty", manifest=manifest)
    with pytest.raises(DataError, match="both source and destination"):
        fetch(tmp_path / "empty", source=tmp_path / "empty", manifest=manifest)


# --- the destination


def test_fetch_into_an_unusable_destination_is_refused(
    server: Server, tmp_path: Path, manifest: Path
) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(DataError, match=r"cannot write the photos to .*: Not a directory"):
        fetch(tmp_path / "file/dishes", base_url=server.url, manifest=manifest)
    (tmp_path / NAMES[1]).mkdir(parents=True)
    with pytest.raises(DataError, match="exists but is not a regular file"):
        fetch(tmp_path, base_url=server.url, manifest=manifest)


def test_fetch_onto_a_full_disk_leaves_nothing_behind(folder: Path, download: Fetch) -> None:
    # A limit on the size of a file makes writing fail half-way through, as a full disk does.
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(DataError) as caught:
            download()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert str(caught.value) == f"cannot write the photos to {folder}: File too large"
    assert not files_in(folder)


# --- the manifest


def test_read_manifest_of_the_public_set() -> None:
    assert Counter(path.rpartition("/")[0] for path in read_manifest()) == {
        "train/clean": 231, "train/dirty": 227, "test/clean": 171, "test/dirty": 330,
        "hidden/clean": 110, "hidden/dirty": 109,
    }  # fmt: skip


@pytest.mark.parametrize(
    "path",
    [
        "../evil.jpg", "train/../../evil.jpg", "train/clean/../../../evil.jpg", "/etc/evil.jpg",
        "//host/share/evil.jpg", "C:/evil/1.jpg", "train\\..\\..\\evil.jpg", "train//evil.jpg",
        "./train/evil.jpg", "train/./evil.jpg", "train/clean/", "evil.jpg", "..", "",
        "train/clean/evil\n.jpg", "train/clean/evil\0.jpg", "train/clean/evil.jpg?x",
    ],
)  # fmt: skip
def test_fetch_to_a_path_outside_the_folder_is_refused(tmp_path: Path, path: str) -> None:
    source = tmp_path / "source/inner"
    source.mkdir(parents=True)
    (source.parent / "evil.jpg").write_bytes(b"evil")
    bad = write_manifest(tmp_path / "bad.csv", {path: b"evil"})
    before = files_in(tmp_path)
    with pytest.raises(DataError):
        fetch(tmp_path / "in/side", source=source, manifest=bad)
    assert files_in(tmp_path) == before


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read"),
        (b"path,sha256,bytes\n\xff\xfe\n", "cannot be read"),
        (b"", "lists no photos"),
        (b"path,sha256,bytes\n", "lists no photos"),
        (b"name,sha256\ntrain/a.jpg,c\n", "line 2: '' is not a path"),
        (b"path,sha256,bytes\ntrain/a.jpg\n", "line 2: '' is not a SHA-256 checksum"),
        (b"path,sha256,bytes\ntrain/a.jpg,123,4\n", "line 2: '123' is not a SHA-256 checksum"),
        (b"path,sha256\nt/a,%s\nt/A,%s\n" % (b"a" * 64, b"b" * 64), "more than once"),
    ],
)
def test_read_manifest_invalid_is_refused(
    tmp_path: Path, content: bytes | None, message: str
) -> None:
    path = tmp_path / "manifest.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_manifest(path)
