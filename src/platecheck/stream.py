"""Run a model over any number of photos: decoded and predicted in batches on threads, in order."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from platecheck.cpus import cpu_count
from platecheck.errors import PhotoError
from platecheck.photo import Source, open_photo

Opened = NDArray[np.uint8] | PhotoError
"""The pixels of a photo, or the error of opening it."""

Result = TypeVar("Result")


def try_to_open(source: Source, size: int, **options: Any) -> Opened:
    """Open a photo as `platecheck.photo.open_photo` does, but return its error."""
    try:
        return open_photo(source, size, **options)
    except PhotoError as error:
        return error


def predict_opened(
    predict: Callable[[NDArray[np.uint8]], Iterable[Result]], photos: Iterable[Opened]
) -> list[Result | PhotoError]:
    """Call `predict` with the opened photos [N, size, size, 3]; errors keep their position."""
    photos = list(photos)
    good = [each for each in photos if not isinstance(each, PhotoError)]
    results = iter(predict(np.stack(good)) if good else ())
    return [each if isinstance(each, PhotoError) else next(results) for each in photos]


def stream(
    work: Callable[[list[Source]], Sequence[Result]],
    photos: Iterable[Source],
    batch_size: int,
    workers: int | None,
) -> Iterator[Result]:
    """Yield the result of `work` for each photo, in order, reading photos as needed.

    Each worker decodes a batch and then runs it: while one decodes, another infers, without a
    queue in between.

    Args:
        work: maps a batch to its results; called on several threads.
        photos: any number; an exception it raises follows the results of earlier photos.
        batch_size: photos per batch, at least 1.
        workers: threads, at least 1; one per core by default.

    Raises:
        ValueError: `batch_size` or `workers` is below 1.
        TypeError: `photos` is a single photo.
    """
    if _is_one_photo(photos):  # iterating would take its characters or rows for photos
        raise TypeError("photos must be a list or another iterable of photos, not a single photo")
    threads = workers if workers is not None else cpu_count()
    if batch_size < 1 or threads < 1:
        raise ValueError("batch_size and workers must be at least 1")
    failures: list[Exception] = []

    def batches() -> Iterator[list[Source]]:
        batch: list[Source] = []
        try:
            for photo in photos:
                batch.append(photo)
                if len(batch) == batch_size:
                    yield batch
                    batch = []
        except Exception as error:  # raised again after the results of earlier photos
            failures.append(error)
        if batch:
            yield batch

    def results() -> Iterator[Result]:
        remaining = batches()
        pending: deque[Future[Sequence[Result]]] = deque()
        with ThreadPoolExecutor(threads) as pool:
            try:
                while True:
                    while len(pending) <= threads and (batch := next(remaining, None)):
                        pending.append(pool.submit(work, batch))
                    if not pending:
                        break
                    yield from pending.popleft().result()
            finally:
                pool.shutdown(wait=False, cancel_futures=True)
        for failure in failures:
            raise failure

    return results()


def _is_one_photo(photos: object) -> bool:
    if isinstance(photos, np.ndarray):
        return photos.dtype.kind in "biuf" and photos.ndim != 4
    return hasattr(photos, "read") or isinstance(
        photos, str | os.PathLike | bytes | bytearray | memoryview | Image.Image
    )
