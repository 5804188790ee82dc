"""Download the public photos of dishes and verify every file against the manifest."""

import contextlib
import csv
import re
from collections import Counter
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from urllib.parse import quote, urlsplit

from platecheck.data.folders import sha256_of
from platecheck.errors import DataError, MissingExtraError, PhotoError

try:
    import pooch
    import requests
except ModuleNotFoundError as error:
    raise MissingExtraError("Fetching the photos", "data") from error

# One commit of the reference project's repository.
BASE_URL = (
    "https://raw.githubusercontent.com/SerhiiDolhopolov/NN_PlatesClassification/"
    "63bcc9bf4f93e1f9ba41c0d7eaaf913fab070d83/data/"
)
# Path, SHA-256 and size of the 1178 photos of the public dataset.
MANIFEST = Path(__file__).with_name("manifest.csv")
TIMEOUT = (10, 60)  # seconds to connect and to read
RETRIES = 2  # per file, after a broken connection or a wrong checksum
MAX_CONNECTION_FAILURES = 8  # consecutive files that may fail to connect before giving up


@dataclass(slots=True)
class FetchResult:
    """Result of a download."""

    folder: Path
    fetched: int = 0  # photos downloaded or copied now
    already_there: int = 0  # photos that were there already, with the right checksum
    missing: list[str] = field(default_factory=list)  # paths that the source does not have
    failed: dict[str, str] = field(default_factory=dict)  # reasons by path

    @property
    def complete(self) -> bool:
        """Whether every requested photo is there."""
        return not (self.missing or self.failed)

    def summary(self) -> str:
        parts = [f"{self.fetched} photos fetched, {self.already_there} already there"]
        if self.missing:
            splits = Counter(_split_of(path) for path in self.missing)
            by_split = ", ".join(f"{split} {count}" for split, count in sorted(splits.items()))
            parts.append(f"{len(self.missing)} not available ({by_split})")
        if self.failed:
            path, reason = next(iter(self.failed.items()))
            parts.append(f"{len(self.failed)} failed (first {path}: {reason})")
        return "; ".join(parts)


