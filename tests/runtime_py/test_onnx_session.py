"""Training an artifact for ONNX Runtime: its losses, accumulation and resumption, and what is refused."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any

import pytest
import torch
from onnx import numpy_helper
from onnxruntime.training import onnxblock
from packaging.requirements import Requirement
from peft import PeftModel
from safetensors.torch import load_file
from torch import Tensor

import lowpeak
from lowpeak_artifact.artifact import MANIFEST, Artifact, sha256_of
from lowpeak_artifact.errors import ArtifactError, DataError, EnvironmentProblem
from lowpeak_artifact.layout import SAFETENSORS_WEIGHTS
from lowpeak_artifact.onnx_layout import CHECKPOINT, TRAINING_MODEL
from lowpeak_export.adapter import CONFIG_FILE, TENSORS_FILE
from lowpeak_export.onnx import runtime
from lowpeak_export.onnx.runtime import PACKAGE, SESSION_OPTIONS, require_planned
from lowpeak_runtime.simulate.reference import reference_step
from lowpeak_runtime.train import trainer
from lowpeak_runtime.train.checkpoint import read_progress
from lowpeak_runtime.train.checkpoint_tensors import load_adapter, save_checkpoint
from lowpeak_runtime.train.executorch_session import ExecuTorchSession
from lowpeak_runtime.train.onnx_session import OnnxSession
from lowpeak_runtime.train.optimizer import OptimizerOptions
from lowpeak_runtime.train.run_optimizer import write_run_optimizer
from lowpeak_runtime.train.session import Job
from lowpeak_runtime.train.supervisor import StepReport
from lowpeak_runtime.train.trainer import train
from tests.children import WORKER, child_of_this_process
from tests.evaluate import distance
from tests.export.onnx.compiled import SEQ_LEN, adapted, onnx_artifact
from tests.runtime_py.trainable import uneven_batches
from tests.tiny import tiny_llama

ROOT = Path(__file__).parents[2]
STEPS = 8
OPTIONS = OptimizerOptions(learning_rate=5e-3, weight_decay=0.1)


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return onnx_artifact(tmp_path_factory.mktemp("onnx") / "artifact", adapted(tiny_llama()))


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    """The same model with another adapter: other names are missing, others have other shapes."""
    folder = tmp_path_factory.mktemp("other") / "artifact"
    return onnx_artifact(folder, adapted(tiny_llama(num_hidden_layers=1), rank=2))


@pytest.fixture(scope="module")
def batches(artifact: Artifact) -> list[dict[str, Tensor]]:
    return uneven_batches(artifact.manifest.largest.batch, [4, 14, 1, 9])


@pytest.fixture(scope="module")
def straight(
    artifact: Artifact, batches: list[dict[str, Tensor]], tmp_path_factory: pytest.TempPathFactory
) -> tuple[trainer.TrainReport, Path]:
    """(report, folder) of an uninterrupted run."""
    out = tmp_path_factory.mktemp("straight") / "out"
    return train(artifact, batches, steps=STEPS, optimizer=OPTIONS, out=out), out


def eager(
    artifact: Artifact,
    batches: list[dict[str, Tensor]],
    options: OptimizerOptions,
    steps: int,
    accumulate: int = 1,
) -> tuple[list[float], dict[str, Tensor]]:
    """Losses and the adapter of transformers, PEFT and torch.optim on the artifact's weights."""
    adapter = {name: value.clone() for name, value in artifact.adapter().items()}
    if options.algorithm == "adamw":
        optimizer: torch.optim.Optimizer = torch.optim.AdamW(
            list(adapter.values()),
            lr=options.learning_rate,
            betas=options.betas,
            eps=options.epsilon,
            weight_decay=options.weight_decay,
        )
    else:
        optimizer = torch.optim.SGD(list(adapter.values()), lr=options.learning_rate)
    losses = []
    for step in range(steps):
        first = step * accumulate
        taken = [batches[number % len(batches)] for number in range(first, first + accumulate)]
        # All batches as one.
        loss, gradients = reference_step(
            whole_batch_artifact(artifact, accumulate),
            {n: torch.cat([b[n] for b in taken]) for n in taken[0]},
            adapter,
        )
        losses.append(loss)
        for name, value in adapter.items():
            value.grad = gradients[name]
        if options.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(list(adapter.values()), options.clip_norm)
        optimizer.step()
    return losses, adapter


