"""Fetching photos: what arrives is right, and what goes wrong is said and leaves no trace.

A real HTTP server in a thread plays the far end, with every way of failing that it needs. The
"photos" are noise: only their bytes matter here.
"""

import csv
import hashlib
import random
import resource
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

import pytest

from platecheck.data import download as fetching
from platecheck.data.download import FetchProgress, fetch, read_manifest
from platecheck.errors import DataError

NAMES = [
    f"{split}/{label}/{number:04}.jpg"
    for split, count in (("train", 5), ("test", 4), ("hidden", 3))
    for label in ("clean", "dirty")
    for number in range(count)
]
NAMES[0] = "train/clean/a dish (1).jpg"  # must be quoted in an address


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
        if content is None or trouble == "missing":
            self.send_error(404)
            return
        if trouble == "error":
            self.send_error(503)
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
def photos() -> dict[str, bytes]:
    noise = random.Random(0)
    return {name: noise.randbytes(noise.randint(2000, 4000)) for name in NAMES}


@pytest.fixture
def manifest(photos: dict[str, bytes], tmp_path: Path) -> Path:
    return write_manifest(
        tmp_path / "manifest.csv",
        [
            (name, hashlib.sha256(content).hexdigest(), str(len(content)))
            for name, content in photos.items()
        ],
    )


def write_manifest(path: Path, rows: list[tuple[str, str, str]]) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("path", "sha256", "bytes"), *rows])
    return path


