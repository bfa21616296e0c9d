"""The process that trains: `python -m runtime_py.worker job.json` -> the events of runtime_py/events.py.

It imports torch and the runtime only; what it holds beyond the baseline is there because of training.
"""

from __future__ import annotations

import fcntl
import json
import math
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch

from compiler.errors import ArtifactError, LowpeakError
from runtime_py.batch_file import BatchFolder
from runtime_py.events import Event, end_event, error_event, ready_event, step_event
from runtime_py.optimizer import not_finite
from runtime_py.session import Job, open_session, prepare_process

Emit = Callable[[Event], None]


class StopRequest:
    """Made by a signal, or when nobody reads the events any more; looked at between batches."""

    def __init__(self) -> None:
        self.reason: str | None = None
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._handle)

    def _handle(self, number: int, frame: object) -> None:
        self.reason = signal.Signals(number).name


def run(job: Job, emit: Emit, stop: StopRequest) -> None:
    """Trains from `first_step` to `total_steps`, or until asked to stop; then writes the checkpoint."""
    manifest = job.read_manifest()
    prepare_process(manifest, job.optimizer)
    emit(ready_event())

    checkpoint = None if job.checkpoint is None else Path(job.checkpoint)
    batches = BatchFolder(job.batches, streamed=job.streamed)
    with _only_writer(checkpoint):
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


@contextmanager
def _only_writer(checkpoint: Path | None) -> Iterator[None]:
    """Holds the lock on the checkpoint's folder. Raises ArtifactError when another process trains there."""
    if checkpoint is None:
        yield
        return
    descriptor = os.open(checkpoint.parent, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ArtifactError(
                f"another process still trains into {checkpoint.parent}: wait for its end, or give a new "
                "folder"
            ) from error
        yield
    finally:
        os.close(descriptor)


def main(arguments: list[str], run: Callable[[Job, Emit, StopRequest], None] = run) -> int:
    stop = StopRequest()
    # What a library prints must not end up between the events.
    events = os.dup(1)
    os.dup2(2, 1)
    torch.set_num_threads(1)

    def emit(event: Event) -> None:
        try:
            os.write(events, (json.dumps(event) + "\n").encode())
        except BrokenPipeError:
            stop.reason = "nobody reads the events"

    try:
        run(Job.from_json(Path(arguments[0]).read_text(encoding="utf-8")), emit, stop)
    except Exception as error:
        emit(error_event(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
