"""A training run as people see it while it goes on, and what they are told when it ends early."""

from __future__ import annotations

import signal
from collections import deque
from collections.abc import Callable
from datetime import timedelta
from statistics import fmean
from typing import TYPE_CHECKING

from lowpeak.cli.output import mb
from lowpeak.cli.signals import SIGNALLED

if TYPE_CHECKING:
    from lowpeak_runtime.data.summary import Summary
    from lowpeak_runtime.train.supervisor import StepReport

SMOOTHING = 0.9
"""Weight of what came before in the smoothed loss."""
RECENT_STEPS = 20
"""That the remaining time is predicted from."""


class RunView:
    """Tells each step of a run: `loss 2.5132 (2.6401), 159.3 tokens/s, 228.7 of 260.0 MB, 0:01:10 left`.

    `say` is told how many steps are done, and the words.
    """

    def __init__(self, goal: int, budget_bytes: int, say: Callable[[int, str], None]) -> None:
        self._goal = goal
        self._budget_bytes = budget_bytes
        self._say = say
        self._done = 0
        self._read = 0
        self._sum = self._weight = 0.0
        self._seconds: deque[float] = deque(maxlen=RECENT_STEPS)

    def reading(self, seen: Summary) -> None:
        """Before the first step, once in a while: how many examples were looked at."""
        if seen.seen >= 2 * self._read:
            self._say(0, f"encoding the data: {_left_out(seen)}")
            self._read = seen.seen

    def show(self, step: StepReport) -> None:
        """Loss (and smoothed), speed, most memory held so far of the budget, time that is left."""
        done = step.step + 1
        self._sum = SMOOTHING * self._sum + (1 - SMOOTHING) * step.loss
        self._weight = SMOOTHING * self._weight + (1 - SMOOTHING)
        self._seconds.append(step.seconds)
        left = timedelta(seconds=round(fmean(self._seconds) * (self._goal - done)))
        speed = "" if step.tokens_per_second is None else f"{step.tokens_per_second:.1f} tokens/s, "
        memory = f"{step.peak_held_bytes / 1e6:.1f} of {mb(self._budget_bytes)}"
        loss = f"loss {step.loss:.4f} ({self._sum / self._weight:.4f})"
        dropped = "" if step.data is None or not step.data.dropped else f", {_left_out(step.data)}"
        self._say(done, f"{loss}, {speed}{memory}, {left} left{dropped}")
        self._done = done

    def stopping(self) -> None:
        self._say(self._done, "stopping after this step")


def _left_out(data: Summary) -> str:
    return f"{data.dropped} of {data.seen} examples left out"


def exit_code(stop_reason: str | None, done: int, goal: int) -> int:
    """Of a run that has `done` updates: STOPPED before its goal, unless a signal left nothing of it."""
    from lowpeak_runtime.train.stop import STOPPED

    if done >= goal:
        return 0
    if not done and stop_reason is not None and stop_reason in signal.Signals.__members__:
        return SIGNALLED + signal.Signals[stop_reason]
    return STOPPED


def how_to_continue(done: int, goal: int, reason: str) -> str:
    """`done`: updates that the checkpoint has, 0 if there is none."""
    if not done:
        return f"stopped before the end of the first step, nothing is kept ({reason})"
    return (
        f"stopped after {done} of {goal} steps ({reason}); the same command with --resume continues the run"
    )
