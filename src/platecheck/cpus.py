"""CPU limits of this process, and an ordered thread-pool map."""

import math
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import TypeVar

from platecheck.errors import SettingsError

THREADS_VARIABLE = "PLATECHECK_THREADS"

Item = TypeVar("Item")
Result = TypeVar("Result")


def cpu_count(proc: Path = Path("/proc/self"), cgroups: Path = Path("/sys/fs/cgroup")) -> int:
    """Return the number of CPUs that this process may use, at least 1.

    ``PLATECHECK_THREADS`` takes precedence. Otherwise the smallest of the CPU affinity, Python's
    own limit (``-X cpu_count``, from 3.13) and the container's quota (cgroup v1 or v2, rounded up).

    Raises:
        SettingsError: ``PLATECHECK_THREADS`` is not a positive integer.
    """
    if value := os.environ.get(THREADS_VARIABLE):
        if not value.isdecimal() or int(value) < 1:
            raise SettingsError(
                f"{THREADS_VARIABLE} is {value!r}; set it to a number of threads, 1 or more"
            )
        return int(value)
    count = getattr(os, "process_cpu_count", os.cpu_count)() or 1
    if hasattr(os, "sched_getaffinity"):
        count = min(count, len(os.sched_getaffinity(0)))
    return max(1, min([count, *_quotas(proc, cgroups)]))


def in_threads(
    work: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    threads: int | None = None,
    on_done: Callable[[], None] | None = None,
) -> Iterator[Result]:
    """Map `work` over items on threads, in order; after an error, no further item is started.

    `items` is read completely first. By default there is one thread per CPU.
    """
    with ThreadPoolExecutor(threads or cpu_count()) as pool:
        try:
            for result in pool.map(work, items):
                yield result
                if on_done:
                    on_done()
        finally:
            pool.shutdown(cancel_futures=True)


def _quotas(proc: Path, cgroups: Path) -> list[int]:
    """Return the CPU quotas of the process's control groups and their parents, rounded up."""
    quotas = []
    for line in _read(proc / "cgroup").splitlines():
        _, controllers, path = line.split(":", 2)  # no controllers: cgroup v2
        if controllers and "cpu" not in controllers.split(","):
            continue
        # Inside a container the path may be the host's; folders that do not exist are skipped.
        group = PurePosixPath(path.lstrip("/"))
        for mount in (controllers, "cpu") if controllers else (".", "unified"):
            for folder in (cgroups / mount / level for level in (group, *group.parents)):
                limit = _read(folder / "cpu.max").split()
                if controllers:
                    limit = [_read(folder / f"cpu.cfs_{name}_us") for name in ("quota", "period")]
                if len(limit) == 2 and all(n.isdecimal() and int(n) for n in limit):
                    quotas.append(math.ceil(int(limit[0]) / int(limit[1])))
    return quotas


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").strip()
    except OSError:  # not Linux, or no such group
        return ""
