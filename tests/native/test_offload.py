"""Values that a program puts into a file, and weights whose pages it gives back: parity, faults, memory."""

from __future__ import annotations

import dataclasses
import json
import os
import resource
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from peft import LoraConfig
from safetensors.torch import load_file, save_file

from lowpeak import compile_for_device
from lowpeak_artifact.artifact import MANIFEST, Artifact
from lowpeak_artifact.errors import BudgetTooSmall, EnvironmentProblem
from lowpeak_compiler.budget.devices import PROFILES, DeviceProfile
from lowpeak_export.executorch import library
from lowpeak_runtime.data.prepare import training_data
from lowpeak_runtime.train.checkpoint import CHECKPOINT, read_progress
from lowpeak_runtime.train.executorch_session import ExecuTorchProgram
from lowpeak_runtime.train.feed import write_batches
from lowpeak_runtime.train.session import Job
from lowpeak_runtime.train.stop import STOPPED
from tests.native.build import SANITIZE, build
from tests.native.runner import Ended, Runner
from tests.native.test_executorch import check, opened, random_adapter
from tests.tiny import tiny_llama

STEPS = 3


@pytest.fixture(scope="module", autouse=True)
def operators() -> Iterator[Path]:
    path = build() / library.OPS
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(library.OPS_VARIABLE, str(path))
        yield path


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """Within the smallest budget, for a device that would rather read than compute again."""
    slow = DeviceProfile("slow", 10**9, 0.05, 1e9, 1e9, 1e9)
    folder = tmp_path_factory.mktemp("offload") / "artifact"

    def compiled(megabytes: float) -> Artifact:
        return compile_for_device(
            tiny_llama(
                num_hidden_layers=4,
                hidden_size=256,
                intermediate_size=128,
                vocab_size=60_000,
                max_position_embeddings=512,
            ),
            megabytes,
            device="slow",
            quantization="int8",
            seq_len=384,
            kernels="lowpeak",
            out=folder,
            lora=LoraConfig(r=2, target_modules=["q_proj", "down_proj"]),
        )

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(PROFILES, "slow", slow)
        with pytest.raises(BudgetTooSmall) as refused:
            compiled(1)
        artifact = compiled(refused.value.numbers["minimum_bytes"] / 1_000_000)
    return _without_limit(artifact) if SANITIZE else artifact


def _without_limit(artifact: Artifact) -> Artifact:
    """What sanitizers hold is in no plan."""
    bucket = artifact.manifest.largest
    bucket = dataclasses.replace(bucket, plan=dataclasses.replace(bucket.plan, budget_bytes=1 << 40))
    manifest = dataclasses.replace(artifact.manifest, buckets=[bucket])
    (artifact.path / MANIFEST).write_text(manifest.to_json())
    return Artifact.open(artifact.path)


def run(
    artifact: Artifact, folder: Path, operators: Path | None, preexec: Callable[[], None] | None = None
) -> Ended:
    job = Job.of(artifact, folder, steps=STEPS)
    sample = artifact.sample()
    assert sample is not None
    write_batches(job, training_data(artifact, [sample]))
    flags = ["--metrics", *(["--ops-library", str(operators)] if operators else [])]
    return Runner(flags, preexec).run(job, folder)


def test_offloaded_values_come_back_as_they_were(artifact: Artifact) -> None:
    plan = artifact.manifest.largest.plan
    assert plan.offload and plan.offloaded_values > 0
    assert plan.offload_bytes % 4096 == 0 and plan.offload_bytes > 0
    operators = [operation.operator for operation in artifact.graph().operations]
    assert operators.count("lowpeak.load.default") == plan.offloaded_values
    check(artifact)


def test_sessions_of_a_process_have_files_of_their_own(artifact: Artifact, tmp_path: Path) -> None:
    sample = artifact.sample()
    assert sample is not None
    inputs = artifact.manifest.largest.batch.graph_inputs(sample)
    adapter = random_adapter(artifact)
    first, second = opened(artifact, adapter), opened(artifact, adapter)
    expected = first.step(inputs)
    assert [program.step(inputs) for program in (second, first, second)] == [expected] * 3
    # Another's file is too small for these programs, or is closed: nothing of it is theirs.
    other = library.KernelSession()
    other.open_offload_file(str(tmp_path), 4096)
    assert first.step(inputs) == expected
    with other.entered():
        assert first.step(inputs) == expected
    other.close()
    del second
    assert first.step(inputs) == expected
    assert opened(artifact, adapter).step(inputs) == expected


