"""Disks that fail lowpeak-runner: before the first step, and under the files that it has mapped."""

from __future__ import annotations

import dataclasses
import json
import os
import resource
import shutil
from pathlib import Path

import pytest

from lowpeak_artifact.artifact import Artifact
from lowpeak_artifact.errors import EnvironmentProblem
from lowpeak_runtime.data.prepare import training_data
from lowpeak_runtime.train.checkpoint import CHECKPOINT
from lowpeak_runtime.train.feed import write_batches
from lowpeak_runtime.train.session import Job
from lowpeak_runtime.train.trainer import train
from tests.disks import fill, mounted
from tests.native.build import run as build
from tests.native.runner import Ended, Runner, runner, use_runner
from tests.runtime_py.trainable import several_batches, trainable_artifact, trainable_step
from tests.tiny import TinyStep

STEPS = 20_000


@pytest.fixture(scope="module")
def tiny() -> TinyStep:
    return trainable_step()


@pytest.fixture(scope="module")
def artifact(tiny: TinyStep, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return trainable_artifact(tmp_path_factory.mktemp("disk") / "artifact", tiny)


@pytest.fixture(autouse=True)
def native(monkeypatch: pytest.MonkeyPatch) -> None:
    use_runner(monkeypatch)


def job_in(folder: Path, tiny: TinyStep, artifact: Artifact, steps: int = 4, work: Path | None = None) -> Job:
    job = Job.of(
        artifact, work or folder, steps=steps, checkpoint=folder / CHECKPOINT, checkpoint_every=STEPS
    )
    write_batches(job, training_data(artifact, several_batches(tiny.spec, 4)))
    return job


def ends_without(file: str, folder: Path, job: Job) -> dict[str, object]:
    """The last event of a run whose file is cut to nothing after its first step."""
    path = folder / "job.json"
    path.write_text(job.to_json())
    with Runner().start(path) as child:
        assert child.stdout is not None
        while json.loads(child.stdout.readline())["event"] != "step":
            pass
        os.truncate(_mapped(child.pid, file), 0)
        told, _ = child.communicate(timeout=100)
        assert child.returncode == 1
    last: dict[str, object] = json.loads(told.splitlines()[-1])
    assert (last["event"], last["class"]) == ("error", "EnvironmentProblem")
    return last


def _mapped(pid: int, name: str) -> str:
    """A file of a process by its beginning, which may have no name any more."""
    for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
        place, *_, path = line.split(maxsplit=5)
        if os.path.basename(path).startswith(name):
            return path if os.path.exists(path) else f"/proc/{pid}/map_files/{place}"
    raise AssertionError(f"{name} is not mapped")


@pytest.mark.parametrize("name", ["weights.ptd", "program.pte"])
def test_a_file_of_the_artifact_is_cut_while_it_is_in_use(
    name: str, tiny: TinyStep, artifact: Artifact, tmp_path: Path
) -> None:
    folder = tmp_path / 'a "copy" \\ of it, ü'
    copy = Artifact.open(shutil.copytree(artifact.path, folder))
    message = str(ends_without(name, tmp_path, job_in(tmp_path, tiny, copy, STEPS))["message"])
    assert message.startswith(f"{folder / name} was cut while it was in use: it has 0 bytes, and byte ")
    assert message.endswith(
        "Copy or make it again, and let nothing write to it meanwhile. Checkpoints are as they were"
    )


@pytest.mark.disk
def test_a_temporary_file_is_lost(tiny: TinyStep, artifact: Artifact, tmp_path: Path) -> None:
    message = str(ends_without("scratch-", tmp_path, job_in(tmp_path, tiny, artifact, STEPS))["message"])
    assert message.startswith(
        f"the disk has no room left, or fails, under the temporary file {tmp_path}/scratch-"
    )


def test_a_bus_error_that_is_sent_ends_it_as_ever(tiny: TinyStep, artifact: Artifact, tmp_path: Path) -> None:
    path = tmp_path / "job.json"
    path.write_text(job_in(tmp_path, tiny, artifact, STEPS).to_json())
    with Runner().start(path) as child:
        assert child.stdout is not None and child.stdout.readline()
        child.send_signal(7)
        child.communicate(timeout=100)
        assert child.returncode == -7


def refused(ended: Ended) -> str:
    assert ended.returncode == 1 and ended.losses == []
    assert ended.last["class"] == "EnvironmentProblem"
    return str(ended.last["message"])


def test_too_many_open_files(tiny: TinyStep, artifact: Artifact, tmp_path: Path) -> None:
    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (8, 8))

    ended = Runner(preexec=limit).run(job_in(tmp_path, tiny, artifact), tmp_path)
    assert ended.returncode == 1 and "Too many open files" in ended.last["message"]


@pytest.mark.disk
def test_room_is_looked_for_before_the_first_step(tiny: TinyStep, artifact: Artifact, tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", 4 << 20) as folder:
        fill(folder, but=70_000)
        job = Job.of(artifact, tmp_path, steps=4, checkpoint=folder / CHECKPOINT)
        write_batches(job, training_data(artifact, several_batches(tiny.spec, 4)))
        message = refused(Runner().run(job, tmp_path))
        assert (
            "bytes for 3 checkpoints of the run cannot be written" in message
            and f"to {folder}: No space left" in message
        )
        job = Job.of(artifact, folder, steps=4, checkpoint=tmp_path / CHECKPOINT)
        fill(folder, but=20_000)
        write_batches(job, training_data(artifact, several_batches(tiny.spec, 4)))
        message = refused(Runner().run(job, tmp_path))
        assert "the optimizer's state of" in message and "bytes are free; free" in message
        assert not list(folder.glob("scratch-*"))


def test_blocks_are_written_where_none_can_be_asked_for(
    tiny: TinyStep, artifact: Artifact, tmp_path: Path
) -> None:
    library = tmp_path / "no_fallocate.so"
    build("cc", "-shared", "-fPIC", "-o", str(library), str(Path(__file__).with_name("no_fallocate.c")))
    program = ("env", f"LD_PRELOAD={library}", str(runner()))
    job = dataclasses.replace(job_in(tmp_path, tiny, artifact), checkpoint=None)
    plain, shimmed = Runner().run(job, tmp_path), Runner(command=program).run(job, tmp_path)
    assert (shimmed.returncode, shimmed.losses) == (0, plain.losses)


@pytest.mark.disk
def test_temporary_files_in_memory_are_told_of(tiny: TinyStep, artifact: Artifact, tmp_path: Path) -> None:
    with mounted(tmp_path / "memory", 4 << 20, "tmpfs") as folder:
        ended = Runner().run(job_in(tmp_path, tiny, artifact, work=folder), tmp_path)
    notes = [event["note"] for event in ended.events if event["event"] == "note"]
    assert ended.returncode == 0
    assert any(f"{folder}, is in memory (tmpfs)" in note for note in notes)


@pytest.mark.disk
def test_a_disk_that_fills_under_the_metrics(artifact: Artifact, tmp_path: Path) -> None:
    """The process that trains finishes its step and saves."""
    with mounted(tmp_path / "disk", 1 << 20) as disk:
        fill(disk, but=1 << 13)
        with pytest.raises(EnvironmentProblem, match=r"metrics cannot be written to .*: No space left"):
            train(artifact, steps=STEPS, out=tmp_path / "out", metrics=disk / "metrics.ndjson")
    assert (tmp_path / "out" / CHECKPOINT).exists()
