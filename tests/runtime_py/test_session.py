"""The session's losses, gradients and updates against eager PEFT; its refusals."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from lowpeak_artifact.artifact import Artifact
from lowpeak_artifact.errors import ArtifactError, DataError
from lowpeak_runtime.train.executorch_session import ExecuTorchProgram
from lowpeak_runtime.train.optimizer import AdapterOptimizer, OptimizerOptions, optimizer_bytes
from tests.runtime_py.trainable import (
    eager_loss,
    eager_model,
    several_batches,
    trainable_artifact,
    trainable_step,
)
from tests.tiny import TinyStep, tiny_batch


@pytest.fixture(scope="module")
def tiny() -> TinyStep:
    return trainable_step(rows=10)


@pytest.fixture(scope="module")
def artifact(tiny: TinyStep, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return trainable_artifact(tmp_path_factory.mktemp("session") / "artifact", tiny)


def session_of(artifact: Artifact) -> ExecuTorchProgram:
    return ExecuTorchProgram(artifact.file("program.pte"), artifact.file("weights.ptd"), artifact.manifest)


def test_first_values_and_gradients_are_eager_ones(tiny: TinyStep, artifact: Artifact) -> None:
    session = session_of(artifact)
    for name, tensor in session.parameters.items():
        assert torch.equal(tensor, tiny.values[name])
    batch, model = tiny_batch(tiny.spec), eager_model(tiny)
    loss = session.step(tiny.spec.graph_inputs(batch))
    expected = eager_loss(model, batch)
    expected.backward()
    assert loss == pytest.approx(expected.item(), rel=1e-5)
    own = dict(model.named_parameters())
    for name, gradient in session.gradients.items():
        torch.testing.assert_close(gradient, own[name].grad, rtol=1e-4, atol=1e-6)


OPTIONS = [
    OptimizerOptions(learning_rate=5e-3, weight_decay=0.1),
    OptimizerOptions(learning_rate=5e-3, warmup_steps=4, schedule="cosine", clip_norm=0.5),
    OptimizerOptions(algorithm="sgd", learning_rate=0.1, momentum=0.9),
]


@pytest.mark.parametrize("options", OPTIONS, ids=["adamw", "schedule and clipping", "sgd"])
def test_twenty_steps_are_those_of_eager_peft(
    tiny: TinyStep, artifact: Artifact, options: OptimizerOptions
) -> None:
    session, model, steps = session_of(artifact), eager_model(tiny), 20
    optimizer = AdapterOptimizer(session.parameters, session.gradients, options, steps)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    if options.algorithm == "adamw":
        eager: torch.optim.Optimizer = torch.optim.AdamW(trained, weight_decay=options.weight_decay)
    else:
        eager = torch.optim.SGD(trained, momentum=options.momentum)
    batches = several_batches(tiny.spec, 4)
    losses, expected = [], []
    for step in range(steps):
        losses.append(session.step(tiny.spec.graph_inputs(batches[step % 4])))
        optimizer.update(step)
        loss = eager_loss(model, batches[step % 4])
        expected.append(loss.item())
        eager.zero_grad()
        loss.backward()
        if options.clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(trained, options.clip_norm)
        eager.param_groups[0]["lr"] = options.learning_rate_at(step, steps)
        eager.step()
    assert losses == pytest.approx(expected, abs=1e-4)
    assert losses[-4:] != pytest.approx(losses[:4], abs=1e-2)


@pytest.mark.parametrize("options", OPTIONS)
def test_optimizer_bytes_are_those_of_its_state(artifact: Artifact, options: OptimizerOptions) -> None:
    session = session_of(artifact)
    optimizer = AdapterOptimizer(session.parameters, session.gradients, options, 1)
    counted = [(p.numel(), p.element_size()) for p in session.parameters.values()]
    assert optimizer_bytes(counted, options) == sum(t.nbytes for t in optimizer.state.values())
    session.step({k: torch.zeros(r.shape, dtype=torch.int64) for k, r in _inputs(artifact).items()})
    optimizer.update(0)
    kept = sum(t.nbytes for state in optimizer._optimizer.state.values() for t in state.values())
    assert kept == optimizer_bytes(counted, options)


def test_a_gradient_that_is_not_finite_changes_nothing() -> None:
    parameter, gradient = {"p": torch.tensor([1.0, 2.0])}, {"p": torch.tensor([3.0, float("inf")])}
    optimizer = AdapterOptimizer(parameter, gradient, OptimizerOptions(clip_norm=1.0), 9)
    with pytest.raises(DataError, match="the gradient is not finite at step 3"):
        optimizer.update(3)
    assert parameter["p"].tolist() == [1.0, 2.0] and gradient["p"].tolist() == [3.0, float("inf")]
    assert all(not tensor.any() for tensor in optimizer.state.values())


def test_an_update_that_spoils_the_adapter_is_an_error() -> None:
    parameter, gradient = {"p": torch.tensor([1.0])}, {"p": torch.tensor([1e30])}
    options = OptimizerOptions(algorithm="sgd", learning_rate=1e30)
    with pytest.raises(DataError, match=r"the update makes adapter\.p infinite or NaN at step 2"):
        AdapterOptimizer(parameter, gradient, options, 9).update(2)


def test_learning_rate() -> None:
    options = OptimizerOptions(learning_rate=1.0, warmup_steps=2, schedule="cosine")
    rates = [options.learning_rate_at(step, 6) for step in range(6)]
    assert rates == pytest.approx([0.5, 1.0, 1.0, 0.8535534, 0.5, 0.1464466])


@pytest.mark.parametrize(
    "wrong",
    [
        {"learning_rate": 0.0},
        {"learning_rate": float("nan")},
        {"algorithm": "lion"},
        {"schedule": "step"},
        {"betas": (0.9, 1.0)},
        {"clip_norm": -1.0},
        {"weight_decay": -0.1},
        {"warmup_steps": -1},
    ],
)
def test_options_that_make_no_sense(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        OptimizerOptions(**wrong)


def test_inputs_are_checked(tiny: TinyStep, artifact: Artifact) -> None:
    session = session_of(artifact)
    inputs = tiny.spec.graph_inputs(tiny_batch(tiny.spec))
    with pytest.raises(DataError, match="needs the input targets"):
        session.step({name: tensor for name, tensor in inputs.items() if name != "targets"})
    with pytest.raises(DataError, match="input_ids must be int64"):
        session.step({**inputs, "input_ids": inputs["input_ids"][:, :-1]})
    with pytest.raises(DataError, match="it is int32"):
        session.step({**inputs, "input_ids": inputs["input_ids"].int()})


def test_refused_programs(artifact: Artifact, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    program, weights = artifact.file("program.pte"), artifact.file("weights.ptd")
    cut = tmp_path / "cut.pte"
    cut.write_bytes(program.read_bytes()[:2000])
    with pytest.raises(ArtifactError, match=r"cannot load .*cut\.pte.*actual file size"):
        ExecuTorchProgram(cut, weights, artifact.manifest)
    with pytest.raises(ArtifactError, match="cannot load"):
        ExecuTorchProgram(program, None, artifact.manifest)
    assert not capfd.readouterr().err
    fewer = dataclasses.replace(artifact.manifest, parameters=artifact.manifest.parameters[1:])
    with pytest.raises(ArtifactError, match="outputs"):
        ExecuTorchProgram(program, weights, fewer)


def _inputs(artifact: Artifact) -> dict[str, torch.Size]:
    return {record.name: record for record in artifact.manifest.largest.inputs}
