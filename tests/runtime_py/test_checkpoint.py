"""A checkpoint restores every bit, is whole or absent, and is taken for no other run's."""

from __future__ import annotations

import dataclasses
import errno
import resource
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from lowpeak_artifact import whole_file
from lowpeak_artifact.errors import ArtifactError, DataError, EnvironmentProblem
from lowpeak_runtime.train.checkpoint import (
    CHECKPOINT,
    Progress,
    previous_of,
    read_progress,
    require_same_run,
)
from lowpeak_runtime.train.checkpoint_tensors import (
    copy_state,
    load_adapter,
    restore_checkpoint,
    save_checkpoint,
)
from lowpeak_runtime.train.optimizer import AdapterOptimizer, OptimizerOptions

PROGRESS = Progress(
    artifact="a" * 64,
    step=3,
    seed=5,
    fingerprint="f" * 64,
    options={"learning_rate": "2.0", "schedule": "constant"},
    data="d" * 64,
    position=7,
)


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
        (
            {"fingerprint": "0" * 64, "options": {"learning_rate": "1.0", "schedule": "constant"}},
            r"with learning_rate 2\.0, now it is 1\.0: a resumed run keeps it",
        ),
        (
            {"fingerprint": "0" * 64, "options": {**PROGRESS.options, "total_steps": "9"}},
            "with total_steps none, now it is 9",
        ),
        ({"data": "e" * 64}, r"other data \(sha256 d{12}, now it is e{12}\): resume with that data"),
    ):
        with pytest.raises(ArtifactError, match=message):
            require_same_run(path, PROGRESS, dataclasses.replace(PROGRESS, **change))
    with pytest.raises(ArtifactError, match=r"adapter\.x\.lora_B is in only one"):
        restore_checkpoint(path, PROGRESS, {"x.lora_A": adapter["x.lora_A"]}, state)
    with pytest.raises(ArtifactError, match=r"has shape \[4, 8\] and type F32, not \[8, 4\]"):
        restore_checkpoint(path, PROGRESS, {**adapter, "x.lora_A": torch.zeros(8, 4)}, state)


@pytest.mark.parametrize("kept", [0, 6, 100, -1])
def test_damaged_files(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "c.safetensors"
    save_checkpoint(path, PROGRESS, *tensors(0))
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ArtifactError, match=r"c\.safetensors is damaged"):
        restore_checkpoint(path, PROGRESS, *tensors(0))
    with pytest.raises(ArtifactError, match=r"c\.safetensors is no whole checkpoint: it cannot be read"):
        read_progress(tmp_path / "none" / "c.safetensors")


def test_another_type_is_no_checkpoint_of_the_run(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    adapter, state = tensors(0)
    save_checkpoint(path, PROGRESS, adapter, state)
    halves = {name: tensor.to(torch.float16) for name, tensor in adapter.items()}
    with pytest.raises(ArtifactError, match=r"type F32, not \[4, 8\] and F16"):
        restore_checkpoint(path, PROGRESS, halves, state)
    save_checkpoint(path, PROGRESS, adapter, {"blob": torch.zeros(3)})
    with (
        (tmp_path / "out").open("wb") as file,
        pytest.raises(ArtifactError, match=r"of blob has shape \[3\]"),
    ):
        copy_state(path, "blob", file)


def test_values_that_are_not_finite_are_not_restored(tmp_path: Path) -> None:
    path = tmp_path / "c.safetensors"
    adapter, state = tensors(0)
    save_checkpoint(path, PROGRESS, adapter, {**state, "exp_avg.x": torch.full((4, 8), torch.inf)})
    with pytest.raises(ArtifactError, match=r"optimizer\.exp_avg\.x holds values that are not finite"):
        restore_checkpoint(path, PROGRESS, adapter, state)


def test_a_link_in_place_of_the_temporary_file_is_not_followed(tmp_path: Path) -> None:
    path, other = tmp_path / CHECKPOINT, tmp_path / "other"
    other.write_text("private")
    (tmp_path / f".{CHECKPOINT}.tmp").symlink_to(other)
    save_checkpoint(path, PROGRESS, *tensors(0))
    assert other.read_text() == "private" and not path.is_symlink()
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [CHECKPOINT, "other"]


def test_the_file_is_any_readers_safetensors(tmp_path: Path) -> None:
    path = tmp_path / CHECKPOINT
    save_checkpoint(path, PROGRESS, *tensors(0))
    assert sorted(load_file(path)) == sorted(
        ["adapter.x.lora_A", "adapter.x.lora_B", "optimizer.step.x", "optimizer.exp_avg.x"]
    )


@pytest.mark.parametrize("kept", [True, False])
def test_a_full_disk_takes_the_generation_before(
    kept: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only where that leaves a whole one: `kept` says whether the newest is."""
    path = tmp_path / CHECKPOINT
    for step in (3, 4):
        save_checkpoint(path, dataclasses.replace(PROGRESS, step=step), *tensors(step))
    if not kept:
        path.write_bytes(path.read_bytes()[:-1])
    before = previous_of(path).read_bytes()
    create, failed = whole_file.create_beside, []

    def full_once(path: Path, mode: int) -> BinaryIO:
        if previous_of(path).exists():
            failed.append(path)
            raise OSError(errno.ENOSPC, "No space left on device")
        return create(path, mode)

    monkeypatch.setattr(whole_file, "create_beside", full_once)
    newer = dataclasses.replace(PROGRESS, step=5)
    if kept:
        save_checkpoint(path, newer, *tensors(5))
        assert read_progress(path).step == 5 and read_progress(previous_of(path)).step == 4
    else:
        with pytest.raises(EnvironmentProblem, match="no room; the earlier checkpoint is intact"):
            save_checkpoint(path, newer, *tensors(5))
        assert previous_of(path).read_bytes() == before
    assert failed == [path]


@pytest.mark.parametrize(
    ("options", "gradient", "spoiled"),
    [
        (OptimizerOptions(learning_rate=3e37), -1.0, r"adapter\.p"),
        (OptimizerOptions(learning_rate=1e-3), 1e36, r"optimizer\.exp_avg_sq\.p"),
        (OptimizerOptions("sgd", learning_rate=1e3), -1e36, r"adapter\.p"),
    ],
)
def test_an_update_that_spoils_a_tensor_is_an_error(
    options: OptimizerOptions, gradient: float, spoiled: str
) -> None:
    optimizer = AdapterOptimizer(
        {"p": torch.tensor([3.3e38])}, {"p": torch.tensor([gradient])}, options, total_steps=9
    )
    with pytest.raises(DataError, match=rf"the update makes {spoiled} infinite or NaN at step 7") as problem:
        optimizer.update(7)
    assert problem.value.numbers == {"step": 7}


def test_a_learning_rate_beyond_any_number_is_an_error() -> None:
    wild = OptimizerOptions(learning_rate=1e38)
    optimizer = AdapterOptimizer({"p": torch.zeros(1)}, {"p": torch.ones(1)}, wild, total_steps=9)
    with pytest.raises(DataError, match=r"rate 1e\+38 is beyond what an update can have at step 0"):
        optimizer.update(0)
