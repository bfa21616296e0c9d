"""Bounds the memory of a process from outside, for systems that keep no limit of a process's own."""

from __future__ import annotations

import time
from threading import Thread

LOOK_SECONDS = 0.01


class MemoryWatch:
    """Kills the process once it holds `more_bytes` of resident memory more than now; ends with the process.

    It looks every 10 ms: what is taken within that time comes on top.
    """

    def __init__(self, pid: int, more_bytes: int) -> None:
        import psutil

        self.exceeded = False
        self._process = psutil.Process(pid)
        self._gone = psutil.Error
        self._most = self._process.memory_info().rss + more_bytes
        Thread(target=self._look, daemon=True).start()

    def _look(self) -> None:
        try:
            while self._process.memory_info().rss <= self._most:
                time.sleep(LOOK_SECONDS)
            self.exceeded = True
            self._process.kill()
        except self._gone:
            return
