"""Ordered, memory-bounded map over batches of photos on a thread pool."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import numpy as np
from PIL import Image

from platecheck.cpus import cpu_count
from platecheck.photo import Source

Result = TypeVar("Result")


def stream(
    work: Callable[[list[Source]], Sequence[Result]],
    photos: Iterable[Source],
    batch_size: int,
    workers: int | None,
) -> Iterator[Result]:
    """Yield the result of `work` for each photo, in order, reading photos as needed.

    Each thread decodes and infers whole batches: while one decodes, another infers. An exception
    that `photos` raises follows the results for earlier photos.

    Raises:
        ValueError: `batch_size` or `workers` is below 1.
        TypeError: `photos` is a single photo.
    """
    if _is_one_photo(photos):  # iterating it would yield characters or pixel rows
        raise TypeError("photos must be a list or another iterable of photos, not a single photo")
    threads = workers if workers is not None else cpu_count()
    if batch_size < 1 or threads < 1:
        raise ValueError("batch_size and workers must be at least 1")

    def results() -> Iterator[Result]:
        remaining, exhausted = iter(photos), False
        failure: Exception | None = None
        pending: deque[Future[Sequence[Result]]] = deque()
        with ThreadPoolExecutor(threads) as pool:
            try:
                while pending or not exhausted:
                    while len(pending) <= threads and not exhausted:
                        batch: list[Source] = []
                        try:
                            while len(batch) < batch_size:
                                batch.append(next(remaining))
                        except StopIteration:
                            exhausted = True
                        except Exception as error:
                            exhausted, failure = True, error
                        if batch:
                            pending.append(pool.submit(work, batch))
                    if pending:
                        yield from pending.popleft().result()
            finally:
                pool.shutdown(wait=False, cancel_futures=True)
        if failure:
            raise failure

    return results()


def _is_one_photo(photos: object) -> bool:
    if isinstance(photos, np.ndarray):
        return photos.dtype.kind in "biuf" and photos.ndim != 4
    return hasattr(photos, "read") or isinstance(
        photos, str | os.PathLike | bytes | bytearray | memoryview | Image.Image
    )
