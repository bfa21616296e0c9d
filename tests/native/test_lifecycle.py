"""A trainer alone, of both kinds: what it refuses to replace, what it never waits for, how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from lowpeak_artifact.artifact import Artifact
from lowpeak_artifact.folder_lock import locked
from lowpeak_runtime.data.prepare import training_data
from lowpeak_runtime.train.checkpoint import CHECKPOINT, read_progress
from lowpeak_runtime.train.command import python_command
from lowpeak_runtime.train.feed import write_batches
from lowpeak_runtime.train.session import Job
from lowpeak_runtime.train.stop import STOPPED
from tests.native.runner import runner
from tests.runtime_py.trainable import several_batches, trainable_artifact, trainable_step
from tests.tiny import TinyStep

MANY = 5000


@pytest.fixture(scope="module")
def tiny() -> TinyStep:
    return trainable_step(rows=10)


@pytest.fixture(scope="module")
def artifact(tiny: TinyStep, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return trainable_artifact(tmp_path_factory.mktemp("lifecycle") / "artifact", tiny)


@pytest.fixture(params=["native", pytest.param("python", marks=pytest.mark.slow)])
def command(request: pytest.FixtureRequest) -> Sequence[str]:
    """The worker takes seconds to start: `pytest -m slow` has it."""
    return [str(runner())] if request.param == "native" else python_command().arguments


@pytest.fixture
def job(tiny: TinyStep, artifact: Artifact, tmp_path: Path) -> Path:
    """Of many steps."""
    result = Job.of(artifact, tmp_path, steps=MANY, checkpoint=tmp_path / CHECKPOINT, checkpoint_every=MANY)
    write_batches(result, training_data(artifact, several_batches(tiny.spec, 4)))
    file = tmp_path / "job.json"
    file.write_text(result.to_json())
    return file


def shorter(job: Path, steps: int) -> Path:
    job.write_text(json.dumps({**json.loads(job.read_text()), "total_steps": steps}))
    return job


def environment() -> dict[str, str]:
    # A sanitizer that is preloaded into Python is not the runner's.
    kept = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    return {**kept, **python_command().environment}


def run(command: Sequence[str], *arguments: str | Path) -> tuple[int, dict[str, object]]:
    done = subprocess.run([*command, *map(str, arguments)], capture_output=True, env=environment())
    return done.returncode, json.loads(done.stdout.splitlines()[-1])


def test_a_run_that_begins_replaces_no_other(command: Sequence[str], job: Path) -> None:
    checkpoint = job.with_name(CHECKPOINT)
    assert run(command, shorter(job, 2)) == (0, {"event": "done", "step": 2})
    before = checkpoint.read_bytes()
    code, last = run(command, shorter(job, 3))
    assert code == 1 and last["class"] == "ArtifactError" and last["numbers"] == {"steps": 2}
    assert f"{job.parent} holds a training run of 2 steps: resume it" in str(last["message"])
    assert checkpoint.read_bytes() == before


def test_it_joins_the_lock_of_its_parent_only(command: Sequence[str], job: Path) -> None:
    shorter(job, 2)
    with locked(job.parent) as descriptor:
        code, last = run(command, job)
        assert code == 1 and f"(process {os.getpid()}) still trains into" in str(last["message"])
        done = subprocess.run(
            [*command, str(job), "--lock", str(descriptor)],
            capture_output=True,
            env=environment(),
            pass_fds=[descriptor],
        )
        assert done.returncode == 0, done.stdout
        other = os.open("/", os.O_RDONLY)
        done = subprocess.run(
            [*command, str(job), "--lock", str(other)],
            capture_output=True,
            env=environment(),
            pass_fds=[other],
        )
        os.close(other)
    assert b"is not of the folder" in done.stdout


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_full_pipe_does_not_keep_it_from_stopping(
    command: Sequence[str], job: Path, number: signal.Signals
) -> None:
    reading, writing = os.pipe()
    with subprocess.Popen([*command, str(job)], stdout=writing, env=environment()) as child:
        os.close(writing)
        wait_until_blocked(child.pid)
        child.send_signal(number)
        assert child.wait(timeout=60) == STOPPED
    assert 0 < read_progress(job.with_name(CHECKPOINT)).step < MANY
    os.close(reading)


def wait_until_blocked(pid: int) -> None:
    """The pipe is full: the process waits for room in it, and goes on waiting."""
    looks, deadline = 0, time.monotonic() + 120
    while looks < 20:
        assert time.monotonic() < deadline, "it is not blocked"
        looks = looks + 1 if "poll" in Path(f"/proc/{pid}/wchan").read_text() else 0
        time.sleep(0.05)


def test_signals_that_were_held_back_stop_it_before_a_step(command: Sequence[str], job: Path) -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    child = subprocess.Popen([*command, str(job)], stdout=subprocess.PIPE, env=environment())
    child.send_signal(signal.SIGTERM)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    out, _ = child.communicate()
    last = json.loads(out.splitlines()[-1])
    assert (child.returncode, last["event"], last["reason"]) == (STOPPED, "stopped", "SIGTERM")
    assert last["step"] < MANY


def test_a_pipe_in_place_of_the_job(job: Path) -> None:
    job.unlink()
    os.mkfifo(job)
    code, last = run([str(runner())], job)
    assert code == 1 and "job.json cannot be read" in str(last["message"])


def test_a_stdout_that_takes_nothing(job: Path) -> None:
    for redirected, expected in (
        (">&-", "stdout is closed"),
        ("> /dev/full", "events cannot be written to stdout: No space left on device"),
    ):
        script = f"exec {runner()} {job} {redirected}"
        done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, env=environment())
        assert done.returncode == 1 and expected in done.stderr
        job.with_name(CHECKPOINT).unlink(missing_ok=True)
    with subprocess.Popen([str(runner()), str(job)], stdout=subprocess.PIPE, env=environment()) as child:
        assert child.stdout is not None
        child.stdout.close()
        assert child.wait() == STOPPED


def test_the_third_interrupt_ends_it(job: Path) -> None:
    reading, writing = os.pipe()
    with subprocess.Popen([str(runner()), str(job)], stdout=writing, stderr=subprocess.PIPE) as child:
        os.close(writing)
        wait_until_blocked(child.pid)
        for _ in range(3):
            child.send_signal(signal.SIGINT)
            time.sleep(0.1)
        _, said = child.communicate()
        assert child.returncode == 130 and b"a third interrupt ends it at once" in said
    os.close(reading)
