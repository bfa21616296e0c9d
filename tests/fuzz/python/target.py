"""What is fuzzed: a reader of ours with inputs to begin from."""

from __future__ import annotations

import contextlib
import resource
import signal
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from lowpeak_artifact.errors import LowpeakError

FLOOR_BYTES = 768 << 20
"""Beyond twice its input a reader may hold so much, as a bounded size of a file that is small in itself."""
KIB = 1024
PROCESSOR_SECONDS = 20


@dataclass(frozen=True)
class Target:
    seeds: Sequence[bytes]
    """Valid inputs."""
    run: Callable[[bytes], object]
    mutate: Callable[[bytes, Random], bytes] | None = None
    """Of an input another; None: its bytes are changed without regard to what they mean."""


class TooLong(BaseException):
    """No reader takes it for an error of its own."""


def _too_long(number: int, frame: object) -> None:
    raise TooLong(f"{PROCESSOR_SECONDS} s of processor time")


_most_bytes = 0


def run_one(target: Target, data: bytes) -> None:
    """Raises what the reader raises, if that is no LowpeakError; MemoryError if it holds, TooLong if it takes
    too much.
    """
    global _most_bytes
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KIB
    _most_bytes = _most_bytes or before + FLOOR_BYTES
    # The process's own time, for a machine may be busy with other things.
    signal.signal(signal.SIGPROF, _too_long)
    signal.setitimer(signal.ITIMER_PROF, PROCESSOR_SECONDS)
    try:
        with contextlib.suppress(LowpeakError):
            target.run(data)
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * KIB
    if held > _most_bytes + 2 * len(data):
        raise MemoryError(f"{held} bytes are held, {_most_bytes} and twice the input's {len(data)} may be")
