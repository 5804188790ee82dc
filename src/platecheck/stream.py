"""Any number of photos through a model: opened and answered in batches, on threads, in order."""

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
"""The pixels of a photo, or why it cannot be opened."""

Found = TypeVar("Found")


def try_to_open(source: Source, size: int, **options: Any) -> Opened:
    """As :func:`~platecheck.photo.open_photo`, but its error is returned."""
    try:
        return open_photo(source, size, **options)
    except PhotoError as error:
        return error


def answer_opened(
    answer: Callable[[NDArray[np.uint8]], Iterable[Found]], photos: Iterable[Opened]
) -> list[Found | PhotoError]:
    """What `answer` finds for pixels [N, size, size, 3]; an error stays in its place."""
    photos = list(photos)
    good = [each for each in photos if not isinstance(each, PhotoError)]
    found = iter(answer(np.stack(good)) if good else ())
    return [each if isinstance(each, PhotoError) else next(found) for each in photos]


def stream(
    work: Callable[[list[Source]], Sequence[Found]],
    photos: Iterable[Source],
    batch_size: int,
    workers: int | None,
) -> Iterator[Found]:
    """What `work` finds for each photo, in order; the photos are read as needed.

    Each worker decodes a batch and then runs it, so while one decodes another infers, without a
    queue between the two.

    Args:
        work: of a batch; called on several threads.
        photos: any number. What it raises comes after what was found for those before.
        batch_size: photos of a batch, at least 1.
        workers: threads, at least 1; by default one a core.

    Raises:
        ValueError: `batch_size` or `workers` is below 1.
        TypeError: `photos` is a single photo.
    """
    if _is_one_photo(photos):  # whose characters or rows would each be taken for a photo
        raise TypeError(
            "photos must be a list, or anything else that gives one photo at a time; this is one"
        )
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
        except Exception as error:  # raised again after the answers for what came before
            failures.append(error)
        if batch:
            yield batch

    def results() -> Iterator[Found]:
        remaining = batches()
        under_way: deque[Future[Sequence[Found]]] = deque()
        with ThreadPoolExecutor(threads) as pool:
            try:
                while True:
                    while len(under_way) <= threads and (batch := next(remaining, None)):
                        under_way.append(pool.submit(work, batch))
                    if not under_way:
                        break
                    yield from under_way.popleft().result()
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
