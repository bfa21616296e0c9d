"""What `train` promises with either engine: padding, a full disk, metrics, reasons to stop."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from lowpeak import compile_for_device
from lowpeak_artifact.artifact import MANIFEST, Artifact
from lowpeak_artifact.errors import ArtifactError, DataError, EnvironmentProblem
from lowpeak_export.executorch import library
from lowpeak_runtime.data.encode import NO_LOSS, Example
from lowpeak_runtime.train.checkpoint import CHECKPOINT
from lowpeak_runtime.train.command import Engine, worker_command
from lowpeak_runtime.train.optimizer import OptimizerOptions
from lowpeak_runtime.train.session import Job
from lowpeak_runtime.train.supervisor import StepReport, supervise
from lowpeak_runtime.train.trainer import TrainReport, prepare, train
from tests.children import RUNNER, WORKER, child_of_this_process
from tests.disks import no_more_room
from tests.evaluate import distance
from tests.models import Function
from tests.native.build import build
from tests.native.runner import runner, use_runner
from tests.runtime_py.trainable import (
    eager_loss,
    eager_model,
    mean_over_labels,
    several_batches,
    trainable_artifact,
    trainable_step,
    uneven_batches,
)
from tests.tiny import SHAPE, TinyStep, tiny_llama

OPTIONS = OptimizerOptions(learning_rate=5e-3)


@pytest.fixture(scope="module")
def tiny() -> TinyStep:
    return trainable_step(batch_size=3)


@pytest.fixture(scope="module")
def artifact(tiny: TinyStep, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return trainable_artifact(tmp_path_factory.mktemp("engines") / "artifact", tiny)


@pytest.fixture(autouse=True)
def native(monkeypatch: pytest.MonkeyPatch) -> None:
    use_runner(monkeypatch)


@pytest.fixture(params=[pytest.param("python", marks=pytest.mark.thorough), "native"])
def engine(request: pytest.FixtureRequest) -> Engine:
    chosen: Engine = request.param
    return chosen


def example(length: int, prompt: int) -> Example:
    ids = tuple((7 * i + length) % 96 for i in range(length))
    return Example(ids, (NO_LOSS,) * prompt + ids[prompt:])


def unpadded(tiny: TinyStep, examples: list[Example]) -> tuple[float, dict[str, Tensor]]:
    """Eager loss and gradients of the examples, each at its own length, by the mean over their tokens."""
    model = eager_model(tiny)
    losses = []
    for given in examples:
        ids, labels = torch.tensor([given.input_ids]), torch.tensor([given.labels])
        losses.append(model(input_ids=ids, labels=labels).loss * given.trainable_tokens)
    loss = sum(losses) / sum(given.trainable_tokens for given in examples)
    loss.backward()
    return loss.item(), {n: p.grad for n, p in model.named_parameters() if p.grad is not None}


def test_our_kernels_train_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    artifact = compile_for_device(
        tiny_llama(), budget_mb=40, seq_len=24, kernels=library.LOWPEAK, out=tmp_path / "artifact"
    )
    data = several_batches(artifact.manifest.largest.batch, 4)
    monkeypatch.setenv(library.OPS_VARIABLE, str(build() / library.OPS))
    python, native = (
        train(artifact, data, steps=12, optimizer=OPTIONS, engine=engine).losses
        for engine in ("python", "native")
    )
    assert native == pytest.approx(python, abs=1e-6)


def test_shorter_sequences_are_padded_and_masked(
    tiny: TinyStep, artifact: Artifact, engine: Engine, tmp_path: Path
) -> None:
    """One step of SGD with the learning rate 1 shows the gradients."""
    examples = [example(5, prompt=2), example(12, prompt=0), example(2, prompt=1)]
    report = train(
        artifact, examples, steps=1, optimizer=OptimizerOptions("sgd", 1.0), out=tmp_path, engine=engine
    )
    loss, gradients = unpadded(tiny, examples)
    assert report.losses[0] == pytest.approx(loss, rel=1e-5)
    trained, before = load_file(tmp_path / CHECKPOINT), artifact.adapter()
    for name, value in before.items():
        assert distance(value - trained[f"adapter.{name}"], gradients[name]) < 1e-4, name


def test_a_full_disk_leaves_the_last_checkpoint(
    tiny: TinyStep, artifact: Artifact, engine: Engine, tmp_path: Path
) -> None:
    data = several_batches(tiny.spec, 4)

    def run(steps: int, on_step: Callable[[StepReport], None] | None = None) -> TrainReport:
        options = {"optimizer": OPTIONS, "out": tmp_path, "engine": engine, "on_step": on_step}
        return train(artifact, data, steps=steps, resume=True, checkpoint_every=1 << 30, **options)

    run(4)
    checkpoint = tmp_path / CHECKPOINT
    before = checkpoint.read_bytes()
    with pytest.raises(EnvironmentProblem) as problem:
        run(1 << 20, lambda step: no_more_room(len(before) * 3 // 4))
    assert "no room; the earlier checkpoint is intact. Free " in str(problem.value)
    assert 0 < int(problem.value.numbers["bytes"]) < len(before)
    assert checkpoint.read_bytes() == before
    resumed = run(8)
    assert (resumed.start_step, resumed.steps, len(resumed.losses)) == (4, 8, 4)


def test_metrics(tiny: TinyStep, artifact: Artifact, engine: Engine, tmp_path: Path) -> None:
    file, data = tmp_path / "metrics.ndjson", several_batches(tiny.spec, 4)
    options = {"optimizer": OPTIONS, "out": tmp_path / "out", "engine": engine, "metrics": file}
    reports = [train(artifact, data, steps=steps, resume=True, **options) for steps in (2, 5)]
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line["step"] for line in lines] == [0, 1, 2, 3, 4]
    assert [line["loss"] for line in lines] == [*reports[0].losses, *reports[1].losses]
    plan = artifact.manifest.largest.plan
    for line in lines:
        assert line["tokens_per_second"] == pytest.approx(36 / line["seconds"])
        assert line["anonymous_bytes"] < line["rss_bytes"] <= line["peak_rss_bytes"]
        assert 0 < line["peak_anonymous_bytes"] <= line["anonymous_bytes"]
        assert line["planned_peak_bytes"] == plan.planned_peak_bytes
        assert line["budget_bytes"] == plan.budget_bytes
    whole = lines[-1]["peak_rss_bytes"] - (0 if engine == "native" else reports[1].baseline_rss_bytes)
    assert lines[-1]["peak_held_bytes"] == whole <= reports[1].peak_held_bytes


def test_metrics_that_cannot_be_written(artifact: Artifact, engine: Engine, tmp_path: Path) -> None:
    with pytest.raises(EnvironmentProblem, match=r"metrics cannot be written to .*: Is a directory"):
        train(artifact, steps=1, out=tmp_path / "out", engine=engine, metrics=tmp_path)
    assert not (tmp_path / "out").exists()
    with pytest.raises(EnvironmentProblem, match="written to /dev/full: it is no regular file"):
        train(artifact, steps=1, out=tmp_path / "out", engine=engine, metrics="/dev/full")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_the_reason_to_stop(
    tiny: TinyStep, artifact: Artifact, engine: Engine, number: signal.Signals, tmp_path: Path
) -> None:
    def stop(step: StepReport) -> None:
        if step.step == 2:
            named = {"native": RUNNER, "python": WORKER}[engine]
            os.kill(child_of_this_process(named), number)

    report = train(artifact, steps=5000, out=tmp_path, engine=engine, on_step=stop)
    assert report.stopped and report.stop_reason == number.name
    assert report.adapter is not None and report.adapter.is_dir()


def test_the_budget_is_a_reason_to_stop(tiny: TinyStep, tmp_path: Path) -> None:
    artifact = trainable_artifact(tmp_path / "artifact", tiny)
    bucket = artifact.manifest.largest
    small = dataclasses.replace(bucket.plan, budget_bytes=1000, planned_anonymous_bytes=1001)
    bucket = dataclasses.replace(bucket, plan=small)
    manifest = dataclasses.replace(artifact.manifest, buckets=[bucket])
    (artifact.path / MANIFEST).write_text(manifest.to_json())
    report = train(Artifact.open(artifact.path), steps=5, out=tmp_path / "out", engine="native")
    assert (report.steps, report.losses) == (0, ())
    assert report.stop_reason is not None and report.stop_reason.startswith("memory budget: the next step")


def test_accumulation_needs_the_runner(tiny: TinyStep, artifact: Artifact) -> None:
    """Steps that change nothing: a loss is then the mean of its batches'."""
    data, still = several_batches(tiny.spec, 4), OptimizerOptions("sgd", 1e-30)
    single = train(artifact, data, steps=4, optimizer=still, engine="native").losses
    double = train(artifact, data, steps=2, optimizer=still, accumulate=2, engine="native")
    pairs = [(single[0] + single[1]) / 2, (single[2] + single[3]) / 2]
    assert double.losses == pytest.approx(pairs, rel=1e-6)
    with pytest.raises(ArtifactError, match="use lowpeak-runner"):
        train(artifact, data, steps=1, accumulate=2, engine="python")