def whole_batch_artifact(artifact: Artifact, batch_size: int) -> Artifact:
    """The same for batches of another size, as far as eager's reference reads it."""
    bucket = artifact.manifest.largest
    spec = dataclasses.replace(bucket.batch, batch_size=batch_size)
    bucket = dataclasses.replace(bucket, batch=spec)
    return dataclasses.replace(artifact, manifest=dataclasses.replace(artifact.manifest, buckets=[bucket]))


def test_losses_are_those_of_eager_peft(
    artifact: Artifact, batches: list[dict[str, Tensor]], straight: tuple[trainer.TrainReport, Path]
) -> None:
    report, out = straight
    expected, adapter = eager(artifact, batches, OPTIONS, STEPS)
    assert report.losses == pytest.approx(expected, abs=1e-4)
    assert report.losses[4:] != pytest.approx(report.losses[:4], abs=1e-2)
    assert (report.steps, report.start_step, report.stopped) == (STEPS, 0, False)
    assert report.tokens_per_second is not None and report.tokens_per_second > 0
    assert report.planned_peak_bytes == artifact.manifest.largest.plan.planned_peak_bytes
    assert sorted(entry.name for entry in out.iterdir()) == ["adapter", trainer.CHECKPOINT]
    for name, value in load_adapter(out / trainer.CHECKPOINT).items():
        torch.testing.assert_close(value, adapter[name], rtol=0, atol=1e-3)


def test_losses_are_those_of_executorch(
    batches: list[dict[str, Tensor]], straight: tuple[trainer.TrainReport, Path], tmp_path: Path
) -> None:
    same = onnx_artifact(tmp_path / "a", adapted(tiny_llama()), target="executorch", budget_mb=20)
    session = ExecuTorchSession(job_of(same, tmp_path, optimizer=OPTIONS), same.manifest)
    losses = []
    for step in range(STEPS):
        losses.append(session.accumulate(same.manifest.largest.batch.graph_inputs(batches[step % 4])))
        session.update(step)
    assert straight[0].losses == pytest.approx(losses, abs=1e-4)
    with pytest.raises(ArtifactError, match=r"gradients of 2 batches cannot be accumulated.*onnxruntime"):
        ExecuTorchSession(job_of(same, tmp_path, accumulate=2), same.manifest)


def test_accumulated_batches_are_one_update_by_their_mean(
    artifact: Artifact, batches: list[dict[str, Tensor]], tmp_path: Path
) -> None:
    options = OptimizerOptions(learning_rate=5e-3, epsilon=1e-3, clip_norm=0.5)
    speeds: list[tuple[float | None, float]] = []

    def note(step: StepReport) -> None:
        speeds.append((step.tokens_per_second, 2 * SEQ_LEN / step.seconds))

    report = train(artifact, batches, steps=4, accumulate=2, optimizer=options, out=tmp_path, on_step=note)
    losses, adapter = eager(artifact, batches, options, 4, accumulate=2)
    assert report.losses == pytest.approx(losses, abs=1e-5)
    assert_trained(load_adapter(tmp_path / trainer.CHECKPOINT), adapter, artifact)
    assert all(actual == pytest.approx(expected) for actual, expected in speeds)


def assert_trained(actual: dict[str, Tensor], expected: dict[str, Tensor], artifact: Artifact) -> None:
    for name, before in artifact.adapter().items():
        torch.testing.assert_close(actual[name], expected[name], rtol=0, atol=1e-5)
        assert (expected[name] - before).abs().max() > 3e-5, f"{name} did not move: nothing is tested"


