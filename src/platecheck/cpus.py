"""How many CPUs this process may use, which decides how many threads and processes it starts."""

import math
import os
from pathlib import Path, PurePosixPath

from platecheck.errors import SettingsError

VARIABLE = "PLATECHECK_THREADS"


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