UNEVEN = [1, 9, 6]
"""Tokens without a label, so that batches have 11, 3 and 6 labels."""


@pytest.mark.parametrize(
    "options",
    [{}, {"batch_size": 2}, {"rows": 11}, {"subset_size": 60}, {"rows": 11, "subset_size": 60}],
    ids=str,
)
def test_one_update_is_by_the_mean_over_all_labels(options: dict[str, int], tmp_path: Path) -> None:
    """One step of plain gradient descent shows the gradient; eager's is of all batches as one."""
    tiny = trainable_step(**options)
    batches = uneven_batches(tiny.spec, UNEVEN)
    if tiny.spec.subset_size:
        labels = torch.cat([batch["labels"].flatten() for batch in batches]).unique()[1:]
        others = [token for token in range(SHAPE["vocab_size"]) if token not in labels]
        subset = torch.tensor(sorted([*labels.tolist(), *others][: tiny.spec.subset_size]))
        batches = [{**batch, "token_subset": subset} for batch in batches]
    artifact = trainable_artifact(tmp_path / "artifact", tiny)
    sgd = OptimizerOptions("sgd", learning_rate=100.0)
    report = train(
        artifact, batches, steps=1, accumulate=3, optimizer=sgd, out=tmp_path / "out", engine="native"
    )
    model = eager_model(tiny)
    loss = mean_over_labels(model, batches)
    loss.backward()
    assert report.losses[0] == pytest.approx(loss.item(), rel=1e-6)
    trained, parameters = load_file(tmp_path / "out" / CHECKPOINT), dict(model.named_parameters())
    for name, before in artifact.adapter().items():
        gradient = (before - trained[f"adapter.{name}"]) / sgd.learning_rate
        expected = parameters[name].grad
        assert expected is not None and distance(gradient, expected) < 1e-5, name
    if not tiny.spec.subset_size:
        whole = {key: torch.cat([batch[key] for batch in batches]) for key in ("input_ids", "labels")}
        assert eager_loss(model, whole).item() == pytest.approx(report.losses[0], rel=1e-5)