@pytest.mark.parametrize(
    "options",
    [
        OptimizerOptions(learning_rate=5e-3, epsilon=1e-3, weight_decay=0.1),
        OptimizerOptions("sgd", learning_rate=0.1, clip_norm=0.5),
        OptimizerOptions("sgd", learning_rate=0.1),
    ],
    ids=["adamw", "sgd clipped", "sgd"],
)
def test_other_optimizers_by_the_mean(
    options: OptimizerOptions, artifact: Artifact, batches: list[dict[str, Tensor]], tmp_path: Path
) -> None:
    session = session_of(artifact, tmp_path, optimizer=options, accumulate=2, total_steps=4)
    losses = trained_losses(session, artifact, batches, 2)
    expected, adapter = eager(artifact, batches, options, 4, accumulate=2)
    assert losses == pytest.approx(expected, abs=1e-5)
    assert_trained(session.parameters(), adapter, artifact)


def trained_losses(
    session: OnnxSession, artifact: Artifact, batches: list[dict[str, Tensor]], accumulate: int
) -> list[float]:
    """Of 4 updates."""
    bucket = artifact.manifest.largest
    inputs = [bucket.graph_inputs(batch) for batch in batches]
    weights = [bucket.batch.weight_of(each) for each in inputs]
    losses = []
    for step in range(4):
        taken = [i % len(inputs) for i in range(step * accumulate, (step + 1) * accumulate)]
        total = sum(weights[i] * session.accumulate(inputs[i], 0, weights[i]) for i in taken)
        losses.append(total / sum(weights[i] for i in taken))
        session.update(step)
    return losses


def test_half_batches_are_the_whole_one(
    artifact: Artifact, batches: list[dict[str, Tensor]], tmp_path: Path
) -> None:
    """Two batches of one row are one batch of two rows, however many labels each has."""
    whole = onnx_artifact(tmp_path / "whole", adapted(tiny_llama()), batch_size=2)
    pairs = [
        {name: torch.cat([first[name], second[name]]) for name in first}
        for first, second in zip(batches[0::2], batches[1::2], strict=True)
    ]
    options: dict[str, Any] = {
        "optimizer": OptimizerOptions(learning_rate=5e-3, epsilon=1e-3),
        "total_steps": 4,
    }
    expected = session_of(whole, tmp_path, **options)
    actual = session_of(artifact, tmp_path, accumulate=2, **options)
    losses = trained_losses(expected, whole, pairs, 1)
    assert trained_losses(actual, artifact, batches, 2) == pytest.approx(losses, abs=1e-5)
    assert_trained(actual.parameters(), expected.parameters(), artifact)


@pytest.mark.parametrize(
    "options",
    [{"trainable_ratio": 1.0}, {"trainable_ratio": 0.95}, {"loss": "subset", "subset_size": 60}],
    ids=str,
)
def test_every_batch_counts_by_its_labels(
    options: dict[str, Any], batches: list[dict[str, Tensor]], tmp_path: Path
) -> None:
    """One step of plain gradient descent shows the mean of the gradients that single batches have."""
    artifact = onnx_artifact(tmp_path / "a", adapted(tiny_llama()), **options)
    bucket = artifact.manifest.largest
    if bucket.batch.subset_size:
        labels = torch.cat([batch["labels"] for batch in batches], 1).unique()[1:]
        others = [token for token in range(96) if token not in labels]
        subset = torch.tensor(sorted([*labels.tolist(), *others][:60]))
        batches = [{**batch, "token_subset": subset} for batch in batches]
    inputs = [bucket.graph_inputs(batch) for batch in batches]
    weights = [bucket.batch.weight_of(each) for each in inputs]
    assert weights == [12, 2, 15, 7]
    single = session_of(artifact, tmp_path, optimizer=OptimizerOptions("sgd", 1e-30))
    expected = {name: torch.zeros_like(value) for name, value in artifact.adapter().items()}
    for values, weight in zip(inputs, weights, strict=True):
        single.accumulate(values)
        for name, gradient in single.gradients().items():
            expected[name] += gradient * weight / sum(weights)
        single.update(0)
    session = session_of(artifact, tmp_path, optimizer=OptimizerOptions("sgd", 100.0), accumulate=4)
    for values, weight in zip(inputs, weights, strict=True):
        session.accumulate(values, 0, weight)
    session.update(0)
    actual = session.parameters()
    for name, before in artifact.adapter().items():
        assert distance((before - actual[name]) / 100, expected[name]) < 1e-5, name


