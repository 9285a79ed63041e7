"""How much memory the kernel lets this process use."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path


def memory_limit(system: Path = Path("/")) -> float:
    """Return the least of the machine's memory and of the limits of the process's cgroups, in bytes; NaN if unknown.

    A limit of a cgroup holds for those below it, too, so all up to the root of the hierarchy count. Inside a container
    the hierarchy begins with the container's own cgroup, whatever path the kernel names. `system` is where `/proc` and
    `/sys` are. Source: the kernel's Documentation/admin-guide/cgroup-v1/memory.rst and cgroup-v2.rst.
    """
    limits = [*_machine(system), *_cgroups(system)]
    return float(min(limits)) if limits else float("nan")


def _machine(system: Path) -> Iterator[int]:
    for line in _text(system / "proc/meminfo").splitlines():
        if line.startswith("MemTotal:"):
            yield int(line.split()[1]) * 1024


def _cgroups(system: Path) -> Iterator[int]:
    for line in _text(system / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            yield from _limits(system / "sys/fs/cgroup", path, "memory.max")
        elif "memory" in controllers.split(","):
            yield from _limits(system / "sys/fs/cgroup/memory", path, "memory.limit_in_bytes")


def _limits(mount: Path, path: str, name: str) -> Iterator[int]:
    """Yield the limits of a cgroup and of those above it. `max` and a file that is not there are none."""
    cgroup = mount / path.lstrip("/")
    for folder in (cgroup, *cgroup.parents):
        if folder.is_relative_to(mount) and (text := _text(folder / name).strip()).isdecimal():
            yield int(text)


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
