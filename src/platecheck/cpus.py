"""How many CPUs this process may use, which decides how many threads and processes it starts."""

import math
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import TypeVar

from platecheck.errors import SettingsError

VARIABLE = "PLATECHECK_THREADS"

Item = TypeVar("Item")
Result = TypeVar("Result")


def cpu_count(proc: Path = Path("/proc/self"), cgroups: Path = Path("/sys/fs/cgroup")) -> int:
    """CPUs that this process may use: at least 1.

    ``PLATECHECK_THREADS`` where it is set; else what the affinity, Python's own limit
    (``-X cpu_count``, from 3.13) and the CPU quota of the container (cgroup v1 or v2, rounded up)
    leave.

    Args:
        proc: folder that tells of this process.
        cgroups: folder of control groups.

    Raises:
        SettingsError: ``PLATECHECK_THREADS`` is not a positive number.
    """
    if told := os.environ.get(VARIABLE):
        if not told.isdecimal() or int(told) < 1:
            raise SettingsError(f"{VARIABLE} is {told!r}; set a number of threads, 1 or more")
        return int(told)
    found = getattr(os, "process_cpu_count", os.cpu_count)() or 1
    if hasattr(os, "sched_getaffinity"):
        found = min(found, len(os.sched_getaffinity(0)))
    return max(1, min([found, *_quotas(proc, cgroups)]))


def in_threads(
    work: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    threads: int | None = None,
    on_done: Callable[[], None] | None = None,
) -> Iterator[Result]:
    """Results in order, by as many threads as there are CPUs; after an error none is begun.

    Args:
        work: what to do with an item.
        items: all of them are taken at once.
        threads: instead.
        on_done: called after each item.
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
    """CPU quotas of the process's control groups and of those around them, rounded up."""
    found = []
    for line in _read(proc / "cgroup").splitlines():
        _, controllers, path = line.split(":", 2)  # no controllers: cgroup v2
        if controllers and "cpu" not in controllers.split(","):
            continue
        # Inside a container the path may be the host's: what is not there is passed over.
        group = PurePosixPath(path.lstrip("/"))
        for mounted in (controllers, "cpu") if controllers else (".", "unified"):
            for folder in (cgroups / mounted / around for around in (group, *group.parents)):
                limit = _read(folder / "cpu.max").split()
                if controllers:
                    limit = [_read(folder / f"cpu.cfs_{name}_us") for name in ("quota", "period")]
                if len(limit) == 2 and all(n.isdecimal() and int(n) for n in limit):
                    found.append(math.ceil(int(limit[0]) / int(limit[1])))
    return found


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").strip()
    except OSError:  # not Linux, or no such group
        return ""
