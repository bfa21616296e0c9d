"""A wish that a run stop, with the steps that it has made kept."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager

STOPPED = 3
"""Exit code, of lowpeak-runner's too: it stopped before its goal, with everything kept."""
ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class StopRequest:
    """Made by a signal, or when nobody reads what is told; looked at between batches."""

    def __init__(self) -> None:
        self.reason: str | None = None
        """Why, in words; None: go on."""
        self.heeded = False
        """Somebody looks at it: what is made is kept, and nothing has to be cut off."""
        self._ask: Callable[[], None] = lambda: None
        self._insist: Callable[[], None] = lambda: None

    def ask(self, reason: str) -> None:
        """The first reason stays."""
        self.reason = self.reason or reason
        self._ask()

    def insist(self) -> None:
        """At once, without the steps that are not in a checkpoint."""
        self._insist()

    @contextmanager
    def passed_on(self, ask: Callable[[], None], insist: Callable[[], None]) -> Iterator[None]:
        """Calls them for a wish, also for one that was made before."""
        self._ask, self._insist = ask, insist
        try:
            if self.reason is not None:
                ask()
            yield
        finally:
            self._ask = self._insist = lambda: None


def ask_by_signals(stop: StopRequest) -> None:
    """From now on SIGTERM, SIGINT and SIGHUP ask; the latter two stay ignored where they are, as by nohup.

    SIGTERM always, for it is how the process that started this one asks. Those that it held back come now.
    """

    def handle(number: int, frame: object) -> None:
        stop.ask(signal.Signals(number).name)

    for number in ENDING:
        if number == signal.SIGTERM or signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, handle)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)


@contextmanager
def held_back() -> Iterator[None]:
    """A process that is started meanwhile gets no signal that asks for its end until it can heed it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
