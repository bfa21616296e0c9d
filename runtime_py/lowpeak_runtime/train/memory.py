"""What a process really holds, as Linux tells.

Anonymous memory (heap, stacks, the arena) cannot be given back to the system; file pages (mapped weights)
can. A run is measured from another process: the runtime may keep the interpreter's lock during a whole step.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from types import TracebackType

from lowpeak_artifact.linux import memory_lines, require_measured_memory

SAMPLE_SECONDS = 0.002

_FIELDS = {"VmRSS": "rss_bytes", "RssAnon": "anonymous_bytes", "RssFile": "file_bytes"}


@dataclass(frozen=True)
class MemoryUse:
    """Bytes resident now."""

    rss_bytes: int
    """All of it: anonymous, file and shared pages."""

    anonymous_bytes: int
    file_bytes: int


def memory_of(pid: int | None = None) -> MemoryUse | None:
    """Of the process, this one by default; None once it has ended. Raises EnvironmentProblem but on Linux."""
    told = memory_lines(pid)
    if told is None:
        require_measured_memory()
        return None
    # A process that has ended but was not waited for has no memory lines.
    if not _FIELDS.keys() <= told.keys():
        return None
    return MemoryUse(**{field: told[name] for name, field in _FIELDS.items()})


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
