"""What SIGINT, SIGTERM and SIGHUP do: end a verb, or ask a run to stop with all that it has made kept."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

from lowpeak.cli.output import note
from lowpeak_artifact.temporary import remove_temporary

if TYPE_CHECKING:
    from lowpeak_runtime.train.stop import StopRequest

SIGNALLED = 128
"""A shell adds it to the number of the signal that ended a command."""
INTERRUPTED = SIGNALLED + signal.SIGINT
ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
SAME_SECONDS = 0.5
"""Signals that come closer are one wish: a terminal that is closed sends two."""
CLEARING_SECONDS = 5.0
"""In which a verb that a signal ends is not disturbed by another."""
SHOW_CURSOR = b"\x1b[?25h\n"
"""A display of progress hides it."""

Handler = Callable[[int, FrameType | None], None]


class Ended(BaseException):
    """A signal ends the verb: what it started is ended, what is temporary is removed."""

    def __init__(self, number: int) -> None:
        self.number = number

    @property
    def code(self) -> int:
        return SIGNALLED + self.number


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Ends the verb where the program is. Also as the first process of a container, where signals do nothing
    by default.
    """
    ended_at: float | None = None

    def end(number: int, frame: FrameType | None) -> None:
        nonlocal ended_at
        now = time.monotonic()
        if ended_at is not None and now - ended_at < CLEARING_SECONDS:
            return
        ended_at = now
        _end(number, frame)

    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)
    with _handled(end):
        yield


@contextmanager
def stop_by_signals(tell: Callable[[], None]) -> Iterator[StopRequest]:
    """The first signal asks for a stop, once the run heeds that, and calls `tell`; the second says what a
    third does: it ends the run at once, without the steps since its last checkpoint.
    """
    from lowpeak_runtime.train.stop import StopRequest

    stop = StopRequest()
    count, last = 0, 0.0

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal count, last
        if not stop.heeded:
            before[number](number, frame)
            return
        now = time.monotonic()
        if count and now - last < SAME_SECONDS:
            return
        count, last = count + 1, now
        name = signal.Signals(number).name
        if count == 1:
            stop.ask(name)
        # The terminal may be gone, and its stream may be in use just now.
        with suppress(OSError, RuntimeError, ValueError):
            if count == 1:
                tell()
            elif count == 2:
                note(f"{name}: the run saves; one more ends it without the steps since its last checkpoint")
        if count > 2:
            stop.insist()
            _end(number, frame)

    before: dict[int, Any] = {number: signal.getsignal(number) for number in ENDING}
    with _handled(handle):
        yield stop


def _end(number: int, frame: FrameType | None) -> NoReturn:
    """Raises Ended, or exits with its code where that could not pass: torch calls Python from C++ code, where
    an exception may end the process by abort, or leave a state that the next call refuses.
    """
    ended = Ended(number)
    if not _is_inside_torch(frame):
        raise ended
    remove_temporary()
    with suppress(OSError, ValueError):
        if sys.stderr.isatty():
            os.write(sys.stderr.fileno(), SHOW_CURSOR)
    os._exit(ended.code)


def _is_inside_torch(frame: FrameType | None) -> bool:
    while frame is not None:
        if str(frame.f_globals.get("__name__")).partition(".")[0] == "torch":
            return True
        frame = frame.f_back
    return False


@contextmanager
def _handled(handler: Handler) -> Iterator[None]:
    """One that is ignored, as by nohup, stays so."""
    before = {number: signal.getsignal(number) for number in ENDING}
    changed = [number for number in ENDING if before[number] is not signal.SIG_IGN]
    for number in changed:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number in changed:
            signal.signal(number, before[number])
