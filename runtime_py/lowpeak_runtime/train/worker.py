"""The process that trains: `python -m lowpeak_runtime.train.worker job.json` -> the events of
lowpeak_runtime/train/events.py.

It imports torch and the runtime only; what it holds beyond the baseline is there because of training.
"""

from __future__ import annotations

import json
import math
import os
import select
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path

import torch

from lowpeak_artifact.errors import LowpeakError
from lowpeak_artifact.folder_lock import joined
from lowpeak_artifact.linux import refuse_huge_pages
from lowpeak_runtime.data.batch_file import BatchFolder
from lowpeak_runtime.train.checkpoint import newest_of, read_progress, settle
from lowpeak_runtime.train.events import Event, end_event, error_event, note_event, ready_event, step_event
from lowpeak_runtime.train.optimizer import not_finite
from lowpeak_runtime.train.run_checks import holds_a_run
from lowpeak_runtime.train.session import Job
from lowpeak_runtime.train.sessions import open_session, prepare_process
from lowpeak_runtime.train.stop import STOPPED, StopRequest, ask_by_signals

Emit = Callable[[Event], None]


LOOK_SECONDS = 0.5
PATIENCE_SECONDS = 2.0
"""For a reader that is slow, once a stop is wanted."""


class Output:
    """Events on what was stdout, one a line; what a library prints there goes to stderr instead."""

    def __init__(self, stop: StopRequest) -> None:
        self.failure: OSError | None = None
        """Why events are not told any more, if that is not because their reader is gone."""
        self._stop = stop
        self._events = os.dup(1)
        os.dup2(2, 1)
        self._poll = select.poll()
        self._poll.register(self._events, select.POLLOUT)
        self._given_up = False

    def write(self, event: Event) -> None:
        """Waits where there is no room, until a stop is wanted and a little longer."""
        line = (json.dumps(event) + "\n").encode()
        while line and not self._given_up and self._has_room():
            try:
                # No more than a pipe surely has room for, so that it does not block.
                line = line[os.write(self._events, line[: select.PIPE_BUF]) :]
            except BrokenPipeError:
                self._given_up = True
                self._stop.ask("nobody reads the events")
            except OSError as error:
                self._given_up, self.failure = True, error
                self._stop.ask("the events cannot be written")

    def _has_room(self) -> bool:
        wanted = None
        while not self._poll.poll(LOOK_SECONDS * 1000):
            if self._stop.reason is not None:
                wanted = wanted or time.monotonic()
                if time.monotonic() - wanted > PATIENCE_SECONDS:
                    self._given_up = True
                    return False
        return True


def run(job: Job, emit: Emit, stop: StopRequest) -> None:
    """Trains from `first_step` to `total_steps`, or until asked to stop; then writes the checkpoint.

    Whoever calls holds the lock on the checkpoint's folder.
    """
    refuse_huge_pages()
    manifest = job.read_manifest()
    if stop.reason is None:
        prepare_process(manifest, job.optimizer)
    emit(ready_event())
    if stop.reason is not None:
        emit(end_event(job.first_step, job.total_steps, stop.reason))
        return

    checkpoint = None if job.checkpoint is None else Path(job.checkpoint)
    if checkpoint is not None and job.first_step == 0 and (existing := newest_of(checkpoint)) is not None:
        raise holds_a_run(checkpoint.parent, read_progress(existing).step)
    batches = BatchFolder(job.batches, streamed=job.streamed)
    if checkpoint is not None and job.first_step:
        settle(checkpoint, lambda words: emit(note_event(words)))
    session = open_session(job, manifest)
    position = job.position

    def save(step: int) -> None:
        # Nothing before the first update: there is the checkpoint that the run began with, or none.
        if checkpoint is not None and step > job.first_step:
            session.save(checkpoint, job.progress(manifest, step, position))

    step = job.first_step
    while step < job.total_steps and stop.reason is None:
        started = time.perf_counter()
        first = step * job.accumulate
        losses, weights, tokens = [], 0, 0
        for index in range(first, first + job.accumulate):
            with _keeping(save, step):
                batch = batches.at(index, stop)
                if batch is None:
                    break
                bucket, inputs = batch
                spec = manifest.buckets[bucket].batch
                weight = spec.weight_of(inputs)
                losses.append(weight * session.accumulate(inputs, bucket, weight))
            weights += weight
            tokens += spec.tokens or 0
            if stop.reason is not None:
                break
        if len(losses) < job.accumulate:
            break
        loss = sum(losses) / weights
        if not math.isfinite(loss):
            raise not_finite(f"the loss is {loss}", step)
        session.update(step)
        position = batches.end
        event = step_event(step, loss, time.perf_counter() - started, tokens or None)
        step += 1
        if step % job.checkpoint_every == 0 and step < job.total_steps:
            save(step)
        emit(event)
    save(step)
    emit(end_event(step, job.total_steps, stop.reason))


@contextmanager
def _keeping(save: Callable[[int], None], step: int) -> Iterator[None]:
    """What fails here has not touched the adapter, so the steps before it are kept."""
    try:
        yield
    except LowpeakError:
        # The failure that led here is the one to tell; the checkpoint before is intact.
        with suppress(LowpeakError):
            save(step)
        raise


def main(arguments: list[str], run: Callable[[Job, Emit, StopRequest], None] = run) -> int:
    """`job.json [--lock DESCRIPTOR]`: the descriptor is of the run's folder, as the parent has locked it. The
    exit code is lowpeak-runner's: 0, STOPPED, or 1.
    """
    stop = StopRequest()
    ask_by_signals(stop)
    output = Output(stop)
    torch.set_num_threads(1)
    stopped = False

    def emit(event: Event) -> None:
        nonlocal stopped
        stopped = event["event"] == "stopped"
        output.write(event)

    try:
        job = Job.from_json(Path(arguments[0]).read_text(encoding="utf-8"))
        descriptor = int(arguments[2]) if arguments[1:2] == ["--lock"] else None
        folder = None if job.checkpoint is None else Path(job.checkpoint).parent
        with nullcontext() if folder is None else joined(folder, descriptor):
            run(job, emit, stop)
    except Exception as error:
        emit(error_event(error))
        return 1
    if output.failure is not None:
        print(f"events cannot be written: {output.failure.strerror}", file=sys.stderr)
        return 1
    return STOPPED if stopped else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
