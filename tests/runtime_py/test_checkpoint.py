"""A checkpoint restores every bit, is whole or absent, and is taken for no other run's."""

from __future__ import annotations

import dataclasses
import resource
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from compiler.errors import ArtifactError, EnvironmentProblem
from runtime_py.checkpoint import (
    Progress,
    load_adapter,
    read_progress,
    require_same_run,
    restore_checkpoint,
    save_checkpoint,
)
from runtime_py.optimizer import AdapterOptimizer, OptimizerOptions

PROGRESS = Progress(artifact="a" * 64, step=3, seed=5, options="{}", data="d" * 64, position=7)


def tensors(seed: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    generator = torch.Generator().manual_seed(seed)
    adapter = {
        "x.lora_A": torch.randn(4, 8, generator=generator),
        "x.lora_B": torch.randn(8, 4, generator=generator).to(torch.bfloat16),
    }
    return adapter, {"step.x": torch.tensor(3.0), "exp_avg.x": torch.randn(4, 8, generator=generator)}


def test_everything_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    adapter, state = tensors(0)
    save_checkpoint(path, PROGRESS, adapter, state)
    assert read_progress(path) == PROGRESS
    other_adapter, other_state = tensors(1)
    assert restore_checkpoint(path, PROGRESS, other_adapter, other_state) == 3
    for before, after in ((adapter, other_adapter), (state, other_state), (adapter, load_adapter(path))):
        assert before.keys() == after.keys()
        assert all(torch.equal(before[name], after[name]) for name in before)
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize(
    "options",
    [
        OptimizerOptions(learning_rate=0.05, weight_decay=0.1),
        OptimizerOptions(algorithm="sgd", learning_rate=0.05, momentum=0.9),
    ],
    ids=["adamw", "sgd"],
)
def test_three_and_three_steps_are_six(tmp_path: Path, options: OptimizerOptions) -> None:
    def start() -> tuple[dict[str, Tensor], dict[str, Tensor], AdapterOptimizer]:
        parameters = {"p": torch.linspace(-1, 1, 12).view(3, 4)}
        gradients = {"p": torch.zeros(3, 4)}
        return parameters, gradients, AdapterOptimizer(parameters, gradients, options, 6)

    def train(parameters: dict, gradients: dict, optimizer: AdapterOptimizer, steps: range) -> None:
        for step in steps:
            gradients["p"].copy_(torch.sin(parameters["p"] * (step + 1)))
            optimizer.update(step)

    straight = start()
    train(*straight, range(6))
    first = start()
    train(*first, range(3))
    path = tmp_path / "c.safetensors"
    save_checkpoint(path, PROGRESS, first[0], first[2].state)
    second = start()
    restore_checkpoint(path, PROGRESS, second[0], second[2].state)
    train(*second, range(3, 6))
    assert torch.equal(second[0]["p"], straight[0]["p"])
    assert all(torch.equal(second[2].state[name], t) for name, t in straight[2].state.items())


@pytest.fixture
def file_size_limit() -> Iterator[None]:
    """Files of this process end at 4 KiB: writing on gives EFBIG, as a full disk gives ENOSPC."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    signal.signal(signal.SIGXFSZ, handler)


def test_no_room_leaves_the_earlier_checkpoint(tmp_path: Path, file_size_limit: None) -> None:
    path = tmp_path / "c.safetensors"
    save_checkpoint(path, PROGRESS, *tensors(0))
    before = path.read_bytes()
    with pytest.raises(EnvironmentProblem, match="no room; the earlier checkpoint is intact") as problem:
        save_checkpoint(path, PROGRESS, {"x": torch.zeros(100, 100)}, {})
    assert problem.value.numbers["bytes"] == 40000
    assert path.read_bytes() == before and [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_checkpoints_of_other_runs(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    adapter, state = tensors(0)
    save_checkpoint(path, PROGRESS, adapter, state)
    for change, message in (
        ({"artifact": "b" * 64}, "another artifact"),
        ({"seed": 6}, "seed 5, now it is 6"),
        ({"options": '{"learning_rate": 1}'}, "options"),
        ({"data": "e" * 64}, r"other data \(sha256 d{12}, now it is e{12}\): resume with that data"),
    ):
        with pytest.raises(ArtifactError, match=message):
            require_same_run(path, PROGRESS, dataclasses.replace(PROGRESS, **change))
    with pytest.raises(ArtifactError, match=r"adapter\.x\.lora_B is in only one"):
        restore_checkpoint(path, PROGRESS, {"x.lora_A": adapter["x.lora_A"]}, state)
    with pytest.raises(ArtifactError, match=r"has shape \[4, 8\], not \[8, 4\]"):
        restore_checkpoint(path, PROGRESS, {**adapter, "x.lora_A": torch.zeros(8, 4)}, state)


@pytest.mark.parametrize("kept", [0, 6, 100, -1])
def test_damaged_files(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "c.safetensors"
    save_checkpoint(path, PROGRESS, *tensors(0))
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ArtifactError, match=r"c\.safetensors"):
        restore_checkpoint(path, PROGRESS, *tensors(0))
    with pytest.raises(ArtifactError, match=r"c\.safetensors"):
        read_progress(tmp_path / "none" / "c.safetensors")
