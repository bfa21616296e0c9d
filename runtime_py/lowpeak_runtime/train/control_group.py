"""Running a command under a hard limit of memory, which Linux's control groups keep."""

from __future__ import annotations

import os
import subprocess
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lowpeak_artifact.errors import EnvironmentProblem
from lowpeak_artifact.linux import memory_controller


@dataclass(frozen=True)
class LimitedRun:
    """How a command ended under a limit."""

    returncode: int
    """Negative: the signal that ended it."""

    killed_for_memory: bool
    """The system killed it, or a process of it, at the limit."""

    peak_bytes: int
    """Most that was charged at once: anonymous memory, page cache and kernel memory."""

    output: str
    """stdout and stderr, interleaved."""


@dataclass(frozen=True)
class MemoryGroup:
    """A memory control group with a hard limit."""

    folder: Path

    def entering(self, command: Sequence[str]) -> list[str]:
        """The command, run in the group."""
        # The shell enters the group and becomes the command, so that all of its memory is charged.
        enter = 'echo $$ > "$0" && exec "$@"'
        return ["/bin/sh", "-c", enter, str(self.folder / "cgroup.procs"), *command]

    @property
    def has_killed(self) -> bool:
        """Whether the system killed a process of it at the limit."""
        control = (self.folder / "memory.oom_control").read_text()
        return dict(line.split() for line in control.splitlines()).get("oom_kill", "0") != "0"

    @property
    def peak_bytes(self) -> int:
        """Most that was charged at once: anonymous memory, page cache and kernel memory."""
        return int((self.folder / "memory.max_usage_in_bytes").read_text())


def run_under_limit(
    command: Sequence[str], limit_bytes: int, timeout_seconds: float | None = None
) -> LimitedRun:
    """Runs the command in a memory control group of its own: over the limit it is killed.

    Raises as `memory_group`, and subprocess.TimeoutExpired.
    """
    with memory_group(limit_bytes) as group:
        run = subprocess.run(
            group.entering(command),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            timeout=timeout_seconds,
        )
        return LimitedRun(run.returncode, group.has_killed, group.peak_bytes, run.stdout)


@contextmanager
def memory_group(limit_bytes: int) -> Iterator[MemoryGroup]:
    """A control group (version 1) of that limit; afterwards it is gone, and what still runs in it.

    Raises EnvironmentProblem when there is no such controller or this process may not use it.
    """
    group = _memory_controller() / f"lowpeak-{os.getpid()}-{uuid.uuid4().hex[:8]}"
    try:
        group.mkdir()
    except OSError as error:
        raise EnvironmentProblem(
            f"a memory limit needs the control group {group}, which cannot be made: {error.strerror}; "
            "run as root"
        ) from error
    try:
        try:
            (group / "memory.limit_in_bytes").write_text(str(limit_bytes))
            # Only where swap is accounted for; without it the excess would be swapped instead of refused.
            swap = group / "memory.memsw.limit_in_bytes"
            if swap.exists():
                swap.write_text(str(limit_bytes))
        except OSError as error:
            raise EnvironmentProblem(
                f"a limit of {limit_bytes} bytes is refused: {error.strerror}"
            ) from error
        yield MemoryGroup(group)
    finally:
        _remove_group(group)


def _memory_controller() -> Path:
    controller = memory_controller()
    if controller is None:
        raise EnvironmentProblem(
            "a memory limit needs the memory controller of Linux's control groups v1: none is mounted"
        )
    return controller


def _remove_group(group: Path) -> None:
    for _ in range(100):
        for pid in (group / "cgroup.procs").read_text().split():
            try:
                os.kill(int(pid), 9)
            except ProcessLookupError:
                continue
        try:
            group.rmdir()
            return
        except OSError:
            time.sleep(0.02)
    raise EnvironmentProblem(f"the control group {group} cannot be removed")
