"""Download the public photos of dishes and verify every file against the manifest."""

import contextlib
import csv
import os
import re
import ssl
from collections import Counter
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from urllib.parse import quote, urlsplit

from platecheck.data.folders import sha256_of
from platecheck.errors import DataError, MissingExtraError

try:
    import pooch
    import requests
except ModuleNotFoundError as error:
    raise MissingExtraError("Fetching the photos", "data") from error

BASE_URL = (
    "https://raw.githubusercontent.com/SerhiiDolhopolov/NN_PlatesClassification/"
    "63bcc9bf4f93e1f9ba41c0d7eaaf913fab070d83/data/"
)
"""Location of the public dataset: one commit of the reference project's repository."""

MANIFEST = Path(__file__).with_name("manifest.csv")
"""Path, SHA-256 and size of the 1178 photos of the public dataset."""

RETRIES = 2
"""Retries per file after a broken connection or a wrong checksum."""

MAX_CONNECTION_FAILURES = 8
"""Consecutive files that may fail to connect before giving up."""


@dataclass(frozen=True, slots=True)
class ManifestEntry:
    """One row of a manifest.

    Attributes:
        path: relative to the dataset folder, with ``/``: ``split/class/name``.
        sha256: hash of the file, 64 lower-case hexadecimal digits.
        size: in bytes.
    """

    path: str
    sha256: str
    size: int

    @property
    def split(self) -> str:
        """The first folder of the path."""
        return self.path.partition("/")[0]


@dataclass(frozen=True, slots=True)
class FetchProgress:
    """Progress of a download.

    Attributes:
        path: the photo processed last.
        done: photos processed, failures included.
        total: photos requested.
        bytes_done: size of the photos processed.
        bytes_total: size of the photos requested.
    """

    path: str
    done: int
    total: int
    bytes_done: int
    bytes_total: int


@dataclass(slots=True)
class FetchResult:
    """Result of a download.

    Attributes:
        folder: where the photos are.
        fetched: photos downloaded or copied now.
        already_there: photos that were there already, with the right checksum.
        missing: paths of photos that the server or the local copy does not have.
        failed: reasons by path of photos that could not be fetched.
    """

    folder: Path
    fetched: int = 0
    already_there: int = 0
    missing: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether every requested photo is there."""
        return not (self.missing or self.failed)

    def summary(self) -> str:
        parts = [f"{self.fetched} photos fetched, {self.already_there} already there"]
        if self.missing:
            splits = Counter(path.partition("/")[0] for path in self.missing)
            by_split = ", ".join(f"{split} {count}" for split, count in sorted(splits.items()))
            parts.append(f"{len(self.missing)} not available ({by_split})")
        if self.failed:
            path, reason = next(iter(self.failed.items()))
            parts.append(f"{len(self.failed)} failed (first {path}: {reason})")
        return "; ".join(parts)


def read_manifest(path: Path = MANIFEST) -> list[ManifestEntry]:
    """Read a manifest: a CSV file with the columns path, sha256 and bytes.

    Raises:
        DataError: it is missing or invalid, or a path in it leads outside the dataset folder.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = csv.DictReader(file)
            if rows.fieldnames != ["path", "sha256", "bytes"]:
                raise DataError(f"{path} is not a manifest: its columns must be path,sha256,bytes")
            entries = [_parse_row(row, f"{path}, line {rows.line_num}") for row in rows]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"the manifest {path} cannot be read: {error}") from error
    if not entries:
        raise DataError(f"the manifest {path} lists no photos")
    paths = Counter(entry.path.casefold() for entry in entries)
    if repeated := [path for path, count in paths.items() if count > 1]:
        raise DataError(f"the manifest {path} lists {repeated[0]} more than once")
    return entries


def _parse_row(row: dict[str, str], where: str) -> ManifestEntry:
    path, sha256, size = row["path"] or "", row["sha256"] or "", row["bytes"] or ""
    # A few safe characters only: nothing absolute, no "..", no drive, no second spelling.
    parts = PurePosixPath(path).parts
    safe = re.fullmatch(r"[\w .()/-]+", path) and "/".join(parts) == path
    if not safe or path.startswith("/") or len(parts) < 2 or {".", ".."} & set(parts):
        raise DataError(f"{where}: {path!r} is not a path split/class/name inside the folder")
    if not re.fullmatch("[0-9a-fA-F]{64}", sha256):
        raise DataError(f"{where}: {sha256!r} is not a SHA-256 checksum")
    if not re.fullmatch("[0-9]+", size):
        raise DataError(f"{where}: {size!r} is not a number of bytes")
    return ManifestEntry(path, sha256.lower(), int(size))


