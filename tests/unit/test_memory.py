"""With glibc, memory that was freed is used again."""

import platform
import subprocess
import sys

import pytest

SCRIPT = """
import resource
import torch
from platecheck.training.memory import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        torch.ones(64 << 20, dtype=torch.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

torch.ones(64 << 20, dtype=torch.uint8)
before = faults()
keep_freed_memory()
faults()  # the heap grows once
print(before, faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")
def test_freed_memory_is_used_again() -> None:
    printed = subprocess.check_output([sys.executable, "-c", SCRIPT], text=True)
    before, after = map(int, printed.split())
    assert after < before / 10
