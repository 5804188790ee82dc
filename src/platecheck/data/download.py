"""Bring the public photos of dishes here, every file checked against the manifest."""

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
"""Where the public set is: one commit of the reference project's repository."""

MANIFEST = Path(__file__).with_name("manifest.csv")
"""Path, SHA-256 and size of the 1178 photos of the public set."""

RETRIES = 2
"""How often a download is tried again after a broken connection or a wrong checksum."""

PATIENCE = 8
"""How many photos in a row may fail for want of a connection before giving up."""


@dataclass(frozen=True, slots=True)
class ManifestEntry:
    """One photo of a set.

    Attributes:
        path: below the set's folder, with ``/``: ``split/class/name``.
        sha256: of the file's bytes, 64 lower-case hexadecimal digits.
        size: in bytes.
    """

    path: str
    sha256: str
    size: int

    @property
    def split(self) -> str:
        """First folder of the path."""
        return self.path.partition("/")[0]


@dataclass(frozen=True, slots=True)
class FetchProgress:
    """How far a fetch has come.

    Attributes:
        path: the photo dealt with last.
        done: photos dealt with, failures included.
        total: photos wanted.
        bytes_done: size of the photos dealt with.
        bytes_total: size of the photos wanted.
    """

    path: str
    done: int
    total: int
    bytes_done: int
    bytes_total: int


