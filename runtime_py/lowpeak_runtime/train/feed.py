"""Batches for a process that trains, made while it does: a few files ahead of it, and gone once used.

What is made depends on the data and the seed alone, never on how far ahead it is made.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Condition, Thread

from lowpeak_runtime.data.batch_file import PreparedBatch, write_batch_file
from lowpeak_runtime.data.data import OnRead
from lowpeak_runtime.data.prepare import TrainingData
from lowpeak_runtime.data.summary import Summary
from lowpeak_runtime.train.session import Job

FILE_BYTES = 1 << 20
"""After which a file ends: the first is soon there, and a process that reads them holds no more of them."""
FILES_AHEAD = 4


@dataclass(frozen=True)
class _Piece:
    """Of a run: the batches of one file, and what was seen of the data up to each."""

    first: int
    batches: list[PreparedBatch]
    summaries: list[Summary | None]

    @property
    def limit(self) -> int:
        return self.first + len(self.batches)


def write_batches(job: Job, data: TrainingData, on_read: OnRead = lambda summary: None) -> Summary | None:
    """Writes all batches of the job into its folder -> what was seen of the data, None of given batches.

    Raises DataError and EnvironmentProblem.
    """
    folder = Path(job.batches)
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    summary = None
    for piece in _pieces(job, data, on_read):
        write_batch_file(folder, piece.first, piece.batches)
        summary = piece.summaries[-1]
    return summary


class Feed:
    """Writes the files of a streamed job, and deletes those whose steps have ended, if still there."""

    def __init__(self, job: Job, data: TrainingData, on_read: OnRead = lambda summary: None) -> None:
        """Writes the first one. `on_read` is told what is seen of the data until it is there.

        Raises DataError and EnvironmentProblem.
        """
        assert job.streamed
        self.error: Exception | None = None
        """Why there are no more batches, when that is not because all are there."""
        self.summary: Summary | None = None
        """What was seen of the data up to the end of the last step."""
        self._job = job
        self._folder = Path(job.batches)
        self._folder.mkdir(parents=True, mode=0o700)
        self._on_read = on_read
        self._pieces = _pieces(job, data, self._read)
        self._changed = Condition()
        self._stopped = False
        self._used = job.first_step * job.accumulate
        self._files: deque[tuple[int, Path]] = deque()
        self._summaries: deque[tuple[int, Summary | None]] = deque()
        self._limit = self._used
        self._write_next()
        self._on_read = self._raise_if_stopped

    @contextmanager
    def running(self, pipe: int, fail: Callable[[], None]) -> Iterator[None]:
        """Writes in a thread meanwhile; `pipe`, which it closes, gets a byte for each file. `fail` is called
        when no more can be made.
        """
        thread = Thread(target=self._run, args=(pipe, fail), name="feed", daemon=True)
        thread.start()
        try:
            yield
        finally:
            with self._changed:
                self._stopped = True
                self._changed.notify()
            thread.join()

    def ended(self, step: int) -> None:
        """The step's batches are not needed any more."""
        with self._changed:
            self._used = (step + 1) * self._job.accumulate
            while self._files and self._files[0][0] <= self._used:
                self._files.popleft()[1].unlink(missing_ok=True)
            while self._summaries and self._summaries[0][0] <= self._used:
                self.summary = self._summaries.popleft()[1]
            self._changed.notify()

    def _run(self, pipe: int, fail: Callable[[], None]) -> None:
        try:
            while self._wait() and self._write_next():
                # A process that has ended reads nothing.
                with suppress(BrokenPipeError):
                    os.write(pipe, b".")
        except _Stopped:
            pass
        except Exception as error:
            self.error = error
            fail()
        finally:
            os.close(pipe)

    def _wait(self) -> bool:
        """Until the next file is wanted; False when none is any more."""
        with self._changed:
            self._changed.wait_for(self._wanted)
            return not self._stopped

    def _wanted(self) -> bool:
        """A step may need more batches than all the files that would be enough for others."""
        return (
            self._stopped or len(self._files) < FILES_AHEAD or self._limit < self._used + self._job.accumulate
        )

    def _write_next(self) -> bool:
        """False when all are there."""
        piece = next(self._pieces, None)
        if piece is None:
            return False
        path = write_batch_file(self._folder, piece.first, piece.batches)
        with self._changed:
            self._files.append((piece.limit, path))
            self._summaries.extend(enumerate(piece.summaries, start=piece.first + 1))
            self._limit = piece.limit
        return True

    def _read(self, summary: Summary) -> None:
        self._on_read(summary)

    def _raise_if_stopped(self, summary: Summary) -> None:
        if self._stopped:
            raise _Stopped


class _Stopped(Exception):
    """Ends the making of batches that nobody wants any more."""


def _pieces(job: Job, data: TrainingData, on_read: OnRead) -> Iterator[_Piece]:
    """The job's batches, as many in each as fill a file."""
    first, limit = job.first_step * job.accumulate, job.total_steps * job.accumulate
    stream = data.batches(seed=job.seed, position=job.position, on_read=on_read)
    piece, size = _Piece(first, [], []), 0
    while piece.limit < limit:
        batch, summary = next(stream)
        piece.batches.append(batch)
        piece.summaries.append(summary)
        size += sum(tensor.nbytes for tensor in batch.inputs.values())
        if size >= FILE_BYTES or piece.limit == limit:
            yield piece
            piece, size = _Piece(piece.limit, [], []), 0