def assert_same_adapter(one: Path, other: Path) -> None:
    actual, expected = (load_adapter(folder / trainer.CHECKPOINT) for folder in (one, other))
    assert actual.keys() == expected.keys()
    assert all(torch.equal(actual[name], expected[name]) for name in expected)


@pytest.mark.thorough
def test_a_stopped_run_goes_on_where_it_was(
    artifact: Artifact, batches: list[dict[str, Tensor]], tmp_path: Path
) -> None:
    def terminate(step: StepReport) -> None:
        if step.step == 1:
            os.kill(child_of_this_process(WORKER), signal.SIGTERM)

    options: dict[str, Any] = {"optimizer": OPTIONS, "accumulate": 2}
    first = train(artifact, batches, steps=300, out=tmp_path / "a", on_step=terminate, **options)
    assert first.stopped and first.steps == len(first.losses) >= 2
    goal = first.steps + 2
    second = train(artifact, batches, steps=goal, out=tmp_path / "a", resume=True, **options)
    expected = train(artifact, batches, steps=goal, out=tmp_path / "b", **options)
    assert first.losses + second.losses == expected.losses
    assert_same_adapter(tmp_path / "a", tmp_path / "b")
    third = train(artifact, batches, steps=goal, out=tmp_path / "a", resume=True, **options)
    assert (third.losses, third.start_step, third.steps) == ((), goal, goal)


def test_the_adapter_comes_back_as_peft_files(
    batches: list[dict[str, Tensor]], straight: tuple[trainer.TrainReport, Path]
) -> None:
    report, out = straight
    assert report.adapter == out / "adapter"
    assert json.loads((report.adapter / CONFIG_FILE).read_text())["r"] == 4
    tensors = load_file(report.adapter / TENSORS_FILE)
    trained = load_adapter(out / trainer.CHECKPOINT)
    assert tensors.keys() == {name.replace(".default", "") for name in trained}
    loaded = PeftModel.from_pretrained(tiny_llama(), report.adapter).eval()
    model = adapted(tiny_llama())
    parameters = dict(model.named_parameters())
    for name, value in trained.items():
        parameters[name].data.copy_(value)
    with torch.no_grad():
        assert loaded(**batches[0]).loss == model(**batches[0]).loss


def test_peak_memory_is_near_the_plan(artifact: Artifact, straight: tuple[trainer.TrainReport, Path]) -> None:
    planned = artifact.manifest.largest.plan.planned_anonymous_bytes
    assert 0 < straight[0].peak_anonymous_bytes < planned + 4_000_000


def job_of(artifact: Artifact, folder: Path, **changes: Any) -> Job:
    return dataclasses.replace(Job.of(artifact, folder, steps=STEPS, checkpoint_every=1), **changes)


def session_of(artifact: Artifact | Path, folder: Path, **changes: Any) -> OnnxSession:
    """In this process."""
    if not isinstance(artifact, Artifact):
        artifact = Artifact.open(artifact)
    job = job_of(artifact, folder, **changes)
    write_run_optimizer(artifact, job.optimizer, folder)
    return OnnxSession(job, artifact.manifest)


def test_gradients_add_up_until_the_update(
    artifact: Artifact, batches: list[dict[str, Tensor]], tmp_path: Path
) -> None:
    session = session_of(artifact, tmp_path)
    for name, value in session.parameters().items():
        assert torch.equal(value, artifact.adapter()[name])
    inputs = [artifact.manifest.largest.batch.graph_inputs(batch) for batch in batches[:2]]
    expected = [reference_step(artifact, batch, artifact.adapter()) for batch in batches[:2]]
    for values, (loss, _) in zip(inputs, expected, strict=True):
        assert session.accumulate(values) == pytest.approx(loss, rel=1e-5)
    for name, gradient in session.gradients().items():
        assert distance(gradient, sum(gradients[name] for _, gradients in expected)) < 1e-4, name
    session.update(0)
    adapter = session.parameters()
    session.accumulate(inputs[0])
    _, gradients = reference_step(artifact, batches[0], adapter)
    for name, gradient in session.gradients().items():
        assert distance(gradient, gradients[name]) < 1e-4, name


