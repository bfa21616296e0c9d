"""A training process seen from outside: small programs that tell events, hold memory, and end somehow."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from lowpeak_artifact.artifact import Artifact
from lowpeak_artifact.errors import ArtifactError, EnvironmentProblem
from lowpeak_runtime.train.command import Command
from lowpeak_runtime.train.session import Job
from lowpeak_runtime.train.stop import STOPPED, StopRequest
from lowpeak_runtime.train.supervisor import StepReport, WorkerRun, supervise
from tests.export.blank import WEIGHTS, write_blank

MB = 1_000_000
START = """
import json, os, signal, sys, time
job = json.loads(open(sys.argv[1]).read())
def tell(event, **fields):
    print(json.dumps({"event": event, **fields}), flush=True)
def ready(rss=10_000_000, anonymous=4_000_000):
    tell("ready", rss_bytes=rss, anonymous_bytes=anonymous, file_bytes=rss - anonymous)
def step(number, rss=11_000_000, anonymous=5_000_000):
    tell("step", step=number, loss=1.5, seconds=0.5, tokens_per_second=20.0, rss_bytes=rss,
         anonymous_bytes=anonymous)
"""


@pytest.fixture
def job(tmp_path: Path) -> Job:
    artifact = Artifact.open(write_blank(tmp_path / "artifact"))
    return Job.of(artifact, tmp_path, steps=2)


def run(
    job: Job, code: str, environment: Mapping[str, str] | None = None, stop: StopRequest | None = None
) -> WorkerRun:
    return supervise(job, Path(job.work), program(code, environment), stop=stop)


def program(code: str, environment: Mapping[str, str] | None = None) -> Command:
    return Command("python", (sys.executable, "-c", START + code), environment or {})


def test_steps_are_reported_as_they_end(job: Job) -> None:
    """Peaks are the largest so far; anonymous memory and what is held, beyond the baseline."""
    reports: list[StepReport] = []
    steps = "step(0, 905_000_000, 803_000_000); step(1, 902_000_000, 801_000_000)"
    code = f"ready(900_000_000, 800_000_000); {steps}"
    done = supervise(job, Path(job.work), program(code), reports.append)
    assert done.steps == reports and [each.step for each in reports] == [0, 1]
    assert (reports[1].loss, reports[1].seconds, reports[1].tokens_per_second) == (1.5, 0.5, 20.0)
    assert (reports[1].rss_bytes, reports[1].anonymous_bytes) == (902 * MB, 801 * MB)
    for each in (*reports, done):
        assert each.peak_rss_bytes == 905 * MB
        assert (each.peak_anonymous_bytes, each.peak_held_bytes) == (3 * MB, 5 * MB)
    assert done.stop_reason is None


def test_of_a_native_process_all_memory_is_held_against_the_budget() -> None:
    held = WorkerRun("native")
    held.saw(12 * MB, 5 * MB)
    assert held.peak_held_bytes == 12 * MB


def test_memory_between_the_events_is_seen(job: Job) -> None:
    """What was held before the baseline is not."""
    code = """
block = bytearray(b"x" * 150_000_000); time.sleep(0.1); del block
ready(); time.sleep(0.1)
block = bytearray(b"x" * 60_000_000); time.sleep(0.2); del block
step(0)
"""
    assert 64 * MB < run(job, code).peak_rss_bytes < 140 * MB


def test_the_process_gets_job_variables_and_an_empty_stdin(job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIVEN", "by the user")
    monkeypatch.setenv("KEPT", "kept")
    code = """
told = [job["total_steps"], os.environ["GIVEN"], os.environ["KEPT"], sys.stdin.read(), sys.argv[2:]]
tell("error", **{"class": "ArtifactError", "message": repr(told), "numbers": {}})
"""
    with pytest.raises(ArtifactError) as caught:
        run(job, code, {"GIVEN": "by the command"})
    assert str(caught.value) == repr([2, "by the command", "kept", "", []])


def test_the_lock_is_handed_on(job: Job, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    lock = os.open(tmp_path / "run", os.O_RDONLY)
    code = """
assert sys.argv[2] == "--lock"
same = os.path.samestat(os.fstat(int(sys.argv[3])), os.stat(job["work"] + "/run"))
tell("note", note=f"the folder's: {same}")
"""
    notes: list[str] = []
    try:
        supervise(job, Path(job.work), program(code), tell=notes.append, lock=lock)
    finally:
        os.close(lock)
    assert notes == ["the folder's: True"]


def test_the_error_that_it_met_is_raised(job: Job) -> None:
    code = """
