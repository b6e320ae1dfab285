"""Memory that a step frees stays in the process while a pack is computed; the kernel's counters are the oracle."""

import subprocess
import sys

import pytest

SCRIPT = """
import resource, sys
from contextlib import nullcontext
from pathlib import Path
from subind.training.memory import freed_memory_is_kept

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1])

with freed_memory_is_kept() if sys.argv[1] == "kept" else nullcontext():
    number = 2**26
    b"x" * number
    before = faults()
    for _ in range(3):
        b"x" * number
    num_faults, within = faults() - before, resident()
print(num_faults, within - resident())
"""
"""Prints the page faults of three blocks of 64 MiB after another one, and the pages that are given back at the end."""

NUM_PAGES = 2**26 // 4096


def counts(how: str) -> list[int]:
    printed = subprocess.run([sys.executable, "-c", SCRIPT, how], capture_output=True, text=True, check=True).stdout
    return [int(number) for number in printed.split()]


@pytest.mark.skipif(sys.platform != "linux", reason="the allocator is glibc's")
def test_a_freed_block_is_used_again_without_page_faults_and_given_back_afterwards() -> None:
    num_faults, num_returned = counts("kept")
    assert num_faults < 100
    assert num_returned > 0.9 * NUM_PAGES


@pytest.mark.skipif(sys.platform != "linux", reason="the allocator is glibc's")
def test_without_it_every_block_costs_page_faults() -> None:
    assert counts("default")[0] > 1000