def read_manifest(path: Path = MANIFEST) -> dict[str, str]:
    """Return the checksums by path (``split/class/name``) of a CSV file with path and sha256.

    Raises:
        DataError: it is missing or invalid, or a path in it leads outside the dataset folder.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"the manifest {path} cannot be read: {error}") from error
    if not rows:
        raise DataError(f"the manifest {path} lists no photos")
    checksums: dict[str, str] = {}
    for line, row in enumerate(rows, 2):
        name, sha256 = row.get("path") or "", row.get("sha256") or ""
        # A few safe characters only: nothing absolute, no "..", no drive, no second spelling.
        parts = PurePosixPath(name).parts
        safe = re.fullmatch(r"\w[\w .()/-]+", name) and "/".join(parts) == name
        if not safe or len(parts) < 2 or {".", ".."} & set(parts):
            raise DataError(f"{path}, line {line}: {name!r} is not a path split/class/name")
        if not re.fullmatch("[0-9a-fA-F]{64}", sha256):
            raise DataError(f"{path}, line {line}: {sha256!r} is not a SHA-256 checksum")
        checksums[name] = sha256.lower()
    if len({name.casefold() for name in checksums}) < len(rows):
        raise DataError(f"the manifest {path} lists a photo more than once")
    return checksums


def fetch(
    folder: Path,
    *,
    base_url: str = BASE_URL,
    source: Path | None = None,
    splits: Collection[str] | None = None,
    workers: int = 8,
    on_start: Callable[[int], None] = lambda photos: None,
    on_photo: Callable[[], None] = lambda: None,
    manifest: Path | None = None,
) -> FetchResult:
    """Download the public photos, or copy them from a local copy of the dataset.

    Files with the right checksum are skipped and others are fetched again, so an interrupted
    download can simply be rerun. A file gets its name only after its checksum has been verified.

    Args:
        folder: destination, filled with ``split/class/name``; created if missing.
        base_url: ``http://`` or ``https://`` URL of the folder that contains the splits.
        source: local folder that contains the splits, to copy from instead.
        splits: names of the splits to fetch; all by default.
        on_start: called with the number of photos to fetch.
        on_photo: called after each of them, in the calling thread.
        manifest: CSV file that lists the photos; the public dataset's by default.

    Raises:
        DataError: no connection to the server, no such source or split, or the folder cannot be
            written (no permission, no space left).
    """
    checksums = read_manifest(manifest or MANIFEST)
    known = sorted(set(map(_split_of, checksums)))
    if unknown := set(splits or ()) - set(known):
        raise DataError(f"there is no split '{min(unknown)}'; the set has: {', '.join(known)}")
    wanted = [path for path in checksums if not splits or _split_of(path) in splits]
    _check_origin(folder, base_url, source)
    base = str(source) if source else base_url.rstrip("/")
    pooch.get_logger().setLevel("WARNING")  # its default logs every file
    registry = pooch.create(
        path=folder,
        base_url=base,
        registry={path: f"sha256:{checksums[path]}" for path in wanted},
        urls={path: f"{base}/{path if source else quote(path)}" for path in wanted},
        retry_if_failed=0 if source else RETRIES,
    )
    try:
        todo = [path for path in wanted if not _is_there(folder / path, checksums[path])]
        result = FetchResult(folder, already_there=len(wanted) - len(todo))
        if todo and not source:
            _check_connection(base_url)
        on_start(len(todo))
        _fetch(todo, registry, _copy if source else _download, workers, result, on_photo)
    except OSError as error:  # concerns the destination; network and source errors are caught below
        reason = error.strerror or error
        raise DataError(f"cannot write the photos to {folder}: {reason}") from error
    if source and len(result.missing) == len(wanted):
        raise DataError(
            f"{source} has none of the photos; give the folder that contains"
            f" {', '.join(sorted(set(map(_split_of, wanted))))}"
        )
    return result


def _check_origin(folder: Path, base_url: str, source: Path | None) -> None:
    if source and not source.is_dir():
        raise DataError(f"the source folder {source} does not exist")
    if source and source.resolve() == folder.resolve():
        raise DataError(f"{source} is both source and destination; choose another destination")
    if not source and urlsplit(base_url).scheme not in ("http", "https"):
        raise DataError(f"the URL must start with http:// or https://, not {base_url!r}")


def _split_of(path: str) -> str:
    return path.partition("/")[0]


def _is_there(path: Path, sha256: str) -> bool:
    if not path.exists():
        return False
    if not path.is_file():
        raise DataError(f"{path} exists but is not a regular file; remove it")
    valid = sha256_of(path) == sha256
    if not valid:
        path.unlink()
    return valid


def _check_connection(url: str) -> None:
    """Connect once, so that a wrong setting is not reported for every photo."""
    try:
        requests.head(url, timeout=TIMEOUT)
    except (OSError, ValueError) as error:  # also of certificate files and malformed proxies
        raise DataError(_no_connection(error, url)) from error


def _no_connection(error: BaseException, url: str) -> str:
    if isinstance(error, requests.exceptions.ProxyError | ValueError):
        why = "the proxy cannot be used; check HTTPS_PROXY, HTTP_PROXY and ALL_PROXY"
    elif isinstance(error, requests.exceptions.SSLError) or type(error) is OSError:
        why = (
            "its certificate cannot be verified; set REQUESTS_CA_BUNDLE (or CURL_CA_BUNDLE) to a"
            " file of CA certificates, such as your proxy's, or unset it"
        )
    else:
        why = "check the network"
    return (
        f"no connection to {urlsplit(url).netloc}: {why}, or copy the photos from a local folder"
        " with --from DIR"
    )


class _NotAvailableError(Exception):
    """The source does not have this photo."""


def _download(url: str, file: str, registry: pooch.Pooch) -> None:
    download = pooch.HTTPDownloader(timeout=TIMEOUT, chunk_size=2**16)
    try:
        download(url, file, registry)
    except requests.HTTPError as error:
        if error.response.status_code in (404, 410):
            raise _NotAvailableError from error  # which pooch does not retry
        raise


def _copy(path: str, file: str, _: pooch.Pooch) -> None:
    if not Path(path).is_file():
        raise _NotAvailableError
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise PhotoError(path, f"reading failed ({error.strerror})") from error
    Path(file).write_bytes(content)


_CONNECTION_ERRORS = (
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,
)


def _fetch(
    paths: list[str],
    registry: pooch.Pooch,
    downloader: Callable[[str, str, pooch.Pooch], None],
    workers: int,
    result: FetchResult,
    on_photo: Callable[[], None],
) -> None:
    """Fetch files on threads; give up if there is no connection."""

    def fetch_one(path: str) -> None:
        registry.fetch(path, downloader=downloader)
        (result.folder / path).chmod(0o644)  # pooch creates private files

    failures = 0  # consecutive
    pool = ThreadPoolExecutor(workers)
    try:
        for path in paths:
            (result.folder / path).parent.mkdir(parents=True, exist_ok=True)
        futures = {pool.submit(fetch_one, path): path for path in paths}
        for future in as_completed(futures):
            path, error = futures[future], future.exception()
            failures = failures + 1 if isinstance(error, _CONNECTION_ERRORS) else 0
            if error is None:
                result.fetched += 1
            elif isinstance(error, _NotAvailableError):
                result.missing.append(path)
            else:
                result.failed[path] = _reason(error)
            on_photo()
            if error and failures == min(MAX_CONNECTION_FAILURES, len(paths)):
                done = result.fetched + result.already_there
                resume = f"; {done} photos are already downloaded; rerun to resume" * bool(done)
                raise DataError(_no_connection(error, registry.get_url(path)) + resume) from error
    finally:
        pool.shutdown(cancel_futures=True)
        parents = {parent for path in paths for parent in PurePosixPath(path).parents}
        for parent in sorted(parents - {PurePosixPath()}, reverse=True):  # deepest first
            with contextlib.suppress(OSError):  # not empty
                (result.folder / parent).rmdir()
    result.missing.sort()
    result.failed = dict(sorted(result.failed.items()))


def _reason(error: BaseException) -> str:
    """Return a readable reason for a failed photo; re-raise errors that concern all of them."""
    if isinstance(error, PhotoError):
        return error.reason
    if isinstance(error, _CONNECTION_ERRORS):
        return "the connection was lost"
    if isinstance(error, requests.HTTPError):
        return f"the server answered {error.response.status_code} {error.response.reason}"
    if isinstance(error, requests.RequestException):
        return " ".join(str(error).split())
    if isinstance(error, ValueError):  # raised by pooch
        return "its content does not match the checksum"
    raise error
