"""What a process that trains tells: one JSON object a line on stdout, as native/trainer/events.h has it.

    {"event": "ready", "rss_bytes": ..., "anonymous_bytes": ..., "file_bytes": ...}
    {"event": "step", "step": 0, "loss": ..., "seconds": ..., "tokens_per_second": ...,
     "rss_bytes": ..., "anonymous_bytes": ...}
    {"event": "note", "note": ..., ...}
    {"event": "done", "step": ...}
    {"event": "stopped", "step": ..., "reason": ...}
    {"event": "error", "class": ..., "message": ..., "numbers": ...}

The first is the baseline, before anything of the artifact is opened; memory beside a step is as that ends.
A note is something that the user should know and that stops nothing: words, and perhaps figures.
The step of `done` and `stopped` is the number of updates made. After an error the exit code is 1.
"""

from __future__ import annotations

import dataclasses
import gc
from typing import Any

from lowpeak_artifact import errors
from lowpeak_artifact.errors import LowpeakError
from lowpeak_artifact.linux import return_freed_memory
from lowpeak_runtime.train.memory import MemoryUse, memory_of

Event = dict[str, Any]


def ready_event() -> Event:
    """What the process holds now. Freed memory is given back before, so that it cannot hide what training
    allocates from now on.
    """
    gc.collect()
    return_freed_memory()
    return {"event": "ready", **dataclasses.asdict(_memory())}


def step_event(step: int, loss: float, seconds: float, tokens: int | None) -> Event:
    use = _memory()
    return {
        "event": "step",
        "step": step,
        "loss": loss,
        "seconds": seconds,
        "tokens_per_second": None if tokens is None else tokens / seconds,
        "rss_bytes": use.rss_bytes,
        "anonymous_bytes": use.anonymous_bytes,
    }


def note_event(words: str) -> Event:
    """Something that the user should know and that does not stop the run."""
    return {"event": "note", "note": words}


def end_event(step: int, goal: int, reason: str | None) -> Event:
    """`reason`: why it stopped, if the goal is not reached."""
    if step >= goal:
        return {"event": "done", "step": step}
    return {"event": "stopped", "step": step, "reason": reason}


def error_event(error: Exception) -> Event:
    if not isinstance(error, LowpeakError):
        error = errors.system_problem(error) or error
    numbers = error.numbers if isinstance(error, LowpeakError) else {}
    return {"event": "error", "class": type(error).__name__, "message": str(error), "numbers": numbers}


def told_error(event: Event) -> Exception:
    """The error that an `error` event tells of."""
    kind = getattr(errors, event["class"], None)
    if isinstance(kind, type) and issubclass(kind, LowpeakError):
        return kind(event["message"], **event["numbers"])
    return RuntimeError(f"{event['class']}: {event['message']}")


def _memory() -> MemoryUse:
    use = memory_of()
    assert use is not None
    return use