@dataclass(slots=True)
class FetchResult:
    """What a fetch has brought.

    Attributes:
        folder: where the photos are.
        fetched: photos downloaded or copied now.
        already_there: photos that were there and right.
        missing: paths of photos that the server or the local copy does not have.
        failed: paths of photos that could not be brought, each with the reason.
    """

    folder: Path
    fetched: int = 0
    already_there: int = 0
    missing: list[str] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether every photo wanted is there."""
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
        DataError: it is missing or wrong, or a path in it leads out of the set's folder.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = csv.DictReader(file)
            if rows.fieldnames != ["path", "sha256", "bytes"]:
                raise DataError(f"{path} is not a manifest: its columns must be path,sha256,bytes")
            entries = [_entry(row, f"{path}, line {rows.line_num}") for row in rows]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"the manifest {path} cannot be read: {error}") from error
    if not entries:
        raise DataError(f"the manifest {path} lists no photos")
    paths = Counter(entry.path.casefold() for entry in entries)
    if repeated := [path for path, count in paths.items() if count > 1]:
        raise DataError(f"the manifest {path} lists {repeated[0]} more than once")
    return entries


def _entry(row: dict[str, str], where: str) -> ManifestEntry:
    path, sha256, size = row["path"] or "", row["sha256"] or "", row["bytes"] or ""
    # Letters, digits and a few signs: nothing absolute, no "..", no drive, no second spelling.
    parts = PurePosixPath(path).parts
    plain = re.fullmatch(r"[\w .()/-]+", path) and "/".join(parts) == path
    if not plain or path.startswith("/") or len(parts) < 2 or {".", ".."} & set(parts):
        raise DataError(f"{where}: {path!r} is not a path split/class/name inside of the folder")
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
    """Download the public photos, or copy them from a local copy of the set.

    Files that are there and right are left alone, wrong ones are fetched anew, so an interrupted
    fetch can simply be run again. A file gets its name only once its checksum is right.

    Args:
        folder: gets the photos, as ``split/class/name``; created when it does not exist.
        base_url: ``http://`` or ``https://`` address of the folder that holds the splits.
        source: a folder that holds the splits; nothing is downloaded then.
        splits: names of the splits wanted; all when None or empty.
        workers: how many files to fetch at a time.
        on_progress: called in the calling thread after every photo.
        manifest: CSV file that lists the photos; the public set's when None.

    Returns:
        The counts, and the photos that could not be brought.

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
    now = FetchProgress("", 0, len(entries), 0, sum(entry.size for entry in entries))

    def advance(entry: ManifestEntry) -> None:
        nonlocal now
        done, size = now.done + 1, now.bytes_done + entry.size
        now = replace(now, path=entry.path, done=done, bytes_done=size)
        on_progress(now)

    todo = []
    try:
        for entry in entries:
            if _is_there(folder / entry.path, entry.sha256):
                result.already_there += 1
                advance(entry)
            else:
                todo.append(entry)
        _fetch(todo, registry, _copy if source else _download, workers, result, advance)
    except OSError as error:  # the folder's: those of the network and of the source are caught
        reason = error.strerror or error
        raise DataError(f"cannot write the photos to {folder}: {reason}") from error
    if source and len(result.missing) == len(entries):
        raise DataError(
            f"{source} has none of the photos: it must be the folder that holds"
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
            raise DataError(f"{source} is both where the photos come from and where they go to")
        urls = {entry.path: str(source / entry.path) for entry in entries}
    else:
        if urlsplit(base_url).scheme not in ("http", "https"):
            raise DataError(f"the address must start with http:// or https://, not {base_url!r}")
        _check_environment(base_url)
        urls = {entry.path: f"{base_url.rstrip('/')}/{quote(entry.path)}" for entry in entries}
    pooch.get_logger().setLevel("WARNING")  # it would tell of every file
    return pooch.create(
        path=folder,
        base_url=base_url,
        registry={entry.path: f"sha256:{entry.sha256}" for entry in entries},
        urls=urls,
        retry_if_failed=0 if source else RETRIES,
    )


def _check_environment(url: str) -> None:
    """Check what the environment tells requests: else its mistakes pass for those of every photo.

    Raises:
        DataError: the certificates or the proxy cannot be used.
    """
    told = requests.Session().merge_environment_settings(url, {}, None, None, None)
    bundle, proxy = told["verify"], requests.utils.select_proxy(url, told["proxies"])
    if isinstance(bundle, str) and urlsplit(url).scheme == "https":
        names = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
        name = next(name for name in names if os.environ.get(name) == bundle)
        try:
            if not Path(bundle).is_dir():
                ssl.create_default_context(cafile=bundle)
        except OSError as error:
            raise DataError(
                f"{name} is set to {bundle}, from which no certificates can be read"
                f" ({error.strerror or error}): correct or unset it"
            ) from error
    if proxy:
        try:
            proxy = proxy if "://" in proxy else f"http://{proxy}"
            requests.adapters.HTTPAdapter().proxy_manager_for(proxy)
        except (ValueError, requests.RequestException) as error:
            raise DataError(
                f"the proxy for {urlsplit(url).scheme}:// addresses cannot be used: correct or"
                " unset HTTPS_PROXY, HTTP_PROXY and ALL_PROXY"
            ) from error


def _is_there(path: Path, sha256: str) -> bool:
    if not path.exists():
        return False
    if not path.is_file():
        raise DataError(f"{path} is in the way: it should be a photo")
    right = sha256_of(path) == sha256
    if not right:
        path.unlink()
    return right


class _NotAvailableError(Exception):
    """The server or the local copy does not have this photo, or, with a reason, cannot read it."""


def _download(url: str, file: str, registry: pooch.Pooch) -> None:
    download = pooch.HTTPDownloader(timeout=(10, 60), chunk_size=2**16)  # seconds, bytes
    try:
        download(url, file, registry)
    except requests.HTTPError as error:
        if error.response.status_code in (404, 410):
            raise _NotAvailableError from error  # not a kind of error that pooch tries again
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
    """Fetch files in threads; give up when there is no connection."""

    def fetch_one(entry: ManifestEntry) -> None:
        registry.fetch(entry.path, downloader=downloader)
        (result.folder / entry.path).chmod(0o644)  # pooch's temporary files are the owner's only

    unreachable = 0  # in a row
    pool = ThreadPoolExecutor(workers)
    try:
        for entry in entries:
            (result.folder / entry.path).parent.mkdir(parents=True, exist_ok=True)
        futures = {pool.submit(fetch_one, entry): entry for entry in entries}
        for future in as_completed(futures):
            entry = futures[future]
            error = future.exception()
            unreachable = unreachable + 1 if isinstance(error, _NO_CONNECTION) else 0
            if error is None:
                result.fetched += 1
            elif isinstance(error, _NotAvailableError) and not error.args:
                result.missing.append(entry.path)
            else:
                result.failed[entry.path] = _reason(error)
            advance(entry)
            if unreachable and unreachable == min(PATIENCE, len(entries)):
                raise DataError(_no_connection(error, registry, entry.path, result)) from error
    finally:
        pool.shutdown(cancel_futures=True)
        _remove_empty_folders(entries, result.folder)
    result.missing.sort()
    result.failed = dict(sorted(result.failed.items()))


def _remove_empty_folders(entries: list[ManifestEntry], folder: Path) -> None:
    below = {parent for entry in entries for parent in PurePosixPath(entry.path).parents}
    for parent in sorted(below - {PurePosixPath()}, reverse=True):  # the deepest first
        with contextlib.suppress(OSError):  # not empty
            (folder / parent).rmdir()


def _reason(error: BaseException) -> str:
    """Say in plain words why a photo could not be brought; raise what is no fault of its own."""
    if isinstance(error, _NotAvailableError):
        return f"cannot be read ({error})"
    if isinstance(error, _NO_CONNECTION):
        return "the connection broke off"
    if isinstance(error, requests.HTTPError):
        return f"the server answered {error.response.status_code} {error.response.reason}"
    if isinstance(error, requests.RequestException):
        return " ".join(str(error).split())
    if isinstance(error, ValueError):  # pooch's
        return "its content does not match the checksum"
    raise error


def _no_connection(
    error: BaseException | None, registry: pooch.Pooch, path: str, result: FetchResult
) -> str:
    there = result.fetched + result.already_there
    goes_on = f"; {there} photos are there, the next run goes on from them" if there else ""
    host = urlsplit(registry.get_url(path)).netloc
    if isinstance(error, requests.exceptions.ProxyError):
        why = "the proxy does not let through: check HTTPS_PROXY, HTTP_PROXY and ALL_PROXY"
    elif isinstance(error, requests.exceptions.SSLError):
        why = (
            "its certificate is not trusted: where a proxy signs with one of its own, set"
            " REQUESTS_CA_BUNDLE to the file of its authority"
        )
    else:
        why = "check the network"
    return (
        f"no connection to {host}: {why}, or take the photos from a local copy with"
        f" --from DIR{goes_on}"
    )
