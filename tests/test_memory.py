"""How much memory is free, and that what is freed is kept."""

import mmap
import os
import platform
import subprocess
import sys

import psutil
import pytest
import torch

from gentool import memory
from gentool.memory import _left_by_cgroups


@pytest.mark.parametrize(
    ("line", "where", "names"),
    [
        ("0::/job/step", "job", ("memory.max", "memory.current", "inactive_file")),
        (
            "4:memory:/job/step",
            "memory/job",
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        ),
    ],
)
def test_the_limits_of_containers_and_jobs_are_known(tmp_path, line, where, names):
    limit, used, cached = names
    (tmp_path / where / "step").mkdir(parents=True)
    for file, text in ((limit, "1000"), (used, "700"), ("memory.stat", f"anon 5\n{cached} 200")):
        (tmp_path / where / file).write_text(text)
    (tmp_path / where / "step" / limit).write_text("max")
    (tmp_path / "cgroup").write_text(f"9:cpu:/job\n{line}\n")
    assert _left_by_cgroups(tmp_path / "cgroup", tmp_path) == [500]


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators keep more")
def test_memory_that_a_layer_frees_serves_the_next_one():
    code = """
import resource, torch
from gentool import compute
compute.choose("cpu")
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(6):
        x = torch.ones(2**21)  # 8 MiB
        y = x + 1
        x = torch.cat([x, y])
        del x, y
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
large = [torch.ones(2**21) for _ in range(16)]
del large  # and kept: from here on there is memory that was touched before
faults()
print(sum(faults() for _ in range(5)))
"""
    plain = {k: v for k, v in os.environ.items() if not k.startswith("MALLOC_")}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=plain)
    assert int(done.stdout) < 2**23 / mmap.PAGESIZE  # up to 100 times that without it


def test_free_memory_is_known_where_nothing_limits_it(monkeypatch):
    monkeypatch.setattr(memory, "_left_by_cgroups", list)  # as on macOS, or outside of containers
    assert 0 < memory.free(torch.device("cpu")) <= psutil.virtual_memory().total