def test_inputs_are_checked(artifact: Artifact, batches: list[dict[str, Tensor]], tmp_path: Path) -> None:
    session = session_of(artifact, tmp_path)
    inputs = artifact.manifest.largest.batch.graph_inputs(batches[0])
    with pytest.raises(DataError, match="needs the input targets"):
        session.accumulate({name: value for name, value in inputs.items() if name != "targets"})
    with pytest.raises(DataError, match="input_ids must be int64"):
        session.accumulate({**inputs, "input_ids": inputs["input_ids"][:, :-1]})
    with pytest.raises(DataError, match="it is int32"):
        session.accumulate({**inputs, "input_ids": inputs["input_ids"].int()})


def test_tokens_outside_of_the_vocabulary(
    artifact: Artifact, batches: list[dict[str, Tensor]], tmp_path: Path
) -> None:
    session = session_of(artifact, tmp_path)
    inputs = artifact.manifest.largest.batch.graph_inputs(batches[0])
    with pytest.raises(ArtifactError, match=r"ONNX Runtime failed in the step: .*96"):
        session.accumulate({**inputs, "input_ids": torch.full_like(inputs["input_ids"], 96)})


@pytest.mark.parametrize(
    "options",
    [OptimizerOptions("sgd", momentum=0.9), OptimizerOptions("sgd", weight_decay=0.1)],
    ids=["momentum", "decay"],
)
def test_sgd_that_the_runtime_lacks(options: OptimizerOptions, artifact: Artifact) -> None:
    with pytest.raises(ArtifactError, match=r"SGD with momentum .*ONNX Runtime's has neither.*adamw"):
        train(artifact, steps=1, optimizer=options)


def test_a_resumed_run_with_other_options(
    artifact: Artifact, other: Artifact, straight: tuple[trainer.TrainReport, Path]
) -> None:
    _, out = straight
    options: dict[str, Any] = {"steps": 20, "out": out}
    with pytest.raises(ArtifactError, match="holds a training run of 8 steps"):
        train(artifact, optimizer=OPTIONS, **options)
    with pytest.raises(ArtifactError, match="a run with learning_rate"):
        train(artifact, resume=True, **options)
    with pytest.raises(ArtifactError, match="a run with accumulate 1, now it is 2"):
        train(artifact, optimizer=OPTIONS, accumulate=2, resume=True, **options)
    with pytest.raises(ArtifactError, match="seed 0, now it is 1"):
        train(artifact, optimizer=OPTIONS, resume=True, seed=1, **options)
    with pytest.raises(ArtifactError, match="another artifact"):
        train(other, optimizer=OPTIONS, resume=True, **options)


def test_a_checkpoint_without_the_state_of_the_runtime(
    artifact: Artifact, straight: tuple[trainer.TrainReport, Path], tmp_path: Path
) -> None:
    whole, checkpoint = straight[1] / trainer.CHECKPOINT, tmp_path / trainer.CHECKPOINT
    save_checkpoint(checkpoint, read_progress(whole), load_adapter(whole), {})
    data = read_progress(checkpoint).data
    with pytest.raises(ArtifactError, match="no state of onnxruntime"):
        session_of(
            artifact,
            tmp_path,
            optimizer=OPTIONS,
            first_step=STEPS,
            checkpoint=str(checkpoint),
            data=data,
        )


def changed(artifact: Artifact, folder: Path, change: Callable[[Path, dict[str, Any]], None]) -> Path:
    """A copy of the artifact after `change(folder, manifest)`, whose hashes fit what is there."""
    shutil.copytree(artifact.path, folder)
    manifest = json.loads((folder / MANIFEST).read_text())
    change(folder, manifest)
    for name, record in manifest["files"].items():
        record.update(sha256=sha256_of(folder / name), bytes=(folder / name).stat().st_size)
    (folder / MANIFEST).write_text(json.dumps(manifest))
    return folder


