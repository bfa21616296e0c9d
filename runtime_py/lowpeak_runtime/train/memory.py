"""What a process really holds, from /proc, and running a command under a hard limit.

Anonymous memory (heap, stacks, the arena) cannot be given back to the system; file pages (mapped weights)
can. A run is measured from another process: the runtime may keep the interpreter's lock during a whole step.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from lowpeak_artifact.errors import EnvironmentProblem

SAMPLE_SECONDS = 0.002

_PR_SET_THP_DISABLE = 41
_FIELDS = {b"VmRSS": "rss_bytes", b"RssAnon": "anonymous_bytes", b"RssFile": "file_bytes"}


@dataclass(frozen=True)
class MemoryUse:
    """Bytes resident now."""

    rss_bytes: int
    """All of it: anonymous, file and shared pages."""

    anonymous_bytes: int
    file_bytes: int


def memory_of(pid: int | None = None) -> MemoryUse | None:
    """Of the process, this one by default; None once it has ended; EnvironmentProblem without /proc."""
    try:
        status = Path(f"/proc/{pid or 'self'}/status").read_bytes()
    except (FileNotFoundError, ProcessLookupError) as error:
        if not os.path.exists("/proc/self/status"):
            raise EnvironmentProblem("memory is measured through /proc, which only Linux has") from error
        return None
    found = {
        _FIELDS[key]: int(value.split()[0]) * 1024
        for key, _, value in (line.partition(b":") for line in status.splitlines())
        if key in _FIELDS
    }
    # A process that has ended but was not waited for has no memory lines.
    return MemoryUse(**found) if len(found) == len(_FIELDS) else None


class PeakSampler:
    """Watches another process from a thread, every 2 ms, until it ends or `stop`; a context manager.

    `restart` begins a new peak, which leaves out what happened before.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._peak_rss = self._peak_anonymous = self._samples = 0
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> PeakSampler:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def restart(self) -> None:
        with self._lock:
            self._peak_rss = self._peak_anonymous = self._samples = 0

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()

    @property
    def peak_rss_bytes(self) -> int:
        return self._peak_rss

    @property
    def peak_anonymous_bytes(self) -> int:
        return self._peak_anonymous

    @property
    def samples(self) -> int:
        """How often the process was looked at; a peak from few samples says little."""
        return self._samples

    def _watch(self) -> None:
        while not self._stopped.is_set():
            use = memory_of(self._pid)
            if use is None:
                return
            with self._lock:
                self._peak_rss = max(self._peak_rss, use.rss_bytes)
                self._peak_anonymous = max(self._peak_anonymous, use.anonymous_bytes)
                self._samples += 1
            self._stopped.wait(SAMPLE_SECONDS)


def refuse_huge_pages() -> None:
    """For this process from now on, whatever the system is set to. Where the kernel has none nothing happens.

    A huge page takes megabytes for the first byte of it, which no plan knows of.
    """
    ctypes.CDLL(None).prctl(_PR_SET_THP_DISABLE, 1, 0, 0, 0)


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
    try:
        mounts = [line.split() for line in Path("/proc/self/mounts").read_text().splitlines()]
    except OSError as error:
        raise EnvironmentProblem("a memory limit needs Linux control groups") from error
    for _, place, kind, options, *_ in mounts:
        if kind == "cgroup" and "memory" in options.split(","):
            return Path(place)
    raise EnvironmentProblem(
        "a memory limit needs the memory controller of control groups v1: none is mounted"
    )


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
