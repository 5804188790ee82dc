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
            {
                "cpu,cpuacct/pod/c/cpu.cfs_quota_us": "250000\n",
                "cpu,cpuacct/pod/c/cpu.cfs_period_us": "100000\n",
            },
            3,
        ),
        (
            "3:cpuacct,cpu:/docker/12\n",
            {"cpu/cpu.cfs_quota_us": "50000", "cpu/cpu.cfs_period_us": "50000"},
            1,
        ),
        ("1:cpu:/\n", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 16),
        ("1:cpuset:/\n", {"cpu/cpu.cfs_quota_us": "1", "cpu/cpu.cfs_period_us": "1"}, 16),
        ("1:cpu:/\n", {"cpu/cpu.cfs_quota_us": "9", "cpu/cpu.cfs_period_us": "0"}, 16),
    ],
)
def test_a_containers_quota_counts(
    tmp_path: Path, groups: str, files: dict[str, str], expected: int
) -> None:
    assert counted(tmp_path, groups, files) == expected


def test_where_there_are_no_groups_the_machine_counts(tmp_path: Path) -> None:
    assert cpu_count(tmp_path, tmp_path) == 16


def test_affinity_and_pythons_own_limit_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "process_cpu_count", lambda: 5, raising=False)
    assert cpu_count(tmp_path, tmp_path) == 5
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 7, 9}, raising=False)
    assert cpu_count(tmp_path, tmp_path) == 3


def test_the_variable_goes_before_everything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PLATECHECK_THREADS", "40")
    assert counted(tmp_path, "0::/\n", {"cpu.max": "200000 100000\n"}) == 40


@pytest.mark.parametrize("wrong", ["0", "-1", "two", "1.5"])
def test_a_variable_that_is_no_number_is_told(monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    monkeypatch.setenv("PLATECHECK_THREADS", wrong)
    with pytest.raises(SettingsError, match="PLATECHECK_THREADS"):
        cpu_count()


def test_nothing_else_asks_how_many_cpus_the_machine_has() -> None:
    package = Path(__file__).parents[2] / "src" / "platecheck"
    asking = {
        path.name
        for path in package.rglob("*.py")
        if any(word in path.read_text(encoding="utf-8") for word in ("os.cpu_count", "joblib"))
    }
    assert asking == {"cpus.py"}


def test_torch_starts_no_more_threads_than_allowed() -> None:
    code = "import platecheck.training.networks, torch; print(torch.get_num_threads())"
    environment = {**os.environ, "PLATECHECK_THREADS": "1"}
    found = subprocess.check_output([sys.executable, "-c", code], env=environment, text=True)
    assert found == "1\n"