def fetch(
    folder: Path,
    *,
    base_url: str = BASE_URL,
    source: Path | None = None,
    splits: Collection[str] | None = None,
    workers: int = 8,
    on_progress: Callable[[FetchProgress], None] = lambda progress: None,
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
        workers: number of files to fetch in parallel.
        on_progress: called in the calling thread after every photo.
        manifest: CSV file that lists the photos; the public dataset's by default.

    Raises:
        DataError: no connection to the server, no such source or split, or the folder cannot be
            written (no permission, no space left).
        MissingExtraError: pooch or requests is not installed.
    """
    entries = read_manifest(manifest or MANIFEST)
    known = sorted({entry.split for entry in entries})
    if unknown := set(splits or ()) - set(known):
        raise DataError(f"there is no split '{min(unknown)}'; the set has: {', '.join(known)}")
    entries = [entry for entry in entries if not splits or entry.split in splits]
    registry = _registry(entries, folder, base_url, source)
    result = FetchResult(folder)
    progress = FetchProgress("", 0, len(entries), 0, sum(entry.size for entry in entries))

    def advance(entry: ManifestEntry) -> None:
        nonlocal progress
        done, size = progress.done + 1, progress.bytes_done + entry.size
        progress = replace(progress, path=entry.path, done=done, bytes_done=size)
        on_progress(progress)

    todo = []
    try:
        for entry in entries:
            if _is_there(folder / entry.path, entry.sha256):
                result.already_there += 1
                advance(entry)
            else:
                todo.append(entry)
        _fetch(todo, registry, _copy if source else _download, workers, result, advance)
    except OSError as error:  # concerns the destination; network and source errors are caught below
        reason = error.strerror or error
        raise DataError(f"cannot write the photos to {folder}: {reason}") from error
    if source and len(result.missing) == len(entries):
        raise DataError(
            f"{source} has none of the photos; give the folder that contains"
            f" {', '.join(sorted({entry.split for entry in entries}))}"
        )
    return result


def _registry(
    entries: list[ManifestEntry], folder: Path, base_url: str, source: Path | None
) -> pooch.Pooch:
    if source:
        if not source.is_dir():
            raise DataError(f"there is no folder {source} to take the photos from")
        if source.resolve() == folder.resolve():
            raise DataError(f"{source} is both source and destination; choose another destination")
        urls = {entry.path: str(source / entry.path) for entry in entries}
    else:
        if urlsplit(base_url).scheme not in ("http", "https"):
            raise DataError(f"the URL must start with http:// or https://, not {base_url!r}")
        _check_environment(base_url)
        urls = {entry.path: f"{base_url.rstrip('/')}/{quote(entry.path)}" for entry in entries}
    pooch.get_logger().setLevel("WARNING")  # its default logs every file
    return pooch.create(
        path=folder,
        base_url=base_url,
        registry={entry.path: f"sha256:{entry.sha256}" for entry in entries},
        urls=urls,
        retry_if_failed=0 if source else RETRIES,
    )


def _check_environment(url: str) -> None:
    """Check certificates and proxy once, so that a wrong setting does not fail for every photo.

    Raises:
        DataError: the certificates or the proxy cannot be used.
    """
    settings = requests.Session().merge_environment_settings(url, {}, None, None, None)
    bundle, proxy = settings["verify"], requests.utils.select_proxy(url, settings["proxies"])
    if isinstance(bundle, str) and urlsplit(url).scheme == "https":
        names = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
        name = next(name for name in names if os.environ.get(name) == bundle)
        try:
            if not Path(bundle).is_dir():
                ssl.create_default_context(cafile=bundle)
        except OSError as error:
            raise DataError(
                f"{name} is set to {bundle}, from which no certificates can be read"
                f" ({error.strerror or error}); correct or unset it"
            ) from error
    if proxy:
        try:
            proxy = proxy if "://" in proxy else f"http://{proxy}"
            requests.adapters.HTTPAdapter().proxy_manager_for(proxy)
        except (ValueError, requests.RequestException) as error:
            raise DataError(
                f"the proxy for {urlsplit(url).scheme}:// URLs cannot be used; correct or unset"
                " HTTPS_PROXY, HTTP_PROXY and ALL_PROXY"
            ) from error


def _is_there(path: Path, sha256: str) -> bool:
    if not path.exists():
        return False
    if not path.is_file():
        raise DataError(f"{path} should be a photo but is not a file; move it away")
    valid = sha256_of(path) == sha256
    if not valid:
        path.unlink()
    return valid


class _NotAvailableError(Exception):
    """The source does not have this photo or, if a reason is given, cannot read it."""


def _download(url: str, file: str, registry: pooch.Pooch) -> None:
    download = pooch.HTTPDownloader(timeout=(10, 60), chunk_size=2**16)  # seconds, bytes
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
        raise _NotAvailableError(error.strerror) from error
    Path(file).write_bytes(content)


_NO_CONNECTION = (
    requests.ConnectionError,
    requests.Timeout,
    requests.exceptions.ChunkedEncodingError,
)


def _fetch(
    entries: list[ManifestEntry],
    registry: pooch.Pooch,
    downloader: Callable[[str, str, pooch.Pooch], None],
    workers: int,
    result: FetchResult,
    advance: Callable[[ManifestEntry], None],
) -> None:
    """Fetch files on threads; give up if there is no connection."""

    def fetch_one(entry: ManifestEntry) -> None:
        registry.fetch(entry.path, downloader=downloader)
        (result.folder / entry.path).chmod(0o644)  # pooch creates private files

    failures = 0  # consecutive
    pool = ThreadPoolExecutor(workers)
    try:
        for entry in entries:
            (result.folder / entry.path).parent.mkdir(parents=True, exist_ok=True)
        futures = {pool.submit(fetch_one, entry): entry for entry in entries}
        for future in as_completed(futures):
            entry = futures[future]
            error = future.exception()
            failures = failures + 1 if isinstance(error, _NO_CONNECTION) else 0
            if error is None:
                result.fetched += 1
            elif isinstance(error, _NotAvailableError) and not error.args:
                result.missing.append(entry.path)
            else:
                result.failed[entry.path] = _reason(error)
            advance(entry)
            if failures and failures == min(MAX_CONNECTION_FAILURES, len(entries)):
                raise DataError(_no_connection(error, registry, entry.path, result)) from error
    finally:
        pool.shutdown(cancel_futures=True)
        _remove_empty_folders(entries, result.folder)
    result.missing.sort()
    result.failed = dict(sorted(result.failed.items()))


def _remove_empty_folders(entries: list[ManifestEntry], folder: Path) -> None:
    parents = {parent for entry in entries for parent in PurePosixPath(entry.path).parents}
    for parent in sorted(parents - {PurePosixPath()}, reverse=True):  # deepest first
        with contextlib.suppress(OSError):  # not empty
            (folder / parent).rmdir()


def _reason(error: BaseException) -> str:
    """Return a readable reason for a failed photo; re-raise errors that concern all of them."""
    if isinstance(error, _NotAvailableError):
        return f"cannot be read ({error})"
    if isinstance(error, _NO_CONNECTION):
        return "the connection broke off"
    if isinstance(error, requests.HTTPError):
        return f"the server answered {error.response.status_code} {error.response.reason}"
    if isinstance(error, requests.RequestException):
        return " ".join(str(error).split())
    if isinstance(error, ValueError):  # raised by pooch
        return "its content does not match the checksum"
    raise error


def _no_connection(
    error: BaseException | None, registry: pooch.Pooch, path: str, result: FetchResult
) -> str:
    done = result.fetched + result.already_there
    resume = f"; {done} photos are there, the next run resumes from them" if done else ""
    host = urlsplit(registry.get_url(path)).netloc
    if isinstance(error, requests.exceptions.ProxyError):
        why = "the proxy refused it; check HTTPS_PROXY, HTTP_PROXY and ALL_PROXY"
    elif isinstance(error, requests.exceptions.SSLError):
        why = (
            "its certificate is not trusted; if your proxy uses its own, set REQUESTS_CA_BUNDLE to"
            " the proxy's CA certificate"
        )
    else:
        why = "check the network"
    return (
        f"no connection to {host}: {why}, or copy the photos from a local folder with"
        f" --from DIR{resume}"
    )
