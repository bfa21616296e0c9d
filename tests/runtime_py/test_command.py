"""Which program trains an artifact, and how it is started."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lowpeak_artifact.errors import EnvironmentProblem
from lowpeak_artifact.manifest import Manifest
from lowpeak_artifact.python_process import python_process
from lowpeak_export.executorch.library import OPS_VARIABLE, RUNNER_VARIABLE
from lowpeak_runtime.train.command import worker_command
from lowpeak_runtime.train.trainer import train
from tests.export.blank import blank_manifest
from tests.runtime_py.trainable import trainable_artifact, trainable_step


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A runner that is there."""
    file = tmp_path / "runner"
    file.touch()
    monkeypatch.setenv(RUNNER_VARIABLE, str(file))
    return file


@pytest.fixture
def no_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(RUNNER_VARIABLE, str(tmp_path / "nothing"))


def manifest(**changes: str) -> Manifest:
    return replace(blank_manifest(), **{"target": "executorch", "kernels": "stock", **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("engine", ["auto", "native"])
def test_the_runner_where_it_is(program: Path, engine) -> None:
    command = worker_command(manifest(), engine)
    assert command.engine == "native"
    assert command.arguments == (str(program), "--metrics", "--no-verify")


def test_our_kernels_come_along(program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(OPS_VARIABLE, str(tmp_path / "ops.so"))
    with pytest.raises(EnvironmentProblem, match=r"need .*ops\.so"):
        worker_command(manifest(kernels="lowpeak"), "auto")
    (tmp_path / "ops.so").touch()
    assert worker_command(manifest(kernels="lowpeak"), "auto").arguments[-2:] == (
        "--ops-library",
        str(tmp_path / "ops.so"),
    )


def test_else_the_python_worker(program: Path) -> None:
    for command in (
        worker_command(manifest(), "python"),
        worker_command(manifest(target="onnxruntime"), "auto"),
    ):
        assert command.engine == "python"
        assert command.arguments == python_process("lowpeak_runtime.train.worker")


def test_a_native_run_without_the_runner(no_program: None) -> None:
    assert worker_command(manifest(), "auto").engine == "python"
    with pytest.raises(EnvironmentProblem, match=r"no lowpeak-runner.*pip install.*engine='python'"):
        worker_command(manifest(), "native")
    with pytest.raises(EnvironmentProblem, match="compiled for onnxruntime"):
        worker_command(manifest(target="onnxruntime"), "native")


def test_a_program_that_cannot_be_started(program: Path, tmp_path: Path) -> None:
    artifact = trainable_artifact(tmp_path / "artifact", trainable_step())
    with pytest.raises(EnvironmentProblem, match="runner cannot be started: Permission denied"):
        train(artifact, steps=1)
