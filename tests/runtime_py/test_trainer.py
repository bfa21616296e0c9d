"""Training end to end in the worker process: reports, adapters, interruptions, resumption, refusals."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file

from lowpeak_artifact.artifact import Artifact
from lowpeak_artifact.errors import ArtifactError, DataError, EnvironmentProblem
from lowpeak_artifact.folder_lock import COMPILES, reserved
from lowpeak_runtime.data.encode import Example
from lowpeak_runtime.train import command, trainer
from lowpeak_runtime.train.checkpoint import CHECKPOINT, read_progress
from lowpeak_runtime.train.checkpoint_tensors import load_adapter
from lowpeak_runtime.train.optimizer import OptimizerOptions
from lowpeak_runtime.train.supervisor import StepReport
from tests.children import WORKER, child_of_this_process
from tests.runtime_py.trainable import (
    eager_loss,
    eager_model,
    several_batches,
    trainable_artifact,
    trainable_step,
    uneven_batches,
)
from tests.tiny import SEQ_LEN, TinyStep, tiny_batch

OPTIONS = OptimizerOptions(learning_rate=5e-3)
STEPS = 12
train = partial(trainer.train, engine="python")


@pytest.fixture(scope="module")
def tiny() -> TinyStep:
    return trainable_step(rows=10)


@pytest.fixture(scope="module")
def artifact(tiny: TinyStep, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return trainable_artifact(tmp_path_factory.mktemp("trainer") / "artifact", tiny)


@pytest.fixture(scope="module")
def straight(tiny: TinyStep, artifact: Artifact, tmp_path_factory: pytest.TempPathFactory):
    """(report, folder) of an uninterrupted run."""
    out = tmp_path_factory.mktemp("straight") / "out"
    return train(artifact, several_batches(tiny.spec, 4), steps=STEPS, optimizer=OPTIONS, out=out), out


def eager_losses(tiny: TinyStep) -> list[float]:
    model = eager_model(tiny)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=OPTIONS.learning_rate, weight_decay=0.0)
    batches, losses = several_batches(tiny.spec, 4), []
    for step in range(STEPS):
        loss = eager_loss(model, batches[step % 4])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def test_losses_and_report(tiny: TinyStep, artifact: Artifact, straight) -> None:
    report, out = straight
    assert report.losses == pytest.approx(eager_losses(tiny), abs=1e-4)
    assert (report.steps, report.start_step, report.stopped) == (STEPS, 0, False)
    assert report.tokens_per_second is not None
    # Of a step's tokens in a median step's seconds, within what single steps differ.
    assert 0.05 < report.tokens_per_second * report.step_seconds / SEQ_LEN < 20
    beyond = 0 if report.engine == "native" else report.baseline_rss_bytes
    assert report.peak_held_bytes == report.peak_rss_bytes - beyond
    plan = artifact.manifest.largest.plan
    assert report.planned_peak_bytes == plan.planned_peak_bytes
    assert plan.arena_bytes < report.peak_anonymous_bytes < plan.arena_bytes + 8_000_000
    assert report.baseline_rss_bytes < report.peak_rss_bytes
    assert json.loads(report.to_json())["adapter"] == str(out / "adapter")
    assert sorted(entry.name for entry in out.iterdir()) == ["adapter", CHECKPOINT]


def test_its_artifact_is_not_replaced_meanwhile(tiny: TinyStep, artifact: Artifact) -> None:
    def replace(step: StepReport) -> None:
        words = rf"\(process {os.getpid()}\) still uses"
        with pytest.raises(ArtifactError, match=words), reserved(artifact.path, COMPILES):
            pass

    report = train(artifact, several_batches(tiny.spec, 4), steps=1, on_step=replace)
    assert report.steps == 1
    with reserved(artifact.path, COMPILES):
        pass


def test_trained_adapter_loads_into_peft(tiny: TinyStep, artifact: Artifact, straight) -> None:
    report, _ = straight
    batch = tiny_batch(tiny.spec)
    model = eager_model(tiny)
    parameters = dict(model.named_parameters())
    for name, tensor in load_adapter(report.adapter.parent / CHECKPOINT).items():
        parameters[name].data.copy_(tensor)
    # unload() gives the base model, its quantized weights included.
    loaded = PeftModel.from_pretrained(eager_model(tiny).unload(), report.adapter).eval()
    with torch.no_grad():
        expected = eager_loss(model, batch).item()
        assert eager_loss(loaded, batch).item() == pytest.approx(expected, abs=1e-6)
        assert expected != pytest.approx(eager_loss(eager_model(tiny), batch).item(), abs=1e-2)


def test_resume_is_exact_and_stops_at_the_goal(
    tiny: TinyStep, artifact: Artifact, straight, tmp_path: Path
) -> None:
    data = several_batches(tiny.spec, 4)
    first = train(artifact, data, steps=5, optimizer=OPTIONS, out=tmp_path)
    second = train(artifact, data, steps=STEPS, optimizer=OPTIONS, out=tmp_path, resume=True)
    assert first.losses + second.losses == straight[0].losses
    assert (second.start_step, second.steps) == (5, STEPS)
    assert (tmp_path / CHECKPOINT).read_bytes() == (straight[1] / CHECKPOINT).read_bytes()
    shutil.rmtree(tmp_path / "adapter")
    third = train(artifact, data, steps=STEPS, optimizer=OPTIONS, out=tmp_path, resume=True)
    assert (third.losses, third.start_step, third.steps) == ((), STEPS, STEPS)
    assert third.adapter is not None and third.adapter.is_dir()


@pytest.mark.thorough
def test_killed_at_random_and_resumed(tiny: TinyStep, artifact: Artifact, straight, tmp_path: Path) -> None:
    moments = random.Random(3)
    losses: dict[int, float] = {}

    def kill_sometimes(step: StepReport) -> None:
        assert losses.setdefault(step.step, step.loss) == step.loss
        if moments.random() < 0.3:
            time.sleep(moments.random() * 0.01)
            os.kill(child_of_this_process(WORKER), signal.SIGKILL)

    kills = 0
    while True:
        try:
            train(
                artifact,
                several_batches(tiny.spec, 4),
                steps=STEPS,
                optimizer=OPTIONS,
                out=tmp_path,
                resume=True,
                checkpoint_every=1,
                on_step=kill_sometimes,
            )
            break
        except EnvironmentProblem as problem:
            assert "killed" in str(problem) and "resume" in str(problem)
            kills += 1
    assert kills
    assert [losses[step] for step in sorted(losses)] == list(straight[0].losses[: len(losses)])
    assert read_progress(tmp_path / CHECKPOINT).step == STEPS
    assert (tmp_path / CHECKPOINT).read_bytes() == (straight[1] / CHECKPOINT).read_bytes()


def test_terminated_run_leaves_a_checkpoint(tiny: TinyStep, artifact: Artifact, tmp_path: Path) -> None:
    def terminate(step: StepReport) -> None:
        if step.step == 2:
            os.kill(child_of_this_process(WORKER), signal.SIGTERM)

    report = train(artifact, several_batches(tiny.spec, 4), steps=5000, out=tmp_path, on_step=terminate)
    assert report.stopped and 3 <= report.steps < 5000
    assert read_progress(tmp_path / CHECKPOINT).step == report.steps == len(report.losses)
    assert report.adapter is not None and report.adapter.is_dir()


def test_an_interrupt_here_leaves_a_checkpoint(tiny: TinyStep, artifact: Artifact, tmp_path: Path) -> None:
    def interrupt(step: StepReport) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(artifact, several_batches(tiny.spec, 4), steps=5000, out=tmp_path, on_step=interrupt)
    assert 1 <= read_progress(tmp_path / CHECKPOINT).step < 5000


def test_runs_that_may_not_continue(tiny: TinyStep, artifact: Artifact, straight, tmp_path: Path) -> None:
    _, out = straight
    with pytest.raises(ArtifactError, match="holds a training run of 12 steps"):
        train(artifact, steps=20, optimizer=OPTIONS, out=out)
    with pytest.raises(
        ArtifactError, match=r"a run with learning_rate 0.005, now it is 0.0002: a resumed run keeps it"
    ):
        train(artifact, steps=20, out=out, resume=True)
    with pytest.raises(ArtifactError, match="seed 0, now it is 1"):
        train(artifact, steps=20, optimizer=OPTIONS, out=out, resume=True, seed=1)
    other = trainable_artifact(tmp_path / "other", tiny, model_name="other")
    with pytest.raises(ArtifactError, match="another artifact"):
        train(other, steps=20, optimizer=OPTIONS, out=out, resume=True)


def test_examples_and_the_sample_batch(tiny: TinyStep, artifact: Artifact) -> None:
    examples = [Example(tuple(range(n, n + 8)), (-100,) * 3 + tuple(range(n + 3, n + 8))) for n in range(5)]
    one = train(artifact, examples, steps=3, seed=1)
    other = train(artifact, examples, steps=3, seed=2)
    assert one.adapter is None and one.losses != other.losses
    sampled = train(artifact, steps=2, optimizer=OPTIONS)
    with torch.no_grad():
        assert sampled.losses[0] == pytest.approx(
            eager_loss(eager_model(tiny), tiny_batch(tiny.spec)).item(), abs=1e-5
        )


def test_batches_without_a_label_leave_the_adapter_alone(
    tiny: TinyStep, artifact: Artifact, tmp_path: Path
) -> None:
    """Not even weight decay and momentum move it; steps and checkpoints are of the others."""
    options = OptimizerOptions(learning_rate=5e-3, weight_decay=0.1, schedule="cosine")
    first, second = uneven_batches(tiny.spec, [2, 9])
    (empty,) = uneven_batches(tiny.spec, [tiny.spec.seq_len])
    expected = train(artifact, [first, second], steps=4, optimizer=options, out=tmp_path / "a")
    assert expected.skipped_batches == 0
    runs = partial(train, artifact, [first, empty, empty, second], steps=4, optimizer=options, resume=True)
    stopped = runs(out=tmp_path / "b", on_step=_interrupt_after_one())
    resumed = runs(out=tmp_path / "b")
    assert stopped.stopped and stopped.skipped_batches == resumed.skipped_batches == 2
    assert stopped.losses + resumed.losses == expected.losses
    assert (tmp_path / "a" / CHECKPOINT).read_bytes() == (tmp_path / "b" / CHECKPOINT).read_bytes()
    with pytest.raises(DataError, match="none of 1 batches has a label"):
        train(artifact, [empty], steps=1)


def _interrupt_after_one() -> Callable[[StepReport], None]:
    def stop(step: StepReport) -> None:
        if step.step == 0:
            os.kill(child_of_this_process(WORKER), signal.SIGTERM)

    return stop


def test_data_that_does_not_fit(tiny: TinyStep, artifact: Artifact, tmp_path: Path) -> None:
    file = tmp_path / "data.jsonl"
    file.write_text('{"text": "hello"}\n')
    with pytest.raises(DataError, match="has no tokenizer"):
        train(artifact, file, steps=1)
    with pytest.raises(DataError, match="list is empty"):
        train(artifact, [], steps=1)
    with pytest.raises(DataError, match="11 tokens with a label, the artifact has room for 10"):
        train(artifact, [tiny_batch(tiny.spec, prompt=0)], steps=1)


def test_diverging_training_is_an_error_with_numbers(tiny: TinyStep, artifact: Artifact) -> None:
    wild = OptimizerOptions(algorithm="sgd", learning_rate=1e30)
    with pytest.raises(DataError, match="lower learning rate") as problem:
        train(artifact, steps=50, optimizer=wild)
    assert 0 < problem.value.numbers["step"] < 50


def test_a_worker_that_ends_otherwise(
    artifact: Artifact, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "MALLOC", {"PYTHONHOME": "/nowhere"})
    with pytest.raises(EnvironmentProblem, match="exit code 1"):
        train(artifact, steps=1)


def test_a_plain_module_gets_its_parameters_back(tiny: TinyStep, tmp_path: Path) -> None:
    plain = trainable_artifact(tmp_path / "plain", tiny, adapter_config=None)
    report = train(plain, steps=2, out=tmp_path / "out")
    assert report.adapter == tmp_path / "out" / "trained.safetensors"
    assert load_file(report.adapter).keys() == tiny.values.keys() & set(tiny.graph.gradients)
