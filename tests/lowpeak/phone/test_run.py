"""A runner's events as they come from a phone."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lowpeak.phone.run import follow
from lowpeak_artifact.errors import DataError
from lowpeak_runtime.train.supervisor import StepReport, WorkerRun


def line(**event: Any) -> bytes:
    return json.dumps(event).encode() + b"\n"


READY = line(event="ready", rss_bytes=10, anonymous_bytes=4, file_bytes=6)


def step(number: int, peak: int) -> bytes:
    return line(
        event="step", step=number, loss=2.5, seconds=0.5, tokens_per_second=None, rss_bytes=20,
        anonymous_bytes=9, peak_rss_bytes=peak, peak_anonymous_bytes=5, planned_peak_bytes=1,
        planned_anonymous_bytes=1,
    )  # fmt: skip


def test_steps_and_peaks_are_those_that_the_phone_tells() -> None:
    run, seen = WorkerRun("native"), list[StepReport]()
    told = [READY, step(0, 30), step(1, 40), line(event="stopped", step=2, reason="SIGTERM")]
    assert follow(told, run, seen.append) is None
    assert (seen, run.stop_reason, run.peak_rss_bytes, run.peak_anonymous_bytes) == (
        run.steps,
        "SIGTERM",
        40,
        5,
    )
    assert [(each.step, each.peak_rss_bytes, each.peak_held_bytes) for each in seen] == [
        (0, 30, 30),
        (1, 40, 40),
    ]


def test_an_error_is_the_one_that_the_runner_met() -> None:
    error = follow(
        [READY, line(event="error", **{"class": "DataError"}, message="m", numbers={"step": 3})], WorkerRun()
    )
    assert isinstance(error, DataError) and error.numbers == {"step": 3}


def test_notes_are_told_and_end_nothing() -> None:
    run, notes = WorkerRun("native"), list[str]()
    told = [READY, line(event="note", note="3 threads", threads=3), step(0, 30), line(event="done", step=1)]
    assert follow(told, run, None, notes.append) is None
    assert (notes, len(run.steps), run.stop_reason) == (["3 threads"], 1, None)


def test_a_line_that_was_cut_is_no_event() -> None:
    run = WorkerRun("native")
    assert follow([READY, step(0, 1), step(1, 1)[:-5]], run) is None
    assert len(run.steps) == 1


@pytest.mark.parametrize("peaks", [(50, 40), (40, 50)])
def test_the_peak_is_the_most_of_all_steps(peaks: tuple[int, int]) -> None:
    run = WorkerRun("native")
    follow([READY, *(step(i, peak) for i, peak in enumerate(peaks))], run)
    assert run.peak_rss_bytes == 50
