"""What a run needs of its disks, found out before it begins; and what is said of a disk that fails later."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest
import torch

from lowpeak import compile_for_device
from lowpeak.cli import main
from lowpeak_artifact.artifact import Artifact
from lowpeak_artifact.errors import EnvironmentProblem, told_as_environment_problem, told_as_model_error
from lowpeak_runtime.data.prepare import training_data
from lowpeak_runtime.train import preflight
from lowpeak_runtime.train.checkpoint import CHECKPOINT
from lowpeak_runtime.train.feed import write_batches
from lowpeak_runtime.train.optimizer import OptimizerOptions
from lowpeak_runtime.train.session import Job
from lowpeak_runtime.train.supervisor import StepReport
from lowpeak_runtime.train.trainer import prepare, train
from tests.disks import fill, mounted
from tests.runtime_py.trainable import several_batches, trainable_artifact, trainable_step
from tests.tiny import TinyStep, tiny_llama

ADAMW = OptimizerOptions()
NO_DATA = "there-is-no-such-file.jsonl"
"""Disks are asked before data is looked for."""


@pytest.fixture(scope="module")
def tiny() -> TinyStep:
    return trainable_step()


@pytest.fixture(scope="module")
def artifact(tiny: TinyStep, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return trainable_artifact(tmp_path_factory.mktemp("preflight") / "artifact", tiny)


def test_sizes_are_those_of_the_files(tiny: TinyStep, artifact: Artifact, tmp_path: Path) -> None:
    data = several_batches(tiny.spec, 4)
    train(artifact, data, steps=2, out=tmp_path / "out", optimizer=ADAMW, engine="python")
    found = os.path.getsize(tmp_path / "out" / CHECKPOINT)
    assert found * 0.7 < preflight.checkpoint_bytes(artifact.manifest, ADAMW) < found * 1.3
    job = Job.of(artifact, tmp_path, steps=8)
    write_batches(job, training_data(artifact, data))
    (file,) = Path(job.batches).iterdir()
    assert 0 <= file.stat().st_size - 8 * preflight.batch_bytes(artifact.manifest.largest) < 2000
    sgd = OptimizerOptions("sgd", 0.1)
    assert preflight.state_bytes(artifact.manifest, sgd) == 0
    assert len(preflight.files_of_out(artifact.manifest, sgd)) == 4
    assert len(preflight.files_of_out(artifact.manifest, sgd, present=2, adapter=False)) == 1


def test_a_run_folder_that_cannot_be_written(artifact: Artifact) -> None:
    for verb in (train, prepare):
        with pytest.raises(EnvironmentProblem, match=r"/sys/out .*cannot be written.*--out"):
            verb(artifact, NO_DATA, steps=5, out="/sys/out")
    with pytest.raises(EnvironmentProblem, match=r"artifact cannot be written to /sys: .*--out"):
        compile_for_device("no-such-model", 20, seq_len=16, out="/sys/artifact")


def test_data_of_more_bytes_than_the_disk_has(artifact: Artifact, tmp_path: Path) -> None:
    with pytest.raises(
        EnvironmentProblem, match=rf"needed in {tmp_path}/out for the data as {1 << 50} batches"
    ):
        prepare(artifact, NO_DATA, steps=1 << 50, out=tmp_path / "out")
    assert os.listdir(tmp_path) == []


@pytest.mark.thorough
def test_weights_cut_while_they_are_in_use(tiny: TinyStep, artifact: Artifact, tmp_path: Path) -> None:
    copy = shutil.copytree(artifact.path, tmp_path / "artifact")

    def cut(step: StepReport) -> None:
        os.truncate(copy / "weights.ptd", 0)

    told = r"weights\.ptd of the artifact .* was changed while it was in use: it has 0 bytes instead of \d+"
    with pytest.raises(EnvironmentProblem, match=told):
        train(copy, several_batches(tiny.spec, 4), steps=1 << 20, engine="python", on_step=cut)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(28, "No space left on device"), "the disk is full"),
        (OSError(28, "No space left on device", "/a/b"), "/a/b: the disk is full"),
        (OSError(5, "Input/output error", "/a/b"), "dmesg"),
        (OSError(24, "Too many open files"), "ulimit -n"),
        (OSError(122, "Disk quota exceeded", "/a"), "the quota on this disk is used up"),
        (MemoryError(), "the system has no memory left"),
        (RuntimeError("I/O error: No space left on device (os error 28)"), "the disk is full"),
    ],
)
def test_errors_of_the_system_are_no_bugs(
    error: Exception, words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for telling in (told_as_environment_problem(), told_as_model_error("a model")):
        if isinstance(error, OSError) and telling.gen.__name__ == "told_as_model_error":  # type: ignore[attr-defined]
            continue
        with pytest.raises(EnvironmentProblem, match=words), telling:
            raise error

    def fail(*arguments: object, **options: object) -> None:
        raise error

    monkeypatch.setattr("lowpeak.cli.app", fail)
    assert main([]) == 1
    said = capsys.readouterr().err
    assert words in said and "bug" not in said


def test_a_failed_allocation_of_torch_is_told() -> None:
    with pytest.raises(EnvironmentProblem, match="no memory left"), told_as_environment_problem():
        torch.empty(1 << 55, dtype=torch.uint8)


@pytest.mark.disk
def test_a_full_disk_is_told_at_the_start(
    artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with mounted(tmp_path / "disk", 4 << 20) as folder:
        fill(folder, but=50_000)
        for verb in (train, prepare):
            with pytest.raises(EnvironmentProblem, match=rf"are free there \(ext4 at {folder}\)"):
                verb(artifact, NO_DATA, steps=5000, out=folder / "out")
        monkeypatch.setenv("TMPDIR", str(folder))
        monkeypatch.setattr(tempfile, "tempdir", None)
        with pytest.raises(
            EnvironmentProblem, match=r"\d+ bytes are needed in .* for the run's temporary files.*by TMPDIR"
        ):
            train(artifact, NO_DATA, steps=5000, out=tmp_path / "out")
        assert sorted(os.listdir(folder)) == ["filler", "lost+found"]
    assert not (tmp_path / "out").exists()


@pytest.mark.disk
def test_a_disk_without_room_for_the_artifact(tmp_path: Path) -> None:
    said: list[str] = []
    with mounted(tmp_path / "disk", 4 << 20) as folder:
        fill(folder, but=50_000)
        with pytest.raises(
            EnvironmentProblem, match=rf"\d+ bytes are needed in {folder}/a for the artifact;"
        ):
            compile_for_device(tiny_llama(), 100, seq_len=16, out=folder / "a" / "b", progress=said.append)
        assert "planning memory" in said and not any(words.startswith("planning memory,") for words in said)
        assert sorted(os.listdir(folder)) == ["filler", "lost+found"]


@pytest.mark.disk
def test_a_disk_that_fills_while_an_artifact_is_written(tmp_path: Path) -> None:
    with mounted(tmp_path / "disk", 4 << 20) as folder:

        def progress(words: str) -> None:
            if words == "writing weights":
                fill(folder)

        with pytest.raises(EnvironmentProblem, match=r"the disk is full: the artifact .* needs"):
            compile_for_device(tiny_llama(), 100, seq_len=16, out=folder / "artifact", progress=progress)
        assert sorted(os.listdir(folder)) == ["filler", "lost+found"]