@pytest.mark.parametrize("name", SESSION_OPTIONS)
@pytest.mark.parametrize("value", ["changed", "missing"])
def test_session_options_that_would_undo_the_plan(name: str, value: str) -> None:
    options = dict(SESSION_OPTIONS)
    require_planned(options)
    del options[name]
    if value == "changed":
        options[name] = True if SESSION_OPTIONS[name] is False else "0"
    with pytest.raises(ArtifactError, match=f"the session option {name}=.*the plan holds only with"):
        require_planned(options)


def test_an_artifact_with_another_session_option(artifact: Artifact, tmp_path: Path) -> None:
    def change(folder: Path, manifest: dict[str, Any]) -> None:
        manifest["session_options"]["enable_mem_pattern"] = True

    folder = changed(artifact, tmp_path / "a", change)
    with pytest.raises(ArtifactError, match=r"session option enable_mem_pattern=True.*only with False"):
        session_of(folder, tmp_path)


def test_the_checkpoint_of_another_artifact(artifact: Artifact, other: Artifact, tmp_path: Path) -> None:
    def change(folder: Path, manifest: dict[str, Any]) -> None:
        shutil.copy(other.path / CHECKPOINT, folder / CHECKPOINT)

    folder = changed(artifact, tmp_path / "a", change)
    with pytest.raises(ArtifactError, match=r"checkpoint of another artifact: of .*lora_A.* it has"):
        session_of(folder, tmp_path)
    shutil.copy(artifact.path / MANIFEST, folder / MANIFEST)
    with pytest.raises(ArtifactError, match=r"checkpoint of the artifact .* is (truncated|too long|not)"):
        train(folder, steps=1)


def test_the_checkpoint_of_an_artifact_of_another_rank(
    artifact: Artifact, batches: list[dict[str, Tensor]], tmp_path: Path
) -> None:
    """Names are the same, shapes are not."""
    values = [
        numpy_helper.from_array(torch.cat([value, value]).numpy(), name)
        for name, value in artifact.adapter().items()
    ]

    def change(folder: Path, manifest: dict[str, Any]) -> None:
        onnxblock.save_checkpoint((values, []), str(folder / CHECKPOINT))

    folder = changed(artifact, tmp_path / "a", change)
    with pytest.raises(ArtifactError, match=r"checkpoint|lora_[AB]"):
        session_of(folder, tmp_path).accumulate(artifact.manifest.largest.batch.graph_inputs(batches[0]))


def cut(path: Path, kept: int) -> None:
    path.write_bytes(path.read_bytes()[:kept])


def test_truncated_weights(artifact: Artifact, tmp_path: Path) -> None:
    folder = tmp_path / "a"
    shutil.copytree(artifact.path, folder)
    cut(folder / SAFETENSORS_WEIGHTS, 9000)
    with pytest.raises(ArtifactError, match=r"weights\.safetensors of .* truncated: 9000 bytes instead of"):
        train(folder, steps=1)
    unchecked = changed(artifact, tmp_path / "b", lambda folder, _: cut(folder / SAFETENSORS_WEIGHTS, 9000))
    with pytest.raises(ArtifactError, match=r"is no place in weights\.safetensors of 9000 bytes"):
        session_of(unchecked, tmp_path)


@pytest.mark.parametrize("name", [CHECKPOINT, TRAINING_MODEL])
@pytest.mark.parametrize("kept", [0, 100, 2000])
def test_damaged_files_that_fit_their_manifest(
    name: str, kept: int, artifact: Artifact, tmp_path: Path
) -> None:
    folder = changed(artifact, tmp_path / "a", lambda folder, _: cut(folder / name, kept))
    with pytest.raises(ArtifactError, match=r"ONNX Runtime cannot load|\.onnx .* cannot be read"):
        session_of(Artifact.open(folder), tmp_path)