def test_the_runner_offloads_and_gives_weights_back(
    artifact: Artifact, tmp_path: Path, operators: Path
) -> None:
    ended = run(artifact, tmp_path, operators)
    assert ended.returncode == 0, ended.events
    ready, *steps, _ = ended.events
    held = max(event["rss_bytes"] - event["anonymous_bytes"] for event in steps)
    weights = os.path.getsize(artifact.file("weights.ptd"))
    # Libraries come in as they are called; the weights do not stay.
    assert held - (ready["rss_bytes"] - ready["anonymous_bytes"]) < 6_000_000 < weights - 4_000_000
    assert list(tmp_path.glob("offload-*")) == []


def test_the_runner_holds_no_more_than_planned(artifact: Artifact, tmp_path: Path, operators: Path) -> None:
    """Not with sanitizers, which have memory of their own."""
    planned = artifact.manifest.largest.plan.planned_anonymous_bytes
    _, *steps, _ = run(artifact, tmp_path, operators).events
    assert len(steps) == STEPS
    assert all(event["peak_anonymous_bytes"] <= planned for event in steps)


def test_a_disk_without_room_is_refused_before_the_first_step(
    artifact: Artifact, tmp_path: Path, operators: Path
) -> None:
    size = artifact.manifest.largest.plan.offload_bytes

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size - 1, size - 1))

    ended = run(artifact, tmp_path, operators, limit)
    assert ended.returncode == 1 and ended.last["class"] == "EnvironmentProblem"
    assert f"the offload file of {size} bytes cannot be kept in {tmp_path}" in ended.last["message"]
    assert ended.last["numbers"] == {"bytes": size}
    with pytest.raises(EnvironmentProblem, match=r"No such file.*free \d+ bytes or give another folder"):
        ExecuTorchProgram(
            artifact.file("program.pte"),
            artifact.file("weights.ptd"),
            artifact.manifest,
            work=tmp_path / "nothing",
        )


def test_a_step_that_fails_keeps_the_steps_before(
    artifact: Artifact, tmp_path: Path, operators: Path
) -> None:
    sample = artifact.sample()
    assert sample is not None
    job = Job.of(artifact, tmp_path, steps=STEPS, checkpoint=tmp_path / CHECKPOINT)
    write_batches(job, training_data(artifact, [sample]))
    (file,) = Path(job.batches).iterdir()
    inputs = load_file(file)
    inputs["0.targets"][2] = 10**6
    save_file(inputs, file)
    ended = Runner(["--ops-library", str(operators)]).run(job, tmp_path)
    assert ended.returncode == 1 and len(ended.losses) == 2
    assert ended.last["class"] == "DataError" and "1000000" in ended.last["message"]
    assert read_progress(tmp_path / CHECKPOINT).step == 2


def test_a_signal_within_a_step_ends_it(artifact: Artifact, tmp_path: Path, operators: Path) -> None:
    sample = artifact.sample()
    assert sample is not None
    job = Job.of(artifact, tmp_path, steps=1, accumulate=10_000, checkpoint=tmp_path / CHECKPOINT)
    write_batches(job, training_data(artifact, [sample]))
    (tmp_path / "job.json").write_text(job.to_json())
    with Runner(["--ops-library", str(operators)]).start(tmp_path / "job.json") as child:
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(0.5)
        child.send_signal(signal.SIGHUP)
        last = json.loads(child.stdout.read().splitlines()[-1])
    assert child.returncode == STOPPED and last == {"event": "stopped", "step": 0, "reason": "SIGHUP"}
    assert not (tmp_path / CHECKPOINT).exists()


def test_a_runner_without_the_library_says_so(artifact: Artifact, tmp_path: Path) -> None:
    ended = run(artifact, tmp_path, None)
    assert ended.returncode == 1 and ended.last["class"] == "EnvironmentProblem"
    assert "--ops-library" in ended.last["message"]