def test_batches_of_a_module_count_alike(tmp_path: Path) -> None:
    module = nn.Linear(32, 1)
    loss = Function(lambda m, x, y: nn.functional.mse_loss(m.layer(x), y), layer=module)
    generator = torch.Generator().manual_seed(3)
    data = [
        {"x": torch.randn(4, 32, generator=generator), "y": torch.randn(4, 1, generator=generator)}
        for _ in range(4)
    ]
    artifact = compile_for_device(loss, budget_mb=20, example_batch=data[0], out=tmp_path / "artifact")
    options = OptimizerOptions("sgd", learning_rate=0.1)
    report = train(artifact, data, steps=2, accumulate=2, optimizer=options, engine="native")
    optimizer, losses = torch.optim.SGD(loss.parameters(), lr=0.1), []
    for pair in (data[:2], data[2:]):
        optimizer.zero_grad()
        mean = sum(loss(**batch) for batch in pair) / 2
        mean.backward()
        optimizer.step()
        losses.append(mean.item())
    assert report.losses == pytest.approx(losses, rel=1e-6)


def test_a_batch_file_without_labels_is_an_error(
    tiny: TinyStep, artifact: Artifact, engine: Engine, tmp_path: Path
) -> None:
    """Which lowpeak never writes; an app may."""
    run, options = tmp_path / "run", OptimizerOptions(weight_decay=0.1)
    job = Job.from_json(prepare(artifact, several_batches(tiny.spec, 2), steps=2, out=run).job.read_text())
    job = dataclasses.replace(
        Job.of(artifact, run, steps=2, optimizer=options), batches=str(run / Path(job.batches).name)
    )
    (file,) = Path(job.batches).iterdir()
    tensors = load_file(file)
    tensors["0.targets"][1] = NO_LOSS
    save_file(tensors, file)
    with pytest.raises(DataError, match="the batch has no label after the first token of a row"):
        supervise(job, run, worker_command(artifact.manifest, engine), None)


def test_the_whole_native_process_is_small(tiny: TinyStep, artifact: Artifact, tmp_path: Path) -> None:
    data = several_batches(tiny.spec, 4)
    report = train(artifact, data, steps=20, optimizer=OPTIONS, out=tmp_path, engine="native")
    assert report.peak_held_bytes == report.peak_rss_bytes < 30_000_000
    assert report.baseline_rss_bytes < 10_000_000
    assert report.peak_anonymous_bytes < artifact.manifest.largest.plan.arena_bytes + 4_000_000


def test_a_prepared_run_is_trained_without_python(tiny: TinyStep, artifact: Artifact, tmp_path: Path) -> None:
    data = several_batches(tiny.spec, 4)
    shutil.copytree(artifact.path, tmp_path / "artifact")
    straight = train(artifact, data, steps=5, optimizer=OPTIONS, out=tmp_path / "straight", engine="native")
    job = prepare(tmp_path / "artifact", data, steps=5, optimizer=OPTIONS, out=tmp_path / "run").job
    (tmp_path / "elsewhere").mkdir()
    for moved in ("artifact", "run"):
        (tmp_path / moved).rename(tmp_path / "elsewhere" / moved)
    folder = tmp_path / "elsewhere" / "run"
    done = subprocess.run([runner(), job.name], cwd=folder, capture_output=True, text=True, check=True)
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [event["loss"] for event in events if event["event"] == "step"] == list(straight.losses)
    report = train(
        tmp_path / "elsewhere" / "artifact", data, steps=5, optimizer=OPTIONS, out=folder, resume=True
    )
    assert report.steps == report.start_step == 5
    for name in ("straight/adapter", "elsewhere/run/adapter"):
        assert load_file(tmp_path / name / "adapter_model.safetensors")
    with pytest.raises(ArtifactError, match="has its 5 steps already"):
        prepare(artifact, data, steps=5, optimizer=OPTIONS, out=folder, resume=True)