tell("error", **{"class": "ArtifactError", "message": "no such file", "numbers": {"bytes": 7}})
sys.exit(1)
"""
    with pytest.raises(ArtifactError, match=r"^no such file$") as caught:
        run(job, code)
    assert caught.value.numbers == {"bytes": 7}
    with pytest.raises(RuntimeError, match="KeyError: 'x'"):
        run(job, """tell("error", **{"class": "KeyError", "message": "'x'", "numbers": {}})""")


@pytest.mark.parametrize("checkpoint", [None, "checkpoint"])
def test_one_that_is_killed(job: Job, checkpoint: str | None) -> None:
    code = "ready(); step(0, 777_000_000); os.kill(os.getpid(), signal.SIGKILL)"
    with pytest.raises(EnvironmentProblem, match="killed after 1 steps, holding 777000000 bytes") as caught:
        run(replace(job, checkpoint=checkpoint), code)
    assert caught.value.numbers == {"steps": 1, "peak_rss_bytes": 777 * MB}
    assert str(caught.value).endswith("; resume from the last checkpoint") == bool(checkpoint)


def test_one_whose_files_were_cut(job: Job) -> None:
    file = Path(job.artifact) / WEIGHTS
    file.write_bytes(b"pay")
    with pytest.raises(EnvironmentProblem, match=rf"{WEIGHTS} of the artifact .* 3 bytes instead of 7"):
        run(job, "ready(); os.kill(os.getpid(), signal.SIGBUS)")


@pytest.mark.parametrize(
    ("code", "how"),
    [
        ("print('first', file=sys.stderr); sys.exit('last words')", "ended with exit code 1: last words$"),
        ("os._exit(7)", "ended with exit code 7$"),
        ("os.kill(os.getpid(), signal.SIGABRT)", "ended with SIGABRT$"),
        ('sys.stdout.write(\'{"event": "st\'); sys.stdout.flush(); os._exit(7)', "exit code 7$"),
    ],
)
def test_one_that_ends_otherwise(code: str, how: str, job: Job) -> None:
    with pytest.raises(EnvironmentProblem, match=how):
        run(job, code)


def test_a_program_that_is_not_there(job: Job) -> None:
    before = os.listdir("/proc/self/fd")
    with pytest.raises(EnvironmentProblem, match="/no/program cannot be started: No such file"):
        supervise(job, Path(job.work), Command("native", ("/no/program",), {}))
    assert os.listdir("/proc/self/fd") == before


STOPS = f"""
def stop(number, frame):
    step(1); tell("stopped", step=2, reason="it was asked"); os._exit({STOPPED})
signal.signal(signal.SIGTERM, stop)
signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM])
ready(); step(0)
time.sleep(60)
"""


def test_a_wish_to_stop_lets_it_end_its_step(job: Job) -> None:
    wish = StopRequest()

    def ask(report: StepReport) -> None:
        if report.step == 0:
            wish.ask("SIGHUP")

    done = supervise(job, Path(job.work), program(STOPS), ask, stop=wish)
    assert [each.step for each in done.steps] == [0, 1] and done.stop_reason == "SIGHUP"


def test_it_says_itself_why_it_stopped(job: Job) -> None:
    code = f"ready(); step(0); tell('stopped', step=1, reason='memory pressure'); os._exit({STOPPED})"
    assert run(job, code).stop_reason == "memory pressure"
    assert run(job, f"ready(); os._exit({STOPPED})").stop_reason == "it does not say why"


def test_a_wish_that_comes_before_it_can_be_heeded_loses_nothing(job: Job) -> None:
    wish = StopRequest()
    wish.ask("SIGTERM")
    code = "signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGTERM]); time.sleep(60)"
    done = run(job, code, stop=wish)
    assert done.stop_reason == "SIGTERM" and done.steps == []
    with pytest.raises(EnvironmentProblem, match="ended with SIGTERM"):
        run(job, "ready(); os.kill(os.getpid(), signal.SIGTERM); " + code)


def test_what_a_listener_raises_ends_it_after_its_step(job: Job, tmp_path: Path) -> None:
    """And goes on from here; the process is gone by then."""
    code = STOPS.replace("step(1);", f"time.sleep(0.2); open({str(tmp_path / 'saved')!r}, 'w');")

    def fail(report: StepReport) -> None:
        raise ZeroDivisionError(report.step)

    with pytest.raises(ZeroDivisionError):
        supervise(job, Path(job.work), program(code), fail)
    assert (tmp_path / "saved").exists()


def test_signals_are_held_back_until_it_heeds_them(job: Job) -> None:
    """And are those of this process again once it is started."""
    code = "tell('note', note=str(signal.SIGTERM in signal.pthread_sigmask(signal.SIG_BLOCK, [])))"
    notes: list[str] = []
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
    supervise(job, Path(job.work), program(code), tell=notes.append)
    assert notes == ["True"] and signal.pthread_sigmask(signal.SIG_BLOCK, []) == before
