"""Chat templates rendered in a process of their own, whose time and memory are bounded."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from threading import Lock
from typing import Any

from lowpeak_artifact.errors import DataError, EnvironmentProblem
from lowpeak_artifact.python_process import python_process
from lowpeak_runtime.data.chat.memory_watch import MemoryWatch
from lowpeak_runtime.data.chat.renderer import LENGTH, MEMORY_BYTES, PROCESSOR_SECONDS

RENDERER_MODULE = "lowpeak_runtime.data.chat.renderer"
MOST_BYTES = 1 << 25
"""Of a rendered chat, as JSON."""
_TOO_MUCH_MEMORY = f"takes more than {MEMORY_BYTES >> 20} MiB for one chat"
_ADVICE = "it is no template for training: set another one, or give prompt and completion as text"


class TemplateStopped(DataError):
    """The template took more than it may."""


class Renderer:
    """The process, which is started when it is first needed, and again after it was ended."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._watch: MemoryWatch | None = None
        self._lock = Lock()

    def render(self, asked: Mapping[str, Any]) -> dict[str, Any]:
        """`asked`: see renderer.py -> `text` and `generated`, or `refused`: why the template raised an error.

        Raises TemplateStopped for one that takes too long, too much memory, or says too much, and
        EnvironmentProblem when the process cannot be started.
        """
        with self._lock:
            process = self._process or self._started()
            self._process = process
            data = json.dumps(asked, default=str).encode()
            assert process.stdin is not None
            try:
                process.stdin.write(LENGTH.pack(len(data)) + data)
                process.stdin.flush()
                answer = self._answer(process)
            except BrokenPipeError:
                answer = None
            except BaseException:
                # Half a request or an answer would be taken for the next one's.
                self._end()
                raise
            if answer is None:
                raise self._ended(self._end())
        if "stopped" in answer:
            raise _stopped(_TOO_MUCH_MEMORY)
        return answer

    def close(self) -> None:
        with self._lock:
            self._end()

    def _started(self) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            python_process(RENDERER_MODULE),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env={
                **{name: value for name, value in os.environ.items() if name != "LD_PRELOAD"},
                "OPENBLAS_NUM_THREADS": "1",
                "TRANSFORMERS_VERBOSITY": "error",
            },
        )
        ready = self._answer(process)
        if ready is None:
            self._process = process
            raise EnvironmentProblem(
                f"the process that renders chat templates cannot be started: it ended with {self._end()}; "
                f"{sys.executable} -m {RENDERER_MODULE} says why"
            )
        self._watch = None if ready["limited"] else MemoryWatch(process.pid, MEMORY_BYTES)
        return process

    def _answer(self, process: subprocess.Popen[bytes]) -> dict[str, Any] | None:
        assert process.stdout is not None
        head = process.stdout.read(LENGTH.size)
        if len(head) < LENGTH.size:
            return None
        (size,) = LENGTH.unpack(head)
        if size > MOST_BYTES:
            self._end()
            raise _stopped(f"makes a text of {size} bytes, the most is {MOST_BYTES}")
        data = process.stdout.read(size)
        if len(data) < size:
            return None
        answer: dict[str, Any] = json.loads(data)
        return answer

    def _end(self) -> int:
        """Ends the process, if there is one -> what it ended with."""
        process, self._process = self._process, None
        if process is None:
            return 0
        assert process.stdin is not None and process.stdout is not None
        process.stdout.close()
        with contextlib.suppress(OSError):
            process.stdin.close()
        try:
            return process.wait(0.2)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    def _ended(self, code: int) -> Exception:
        """Why there is no answer, by what the process ended with."""
        if code == -signal.SIGPROF:
            return _stopped(f"takes more than {PROCESSOR_SECONDS:g} s for one chat")
        if self._watch is not None and self._watch.exceeded:
            return _stopped(_TOO_MUCH_MEMORY)
        if code == -signal.SIGKILL:
            return EnvironmentProblem(
                "the process that renders chat templates was killed, perhaps by the system for lack of "
                "memory: free some, and try again"
            )
        return _stopped(f"ended the process that renders it (exit code {code})")


def _stopped(does: str) -> TemplateStopped:
    return TemplateStopped(f"the chat template {does}: {_ADVICE}")


RENDERER = Renderer()
"""Of this process."""
atexit.register(RENDERER.close)
