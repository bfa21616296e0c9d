"""What lowpeak-runner says of memory pressure that it cannot see, and who is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from lowpeak_artifact.artifact import Artifact
from lowpeak_export.executorch.library import RUNNER_VARIABLE
from lowpeak_runtime.train.checkpoint import CHECKPOINT
from lowpeak_runtime.train.trainer import train
from tests.native.runner import runner, use_runner
from tests.runtime_py.trainable import several_batches, trainable_artifact, trainable_step
from tests.tiny import TinyStep

WORDS = "the run stops by itself for its budget only"


@pytest.fixture(scope="module")
def tiny() -> TinyStep:
    return trainable_step(rows=10)


@pytest.fixture(scope="module")
def artifact(tiny: TinyStep, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return trainable_artifact(tmp_path_factory.mktemp("notes") / "artifact", tiny)


def runner_with(patch: pytest.MonkeyPatch, folder: Path, pressure: Path) -> None:
    """`train` finds the runner, which looks for memory pressure in the file."""
    use_runner(patch)
    program = folder / "runner"
    program.write_text(f'#!/bin/sh\nexec "{runner()}" --pressure-file "{pressure}" "$@"\n')
    program.chmod(0o755)
    patch.setenv(RUNNER_VARIABLE, str(program))


def test_pressure_that_cannot_be_read_is_told_once_and_stops_nothing(
    tiny: TinyStep, artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, told = several_batches(tiny.spec, 4), list[str]()
    expected = train(artifact, data, steps=3, out=tmp_path / "expected", engine="python", tell=told.append)
    assert told == []
    missing = tmp_path / "no pressure"
    runner_with(monkeypatch, tmp_path, missing)
    report = train(artifact, data, steps=3, out=tmp_path / "run", engine="native", tell=told.append)
    (note,) = told
    assert f"as {missing} cannot be read (No such file or directory)" in note and WORDS in note
    assert (report.steps, report.stop_reason) == (3, None)
    assert report.losses == pytest.approx(expected.losses, abs=1e-6)


def test_a_file_of_another_kind_is_no_pressure(
    tiny: TinyStep, artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = list[str]()
    other = tmp_path / "other"
    other.write_text("full avg10=99.00\n")
    runner_with(monkeypatch, tmp_path, other)
    train(artifact, several_batches(tiny.spec, 4), steps=1, engine="native", tell=told.append)
    assert len(told) == 1 and "it has no line of some avg10" in told[0]


def test_nothing_is_said_where_pressure_is_watched(
    tiny: TinyStep, artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = list[str]()
    calm = tmp_path / "calm"
    calm.write_text("some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n")
    runner_with(monkeypatch, tmp_path, calm)
    data = several_batches(tiny.spec, 4)
    assert train(artifact, data, steps=1, engine="native", tell=told.append).steps == 1
    assert told == []
    # It is looked at as before: tasks that wait stop the run.
    calm.write_text("some avg10=80.00 avg60=0.00 avg300=0.00 total=0\n")
    report = train(artifact, data, steps=2, out=tmp_path / "run", engine="native", tell=told.append)
    assert report.stop_reason is not None and report.stop_reason.startswith("memory pressure")
    assert told == [] and not (tmp_path / "run" / CHECKPOINT).exists()