def distribution(folder: Path, name: str, version: str) -> Path:
    """What pip leaves of an installed package, without the package."""
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (info / "top_level.txt").write_text("onnxruntime\n")
    (info / "RECORD").write_text("onnxruntime/__init__.py,,\n")
    return folder


def required(*paths: Path, installed: bool) -> str:
    """What require_runtime says in a process with the paths in front of what is installed, or instead."""
    path = [*(str(ROOT / each) for each in ("compiler", "export")), *map(str, paths)]
    site = [sysconfig.get_paths()["purelib"]] if installed else []
    code = (
        "import sys\n"
        f"sys.path[:0] = {path!r}\nsys.path += {site!r}\n"
        "from lowpeak_artifact.errors import EnvironmentProblem\n"
        "from lowpeak_export.onnx.runtime import require_runtime\n"
        "try:\n    require_runtime()\n"
        "except EnvironmentProblem as problem:\n    print(problem)\n"
    )
    # -S: nothing of what is installed is on the path.
    return subprocess.run(
        [sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True
    ).stdout


def test_the_runtime_that_is_installed_is_taken() -> None:
    assert required(installed=True) == ""


def test_plain_onnxruntime_instead(tmp_path: Path) -> None:
    said = required(distribution(tmp_path, "onnxruntime", "1.27.0"), installed=False)
    assert "need onnxruntime-training-cpu 1.19.2" in said
    assert "the package onnxruntime has the same module and no training" in said
    assert "pip uninstall -y onnxruntime && pip install" in said


def test_plain_onnxruntime_beside(tmp_path: Path) -> None:
    said = required(distribution(tmp_path, "onnxruntime", "1.19.2"), installed=True)
    assert "onnxruntime is installed beside onnxruntime-training-cpu" in said
    assert "pip uninstall -y onnxruntime && pip install" in said


def test_another_package_with_the_module_is_named_in_what_to_do(tmp_path: Path) -> None:
    said = required(distribution(tmp_path, "onnxruntime-gpu", "1.27.0"), installed=False)
    assert "the package onnxruntime-gpu has the same module and no training" in said
    assert "pip uninstall -y onnxruntime-gpu" in said


def test_the_runtime_of_another_version(tmp_path: Path) -> None:
    said = required(distribution(tmp_path, "onnxruntime-training-cpu", "1.17.1"), installed=False)
    assert "need onnxruntime-training-cpu 1.19.2, installed is 1.17.1" in said
    assert "pip install 'onnxruntime-training-cpu==1.19.2'" in said


def test_a_broken_runtime(tmp_path: Path) -> None:
    said = required(distribution(tmp_path, "onnxruntime-training-cpu", "1.19.2"), installed=False)
    assert "1.19.2 is installed but broken (No module named 'onnxruntime')" in said


def test_no_runtime() -> None:
    said = required(installed=False)
    assert "need onnxruntime-training-cpu 1.19.2, and it is not installed" in said
    (extra,) = re.findall(r"pip install 'lowpeak\[(\w+)\]'", said)
    project = (ROOT / "pyproject.toml").read_text()
    (requirements,) = re.findall(rf"^{extra} = \[(.*?)\]$", project, re.MULTILINE | re.DOTALL)
    assert "onnxruntime-training-cpu==1.19.2" in requirements


@pytest.mark.parametrize(
    ("version", "system", "machine", "wheels"),
    [
        ((3, 12, 1), "linux", "x86_64", True),
        ((3, 12, 1), "darwin", "arm64", True),
        ((3, 10, 2), "linux", "aarch64", False),
        ((3, 13, 0), "darwin", "arm64", False),
    ],
)
def test_no_runtime_for_this_python(
    version: tuple[int, ...], system: str, machine: str, wheels: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same as the markers of pyproject.toml: there the extra installs nothing."""
    environment = {
        "python_version": ".".join(map(str, version[:2])),
        "sys_platform": system,
        "platform_machine": machine,
    }
    (line,) = re.findall(rf'"({PACKAGE}==.*)"', (ROOT / "pyproject.toml").read_text())
    marker = Requirement(line).marker
    assert marker is not None and marker.evaluate(environment) == wheels

    monkeypatch.setattr(sys, "version_info", version)
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(runtime, "version", no_version)
    monkeypatch.setattr(runtime, "packages_distributions", dict)
    said = (
        r"pip install 'lowpeak\[onnxruntime\]'$" if wheels else rf"until Python 3.12.*{system} {machine}; use"
    )
    with pytest.raises(EnvironmentProblem, match=said):
        runtime.require_runtime()


def no_version(package: str) -> str:
    raise PackageNotFoundError(package)


def test_compiling_needs_the_runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error reaches who compiles, before anything is written."""
    monkeypatch.syspath_prepend(distribution(tmp_path / "site", "onnxruntime", "1.19.2"))
    with pytest.raises(lowpeak.EnvironmentProblem, match="beside onnxruntime-training-cpu"):
        onnx_artifact(tmp_path / "a", adapted(tiny_llama()))
    assert not (tmp_path / "a").exists()


def test_training_needs_the_runtime(
    artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error comes out of the process that trains."""
    monkeypatch.setenv("PYTHONPATH", str(distribution(tmp_path, "onnxruntime", "1.19.2")), prepend=os.pathsep)
    with pytest.raises(EnvironmentProblem, match="beside onnxruntime-training-cpu"):
        train(artifact, steps=1)


def test_an_update_that_is_not_finite_replaces_no_checkpoint(artifact: Artifact, tmp_path: Path) -> None:
    """A checkpoint of two sane steps, made one of a run whose next update is infinite."""
    wild = OptimizerOptions(learning_rate=1e38, weight_decay=1e3)
    train(artifact, steps=2, optimizer=OPTIONS, out=tmp_path)
    path = tmp_path / trainer.CHECKPOINT
    progress = read_progress(path)
    of_wild = Job.of(artifact, tmp_path, steps=STEPS, optimizer=wild).progress(artifact.manifest, 0, 0)
    state = {"onnxruntime": load_file(path)["optimizer.onnxruntime"]}
    of_wild = dataclasses.replace(of_wild, step=progress.step, position=progress.position, data=progress.data)
    save_checkpoint(path, of_wild, load_adapter(path), state)
    before = {file: file.read_bytes() for file in tmp_path.glob("*.safetensors")}
    with pytest.raises(DataError, match=r"the update makes adapter\..*lora_.* infinite or NaN at step 2: "):
        train(artifact, steps=STEPS, optimizer=wild, out=tmp_path, resume=True, checkpoint_every=1)
    assert {file: file.read_bytes() for file in tmp_path.glob("*.safetensors")} == before


def test_a_gradient_without_a_square_is_not_taken(artifact: Artifact, tmp_path: Path) -> None:
    session = session_of(artifact, tmp_path, optimizer=OPTIONS)
    name = artifact.manifest.parameters[0].name
    session.gradients()[name].fill_(1e25)
    with pytest.raises(DataError, match=r"makes optimizer\.exp_avg_sq\..* infinite or NaN at step 3"):
        session.update(3)


@pytest.mark.parametrize("damage", ["flipped", "missing"])
def test_a_run_goes_on_from_the_checkpoint_before(
    artifact: Artifact,
    batches: list[dict[str, Tensor]],
    straight: tuple[trainer.TrainReport, Path],
    damage: str,
    tmp_path: Path,
) -> None:
    told: list[str] = []
    options: dict[str, Any] = {"optimizer": OPTIONS, "out": tmp_path, "checkpoint_every": 2, "resume": True}
    train(artifact, batches, steps=4, **options)
    path = tmp_path / trainer.CHECKPOINT
    if damage == "flipped":
        content = bytearray(path.read_bytes())
        content[-9] ^= 1
        path.write_bytes(content)
    else:
        path.unlink()
    report = train(artifact, batches, steps=STEPS, tell=told.append, **options)
    assert report.start_step == 2 and report.losses == straight[0].losses[2:]
    assert told[-1].endswith("is used, with 2 steps")