@pytest.fixture
def server(photos: dict[str, bytes], monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    # pooch waits a second and more before it tries again
    monkeypatch.setattr("pooch.core.time.sleep", lambda _: None)
    with Server(photos) as running:
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
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def copy_to(folder: Path, photos: dict[str, bytes]) -> Path:
    for name, content in photos.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


# --- downloading --------------------------------------------------------------------------------


@pytest.mark.parametrize("slash", ["", "/"])
def test_everything_arrives(
    server: Server,
    folder: Path,
    manifest: Path,
    photos: dict[str, bytes],
    slash: str,
    capfd: pytest.CaptureFixture[str],
) -> None:
    result = fetch(folder, base_url=server.url + slash, manifest=manifest)

    assert files_in(folder) == photos
    assert (result.fetched, result.already_there) == (24, 0)
    assert result.complete
    assert result.summary() == "24 photos fetched, 0 already there"
    assert set(server.requests.values()) == {1}
    assert {path.stat().st_mode & 0o777 for path in folder.rglob("*.jpg")} == {0o644}
    assert capfd.readouterr() == ("", "")


def test_only_the_wanted_splits_arrive(
    server: Server, folder: Path, manifest: Path, photos: dict[str, bytes]
) -> None:
    result = fetch(folder, base_url=server.url, manifest=manifest, splits=["train", "test"])

    assert result.fetched == 18
    assert sorted(path.name for path in folder.iterdir()) == ["test", "train"]
    with pytest.raises(DataError, match=r"no split 'tets'; the set has: hidden, test, train"):
        fetch(folder, base_url=server.url, manifest=manifest, splits=["train", "tets"])


def test_an_interrupted_fetch_goes_on_where_it_stopped(
    server: Server, folder: Path, manifest: Path, photos: dict[str, bytes]
) -> None:
    copy_to(folder, {name: photos[name] for name in NAMES[:10]})
    (folder / NAMES[3]).write_bytes(photos[NAMES[3]][:-1])  # cut short
    (folder / NAMES[4]).write_bytes(b"")

    result = fetch(folder, base_url=server.url, manifest=manifest)

    assert files_in(folder) == photos
    assert (result.fetched, result.already_there) == (16, 8)
    assert set(server.requests) == set(NAMES[10:]) | {NAMES[3], NAMES[4]}


def test_nothing_is_asked_for_when_all_is_there(
    server: Server, folder: Path, manifest: Path, photos: dict[str, bytes]
) -> None:
    result = fetch(copy_to(folder, photos), base_url=server.url, manifest=manifest)

    assert (result.fetched, result.already_there) == (0, 24)
    assert not server.requests


def test_progress_counts_every_photo_once(
    server: Server, folder: Path, manifest: Path, photos: dict[str, bytes]
) -> None:
    copy_to(folder, {name: photos[name] for name in NAMES[:5]})
    del server.files[NAMES[7]]
    seen: list[FetchProgress] = []
    callers = set()

    def watch(progress: FetchProgress) -> None:
        seen.append(progress)
        callers.add(threading.current_thread())

    fetch(folder, base_url=server.url, manifest=manifest, on_progress=watch)

    size = sum(map(len, photos.values()))
    assert [progress.done for progress in seen] == list(range(1, 25))
    assert sorted(progress.path for progress in seen) == sorted(NAMES)
    assert {(progress.total, progress.bytes_total) for progress in seen} == {(24, size)}
    assert seen[-1].bytes_done == size
    assert callers == {threading.current_thread()}


@pytest.mark.parametrize("trouble", ["corrupt", "broken", "error", "refused"])
def test_passing_trouble_is_got_over(
    server: Server, folder: Path, manifest: Path, photos: dict[str, bytes], trouble: str
) -> None:
    for name in NAMES[5:8]:
        server.bad[name] = (trouble, 2)

    result = fetch(folder, base_url=server.url, manifest=manifest)

    assert result.complete
    assert files_in(folder) == photos
    assert server.requests[NAMES[5]] == 3


@pytest.mark.parametrize(
    ("trouble", "reason"),
    [
        ("corrupt", "its content does not match the checksum"),
        ("broken", "the connection broke off"),
        ("refused", "the connection broke off"),
        ("error", "the server answered 503 Service Unavailable"),
    ],
)
def test_lasting_trouble_with_one_photo_leaves_the_others_alone(
    server: Server,
    folder: Path,
    manifest: Path,
    photos: dict[str, bytes],
    trouble: str,
    reason: str,
) -> None:
    bad = NAMES[5]
    server.bad[bad] = (trouble, float("inf"))
    copy_to(folder, {bad: b"wrong from the start"})

    result = fetch(folder, base_url=server.url, manifest=manifest)

    assert result.failed == {bad: reason}
    assert result.fetched == 23
    assert not result.complete
    assert result.summary().endswith(f"; 1 failed (first {bad}: {reason})")
    assert files_in(folder) == {name: photos[name] for name in NAMES if name != bad}
    assert server.requests[bad] == 3


def test_what_the_server_does_not_have_is_missing_and_asked_for_once(
    server: Server, folder: Path, manifest: Path, photos: dict[str, bytes]
) -> None:
    for name in NAMES:
        if name.startswith("hidden"):
            del server.files[name]

    result = fetch(folder, base_url=server.url, manifest=manifest)

    assert result.missing == sorted(name for name in NAMES if name.startswith("hidden"))
    assert result.fetched == 18
    assert result.summary() == ("18 photos fetched, 0 already there; 6 not available (hidden 6)")
    assert set(server.requests.values()) == {1}
    assert not (folder / "hidden").exists()


def test_no_network_is_one_clear_line(
    folder: Path, manifest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setattr("pooch.core.time.sleep", lambda _: None)
    seen: list[FetchProgress] = []

    with pytest.raises(DataError) as caught:  # nobody listens on port 9
        fetch(folder, base_url="http://127.0.0.1:9/", manifest=manifest, on_progress=seen.append)

    assert str(caught.value) == (
        "no connection to 127.0.0.1:9: check the network, or copy the photos from a local folder"
        " with --from DIR"
    )
    assert len(seen) == fetching.MAX_CONNECTION_FAILURES
    assert not files_in(folder)
    assert not list(folder.rglob("train"))


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
@pytest.mark.parametrize("content", [None, "no certificate\n"], ids=["missing", "something else"])
def test_certificates_of_the_environment_that_cannot_be_read_are_named(
    folder: Path,
    manifest: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    variable: str,
    content: str | None,
) -> None:
    bundle = tmp_path / "ca.pem"
    if content:
        bundle.write_text(content)
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, str(bundle))

    with pytest.raises(DataError) as caught:
        fetch(folder, base_url="https://127.0.0.1:9/", manifest=manifest)

    assert str(caught.value).startswith(
        f"{variable} is set to {bundle}, from which no certificates"
    )
    assert not folder.exists()


@pytest.mark.parametrize("proxy", ["nonsense://x", "http://[bad", "http://user:secret@host:none"])
def test_proxy_that_makes_no_sense_is_told_at_once(
    folder: Path, manifest: Path, monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    monkeypatch.setenv("http_proxy", proxy)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)

    with pytest.raises(DataError, match="the proxy for http:// URLs") as caught:
        fetch(folder, base_url="http://photos.example/", manifest=manifest)

    assert "HTTP_PROXY" in str(caught.value)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("proxy", ["http://127.0.0.1:9", "127.0.0.1:9"])
def test_proxy_that_does_not_answer_is_told_from_the_network(
    folder: Path, manifest: Path, monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    monkeypatch.setenv("http_proxy", proxy)
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setattr("pooch.core.time.sleep", lambda _: None)

    with pytest.raises(DataError, match="check HTTPS_PROXY, HTTP_PROXY and ALL_PROXY"):
        fetch(folder, base_url="http://photos.example/", manifest=manifest)


def test_certificate_that_is_not_trusted_is_told_from_the_network(
    folder: Path, manifest: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def untrusted(*_: object, **__: object) -> None:
        raise fetching.requests.exceptions.SSLError("certificate verify failed")

    monkeypatch.setattr(fetching.pooch, "HTTPDownloader", lambda **_: untrusted)
    monkeypatch.setattr("pooch.core.time.sleep", lambda _: None)

    with pytest.raises(DataError, match="its certificate is not trusted"):
        fetch(folder, base_url="http://127.0.0.1:9/", manifest=manifest)


def test_no_network_is_noticed_with_few_photos_too(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setattr("pooch.core.time.sleep", lambda _: None)
    single = write_manifest(tmp_path / "single.csv", [("test/clean/1.jpg", "0" * 64, "1")])

    with pytest.raises(DataError, match="no connection"):
        fetch(folder, base_url="http://127.0.0.1:9", manifest=single)


def test_a_network_that_is_lost_on_the_way(
    server: Server, folder: Path, manifest: Path, photos: dict[str, bytes]
) -> None:
    for name in NAMES[10:]:
        server.bad[name] = ("refused", float("inf"))

    with pytest.raises(DataError, match="10 photos are there, the next run resumes from them"):
        fetch(folder, base_url=server.url, manifest=manifest, workers=1)

    assert files_in(folder) == {name: photos[name] for name in NAMES[:10]}
    assert len(server.requests) < len(NAMES)


def test_a_killed_fetch_leaves_nothing_wrong_under_a_photos_name(
    server: Server, folder: Path, manifest: Path, photos: dict[str, bytes]
) -> None:
    server.bad[NAMES[2]] = ("stall", 1)
    program = (
        "import sys; from pathlib import Path; from platecheck.data.download import fetch;"
        "fetch(Path(sys.argv[1]), base_url=sys.argv[2], manifest=Path(sys.argv[3]))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(folder), server.url, str(manifest)]
    ) as child:
        assert server.stalled.wait(60)
        child.kill()

    whole = {name: content for name, content in files_in(folder).items() if name in photos}
    assert NAMES[2] not in whole
    assert whole.items() <= photos.items()

    assert fetch(folder, base_url=server.url, manifest=manifest).complete
    assert photos.items() <= files_in(folder).items()


@pytest.mark.parametrize("address", ["ftp://example.org/", "example.org", "file:///tmp", ""])
def test_odd_addresses(folder: Path, manifest: Path, address: str) -> None:
    with pytest.raises(DataError, match="must start with http"):
        fetch(folder, base_url=address, manifest=manifest)


# --- a local copy -------------------------------------------------------------------------------


def test_a_local_copy_is_copied(
    tmp_path: Path, folder: Path, manifest: Path, photos: dict[str, bytes]
) -> None:
    source = copy_to(tmp_path / "source", photos)

    result = fetch(folder, source=source, manifest=manifest)

    assert files_in(folder) == photos == files_in(source)
    assert result.fetched == 24
    assert fetch(folder, source=source, manifest=manifest).already_there == 24


def test_a_local_copy_without_the_hidden_photos(
    tmp_path: Path, folder: Path, manifest: Path, photos: dict[str, bytes]
) -> None:
    known = {name: photos[name] for name in NAMES if not name.startswith("hidden")}
    source = copy_to(tmp_path / "source", known)

    result = fetch(folder, source=source, manifest=manifest)

    assert files_in(folder) == known
    assert len(result.missing) == 6
    assert not result.complete
    assert not (folder / "hidden").exists()
    assert fetch(folder, source=source, manifest=manifest, splits=["test"]).complete


def test_a_local_copy_is_checked_too(
    tmp_path: Path, folder: Path, manifest: Path, photos: dict[str, bytes]
) -> None:
    source = copy_to(tmp_path / "source", photos | {NAMES[1]: b"wrong"})

    result = fetch(folder, source=source, manifest=manifest)

    assert result.failed == {NAMES[1]: "its content does not match the checksum"}
    assert NAMES[1] not in files_in(folder)


def test_wrong_local_copies(
    tmp_path: Path, manifest: Path, photos: dict[str, bytes], folder: Path
) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no folder"):
        fetch(folder, source=tmp_path / "none", manifest=manifest)
    with pytest.raises(DataError, match=r"has none of the photos.*hidden, test, train"):
        fetch(folder, source=tmp_path / "empty", manifest=manifest)
    with pytest.raises(DataError, match="both source and destination"):
        fetch(tmp_path / "empty", source=tmp_path / "empty", manifest=manifest)


# --- the folder ---------------------------------------------------------------------------------


def test_a_folder_that_cannot_be_made(server: Server, tmp_path: Path, manifest: Path) -> None:
    (tmp_path / "file").write_text("not a folder")

    with pytest.raises(DataError, match=r"cannot write the photos to .*: Not a directory"):
        fetch(tmp_path / "file/dishes", base_url=server.url, manifest=manifest)


def test_a_folder_in_the_way_of_a_photo(server: Server, folder: Path, manifest: Path) -> None:
    (folder / NAMES[1]).mkdir(parents=True)

    with pytest.raises(DataError, match="should be a photo but is not a file"):
        fetch(folder, base_url=server.url, manifest=manifest)


def test_a_full_disk(server: Server, folder: Path, manifest: Path) -> None:
    # A limit on the size of a file makes writing fail as a full disk does, half-way through.
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(DataError) as caught:
            fetch(folder, base_url=server.url, manifest=manifest)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert str(caught.value) == f"cannot write the photos to {folder}: File too large"
    assert not files_in(folder)


# --- the manifest -------------------------------------------------------------------------------


def test_the_public_sets_manifest() -> None:
    entries = read_manifest()

    kinds = Counter("/".join(entry.path.split("/")[:2]) for entry in entries)
    assert kinds == {
        "train/clean": 231,
        "train/dirty": 227,
        "test/clean": 171,
        "test/dirty": 330,
        "hidden/clean": 110,
        "hidden/dirty": 109,
    }
    assert Counter(entry.split for entry in entries) == {"train": 458, "test": 501, "hidden": 219}
    assert all(entry.size > 1000 for entry in entries)


@pytest.mark.parametrize(
    "path",
    [
        "../evil.jpg",
        "train/../../evil.jpg",
        "train/clean/../../../evil.jpg",
        "/etc/evil.jpg",
        "//host/share/evil.jpg",
        "C:/evil/1.jpg",
        "train\\..\\..\\evil.jpg",
        "train//evil.jpg",
        "./train/evil.jpg",
        "train/./evil.jpg",
        "train/clean/",
        "evil.jpg",
        "..",
        "",
        "train/clean/evil\n.jpg",
        "train/clean/evil\0.jpg",
        "train/clean/evil.jpg?x",
    ],
)
def test_paths_that_lead_elsewhere_are_refused(tmp_path: Path, path: str) -> None:
    content = b"evil"
    source = tmp_path / "source/inner"
    source.mkdir(parents=True)
    (source.parent / "evil.jpg").write_bytes(content)
    row = (path, hashlib.sha256(content).hexdigest(), "4")
    bad = write_manifest(tmp_path / "bad.csv", [row])
    before = files_in(tmp_path)

    with pytest.raises(DataError):
        fetch(tmp_path / "in/side", source=source, manifest=bad)

    assert files_in(tmp_path) == before


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "its columns must be"),
        ("path,sha256\na/b,c\n", "its columns must be"),
        ("path,sha256,bytes\n", "lists no photos"),
        ("path,sha256,bytes\ntrain/a.jpg\n", "line 2: '' is not a SHA-256 checksum"),
        ("path,sha256,bytes\ntrain/a.jpg,123,4\n", "line 2: '123' is not a SHA-256 checksum"),
        (f"path,sha256,bytes\ntrain/a.jpg,{'a' * 64},many\n", "'many' is not a number of bytes"),
        (f"path,sha256,bytes\ntrain/a.jpg,{'a' * 64},-4\n", "'-4' is not a number of bytes"),
        (f"path,sha256,bytes\nt/a,{'a' * 64},1\nt/A,{'b' * 64},1\n", "more than once"),
    ],
)
def test_wrong_manifests(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "manifest.csv"
    path.write_text(text)

    with pytest.raises(DataError, match=message):
        read_manifest(path)


def test_unreadable_manifests(tmp_path: Path) -> None:
    (tmp_path / "binary.csv").write_bytes(b"path,sha256,bytes\n\xff\xfe\n")

    for path in (tmp_path / "none.csv", tmp_path, tmp_path / "binary.csv"):
        with pytest.raises(DataError, match="cannot be read"):
            read_manifest(path)
