"""What this container may use, read from fake trees that are laid out as real ones are."""

import subprocess
import sys
from pathlib import Path

import pytest

from jobs import resources

GIB = 2**30


def write(root: Path, files: dict[str, object]) -> None:
    """Write small files, with their folders."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{content}\n")


def proc(tmp_path: Path, groups: str, available: int = 16 * GIB) -> Path:
    """Lay out a `/proc`."""
    root = tmp_path / "proc"
    meminfo = f"MemTotal: 33554432 kB\nMemFree: 1024 kB\nMemAvailable: {available // 1024} kB"
    write(root, {"self/cgroup": groups, "meminfo": meminfo})
    return root


def tree(tmp_path: Path, files: dict[str, object]) -> Path:
    """Lay out a `/sys/fs/cgroup`."""
    write(tmp_path / "cgroup", files)
    return tmp_path / "cgroup"


def test_v2_in_a_container(tmp_path: Path) -> None:
    """Docker and Kubernetes on cgroup v2: a private namespace, the container's group is the root of the mount."""
    stat = f"anon {GIB}\nfile {GIB}\ninactive_file {GIB // 2}\nactive_file {GIB // 4}\nshmem 0"
    cgroups = tree(tmp_path, {"memory.max": 4 * GIB, "memory.current": 2 * GIB, "memory.stat": stat})
    fake = proc(tmp_path, "0::/")

    assert 4 * GIB == resources.memory_limit(cgroups, fake)
    assert 2 * GIB + 3 * GIB // 4 == resources.available_memory(cgroups, fake)


def test_v2_on_a_host(tmp_path: Path) -> None:
    """On a systemd host with cgroup v2: nested groups, the smallest limit counts, `max` is none, the root has no files."""
    cgroups = tree(
        tmp_path,
        {
            "user.slice/memory.max": 3 * GIB,
            "user.slice/memory.current": GIB,
            "user.slice/user-1000.slice/memory.max": "max",
            "user.slice/user-1000.slice/memory.current": GIB,
        },
    )
    fake = proc(tmp_path, "0::/user.slice/user-1000.slice")

    assert 3 * GIB == resources.memory_limit(cgroups, fake)
    assert 2 * GIB == resources.available_memory(cgroups, fake)


def test_v1_in_a_container(tmp_path: Path) -> None:
    """Docker on cgroup v1: the path is the host's, which the container does not see; its own group is the mount."""
    stat = f"cache {GIB}\nrss {GIB}\nactive_file 1\ninactive_file 1\ntotal_active_file 0\ntotal_inactive_file {GIB}"
    cgroups = tree(
        tmp_path,
        {
            "memory/memory.limit_in_bytes": 6 * GIB,
            "memory/memory.usage_in_bytes": 2 * GIB,
            "memory/memory.stat": stat,
        },
    )
    fake = proc(tmp_path, "5:cpu,cpuacct:/docker/abc\n4:memory:/docker/abc\n1:name=systemd:/docker/abc\n0::/")

    assert 6 * GIB == resources.memory_limit(cgroups, fake)
    assert 5 * GIB == resources.available_memory(cgroups, fake)


def test_v1_without_a_limit(tmp_path: Path) -> None:
    """In cgroup v1, the kernel writes "none" as a huge number; then the machine's free memory counts."""
    cgroups = tree(tmp_path, {"memory/memory.limit_in_bytes": 9223372036854771712})
    fake = proc(tmp_path, "4:memory:/\n0::/")

    assert None is resources.memory_limit(cgroups, fake)
    assert 16 * GIB == resources.available_memory(cgroups, fake)


def test_v1_nested(tmp_path: Path) -> None:
    """With cgroup v1 and a visible path, the least limit on the way up counts."""
    cgroups = tree(
        tmp_path,
        {"memory/a/memory.limit_in_bytes": 2 * GIB, "memory/a/b/memory.limit_in_bytes": 5 * GIB},
    )

    assert 2 * GIB == resources.memory_limit(cgroups, proc(tmp_path, "4:memory:/a/b"))


def test_the_machine_may_have_less_than_the_limit(tmp_path: Path) -> None:
    """A limit promises nothing on a machine that is full."""
    cgroups = tree(tmp_path, {"memory.max": 64 * GIB, "memory.current": 0})

    assert GIB == resources.available_memory(cgroups, proc(tmp_path, "0::/", available=GIB))


def test_a_group_over_its_limit_has_nothing_left(tmp_path: Path) -> None:
    """Usage above the limit leaves zero, not less."""
    cgroups = tree(tmp_path, {"memory.max": GIB, "memory.current": 2 * GIB})

    assert 0 == resources.available_memory(cgroups, proc(tmp_path, "0::/"))


def test_a_group_outside_the_namespace(tmp_path: Path) -> None:
    """A process moved into a sibling's namespace sees `/../x`; the mount's root is all that can be read."""
    cgroups = tree(tmp_path, {"memory.max": GIB})

    assert GIB == resources.memory_limit(cgroups, proc(tmp_path, "0::/../x"))


def test_without_control_groups(tmp_path: Path) -> None:
    """A system without any of these files has no known limit."""
    assert None is resources.memory_limit(tmp_path, tmp_path)
    assert resources.NO_LIMIT == resources.available_memory(tmp_path, tmp_path)


def test_this_machine_has_memory() -> None:
    """On the machine of the tests the real files are read."""
    assert 2**20 < resources.available_memory() < resources.NO_LIMIT


def test_cpus_are_those_that_joblib_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Quota, affinity and joblib's own variable count."""
    assert 1 <= resources.cpu_count()
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")

    assert 1 == resources.cpu_count()


def test_thread_pools_get_that_many_threads() -> None:
    """BLAS and OpenMP pools that are loaded are limited; done in a process of its own."""
    program = (
        "import numpy as np; np.ones((2, 2)) @ np.ones((2, 2))\n"
        "import threadpoolctl\nfrom jobs import resources\n"
        "resources.limit_threads(resources.cpu_count()); print(resources.cpu_count(), {each['num_threads'] for each in threadpoolctl.threadpool_info()})"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env={"LOKY_MAX_CPU_COUNT": "1"},
        cwd=Path(__file__).parents[1],
    )

    assert "1 {1}\n" == done.stdout


def test_nothing_heavy_is_imported() -> None:
    """The module itself needs the standard library only."""
    program = "import sys, jobs.resources; print(sorted({'numpy', 'joblib', 'threadpoolctl'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert "[]\n" == done.stdout
