import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from platecheck.cpus import cpu_count
from platecheck.errors import SettingsError


@pytest.fixture(autouse=True)
def _sixteen_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PLATECHECK_THREADS", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 16)
    monkeypatch.setattr(os, "process_cpu_count", lambda: 16, raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(16)), raising=False)


def counted(folder: Path, groups: str, files: Mapping[str, str]) -> int:
    (folder / "proc").mkdir()
    (folder / "proc" / "cgroup").write_text(groups)
    for name, content in files.items():
        (folder / "cgroup" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "cgroup" / name).write_text(content)
    return cpu_count(folder / "proc", folder / "cgroup")


def quota(group: str, quota_us: str, period_us: str) -> dict[str, str]:
    return {f"{group}/cpu.cfs_quota_us": quota_us, f"{group}/cpu.cfs_period_us": period_us}


@pytest.mark.parametrize(
    ("groups", "files", "expected"),
    [
        ("0::/\n", {"cpu.max": "200000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "max 100000\n"}, 16),
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 2),
        ("0::/\n", {"cpu.max": "10000 100000\n"}, 1),
        ("0::/\n", {"cpu.max": "3200000 100000\n"}, 16),
        ("0::/\n", {}, 16),
        # The limit is a group's around it, or of this one, or the path is the host's.
        ("0::/a/b\n", {"a/cpu.max": "300000 100000", "a/b/cpu.max": "max 100000"}, 3),
        ("0::/a/b\n", {"a/cpu.max": "300000 100000", "a/b/cpu.max": "100000 100000"}, 1),
        ("0::/docker/1234\n", {"cpu.max": "200000 100000"}, 2),
        ("0::/../other\n", {"cpu.max": "200000 100000"}, 2),
        (
            "4:memory:/m\n3:cpu,cpuacct:/pod/c\n0::/\n",
            quota("cpu,cpuacct/pod/c", "250000\n", "100000\n"),
            3,
        ),
        ("3:cpuacct,cpu:/docker/12\n", quota("cpu", "50000", "50000"), 1),
        ("1:cpu:/\n", quota("cpu", "-1", "100000"), 16),
        ("1:cpuset:/\n", quota("cpu", "1", "1"), 16),
        ("1:cpu:/\n", quota("cpu", "9", "0"), 16),
    ],
)
def test_cpu_count_in_a_container_is_its_quota(
    tmp_path: Path, groups: str, files: dict[str, str], expected: int
) -> None:
    assert counted(tmp_path, groups, files) == expected


def test_cpu_count_without_groups_is_the_smallest_of_the_other_limits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cpu_count(tmp_path, tmp_path) == 16
    monkeypatch.setattr(os, "process_cpu_count", lambda: 5, raising=False)
    assert cpu_count(tmp_path, tmp_path) == 5
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 7, 9}, raising=False)
    assert cpu_count(tmp_path, tmp_path) == 3


def test_cpu_count_with_the_variable_is_its_value(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLATECHECK_THREADS", "40")
    assert counted(tmp_path, "0::/\n", {"cpu.max": "200000 100000\n"}) == 40
    for wrong in ("0", "-1", "two", "1.5"):
        monkeypatch.setenv("PLATECHECK_THREADS", wrong)
        with pytest.raises(SettingsError, match="PLATECHECK_THREADS"):
            cpu_count()


def test_torch_starts_no_more_threads_than_allowed() -> None:
    code = "import platecheck.training.plate_net, torch; print(torch.get_num_threads())"
    environment = {**os.environ, "PLATECHECK_THREADS": "1"}
    found = subprocess.check_output([sys.executable, "-c", code], env=environment, text=True)
    assert found == "1\n"
