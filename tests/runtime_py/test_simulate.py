"""The simulator agrees with eager PyTorch on sound artifacts, and disagrees when a plan is wrong."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from lowpeak_artifact.artifact import Artifact
from lowpeak_artifact.errors import ArtifactError, DataError, ModelError
from lowpeak_compiler.budget.planned import PlannedStep
from lowpeak_compiler.plan.liveness import live_bytes
from lowpeak_runtime.simulate.report import SimulationReport, sparkline
from lowpeak_runtime.simulate.simulate import simulate
from tests.tiny import (
    SHAPE,
    TinyStep,
    planned_module,
    planned_step,
    tiny_batch,
    tiny_llama,
    tiny_qwen2,
    write_artifact,
)

STEPS: dict[str, Callable[[], TinyStep]] = {
    "llama with masked logits": lambda: planned_step(tiny_llama(), rows=9),
    "qwen2 with biases, two sequences": lambda: planned_step(tiny_qwen2(), batch_size=2),
    "8 bits": lambda: planned_step(tiny_qwen2(num_hidden_layers=1), bits=8),
    "dense": lambda: planned_step(tiny_llama(num_hidden_layers=1), bits=None),
}


@pytest.fixture(scope="module")
def tiny() -> TinyStep:
    return planned_step(tiny_llama(num_hidden_layers=1))


@pytest.fixture(scope="module")
def folder(tiny: TinyStep, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_artifact(tmp_path_factory.mktemp("simulate") / "artifact", tiny)


def _agrees(report: SimulationReport) -> bool:
    """False, too, when a figure is NaN."""
    assert report.loss_relative_error is not None
    assert report.gradient_cosine_min is not None and report.gradient_relative_error_max is not None
    return (
        report.loss_relative_error < 1e-5
        and report.gradient_cosine_min > 1 - 1e-9
        and report.gradient_relative_error_max < 1e-5
    )


@pytest.mark.parametrize("name", STEPS)
def test_loss_and_gradients_are_those_of_eager_peft(name: str, tmp_path: Path) -> None:
    tiny = STEPS[name]()
    done: list[tuple[int, int]] = []
    folder = write_artifact(tmp_path / "artifact", tiny)
    report = simulate(folder, progress=lambda step, steps: done.append((step, steps)))
    assert _agrees(report), report.to_text()
    assert report.simulated_peak_bytes == report.planned_peak_bytes == tiny.step.arena_bytes + 300
    assert [step.live_bytes for step in report.timeline] == live_bytes(tiny.step.view.program)
    assert [step.name for step in report.timeline] == [op.name for op in tiny.step.view.program.ops]
    assert done[-1] == (len(done), len(done))


def _moved_onto_another(step: PlannedStep, seed: int) -> PlannedStep:
    """The step with one buffer moved to where another one is that is live at the same time."""
    buffers = step.problem.buffers
    generator = torch.Generator().manual_seed(seed)
    for index in torch.randperm(len(buffers), generator=generator).tolist():
        for other in torch.randperm(len(buffers), generator=generator).tolist():
            mine, theirs = buffers[index], buffers[other]
            together = max(mine.lower, theirs.lower) + 2 < min(mine.upper, theirs.upper)
            if index != other and together and 64 < mine.size <= theirs.size:
                offsets = list(step.solution.offsets)
                offsets[index] = offsets[other]
                solution = dataclasses.replace(step.solution, offsets=tuple(offsets))
                return dataclasses.replace(step, solution=solution)
    raise AssertionError("no two buffers are live together")


@pytest.mark.parametrize("seed", range(6))
def test_two_values_on_the_same_bytes_are_seen(seed: int, tiny: TinyStep, tmp_path: Path) -> None:
    wrong = dataclasses.replace(tiny, step=_moved_onto_another(tiny.step, seed))
    folder = write_artifact(tmp_path / "artifact", wrong)
    try:
        report = simulate(folder)
    except ArtifactError as error:
        assert "overwrites the adapter" in str(error) or "cannot be run" in str(error)
    else:
        assert not _agrees(report)


def test_a_fresh_adapter_has_zero_gradients_in_both(folder: Path) -> None:
    artifact = Artifact.open(folder)
    report = simulate(artifact, perturb_adapter=False)
    assert _agrees(report)
    assert report.loss != simulate(artifact).loss


def test_the_loss_is_of_the_given_batch(tiny: TinyStep, folder: Path) -> None:
    batch = tiny_batch(tiny.spec, prompt=9)
    report = simulate(folder, batch=batch)
    assert _agrees(report) and report.loss != simulate(folder).loss
    with pytest.raises(DataError, match="shape"):
        simulate(folder, batch={name: tensor[:, :-1] for name, tensor in batch.items()})


def test_a_reference_that_is_given_is_used(tiny: TinyStep, folder: Path) -> None:
    before = {name: tensor.clone() for name, tensor in tiny.model.named_parameters()}
    assert _agrees(simulate(folder, reference=tiny.model))
    assert all(torch.equal(tensor, before[name]) for name, tensor in tiny.model.named_parameters())
    assert all(tensor.grad is None for tensor in tiny.model.parameters())
    with pytest.raises(ModelError, match="no parameter"):
        simulate(folder, reference=nn.Linear(1, 1))


def test_a_subset_of_the_softmax_is_compared_with_the_exact_loss(tmp_path: Path) -> None:
    tiny = planned_step(tiny_llama(num_hidden_layers=1), subset_size=24)
    batch = tiny_batch(tiny.spec)
    labels = {label for label in batch["labels"].flatten().tolist() if label >= 0}
    others = [token for token in range(SHAPE["vocab_size"]) if token not in labels]
    batch["token_subset"] = torch.tensor([*sorted(labels), *others][:24])
    report = simulate(write_artifact(tmp_path / "artifact", tiny, batch))
    assert report.reference_loss is not None and report.loss < report.reference_loss
    assert report.gradient_cosine_min is not None and 0 < report.gradient_cosine_min < 1


class _Regression(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.frozen = nn.Linear(64, 32).requires_grad_(False)
        self.head = nn.Linear(32, 2)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return nn.functional.mse_loss(self.head(torch.tanh(self.frozen(x))), y)


@pytest.mark.parametrize("bits", [None, 4])
def test_plain_modules_are_compared_with_themselves(bits: int | None, tmp_path: Path) -> None:
    module = _Regression()
    batch = {"x": torch.randn(5, 64), "y": torch.randn(5, 2)}
    tiny = planned_module(module, batch, bits)  # type: ignore[arg-type]
    folder = write_artifact(tmp_path / "artifact", tiny, batch)
    assert _agrees(simulate(folder, reference=module))
    report = simulate(folder)
    assert report.gradient_cosine_min is None and report.reference_loss == 0.0
    assert simulate(folder, batch=batch).reference_loss is None
    with pytest.raises(DataError, match=r"takes y of shape .* missing"):
        simulate(folder, batch={"x": batch["x"]})


def test_without_a_sample_a_batch_has_to_be_given(tiny: TinyStep, tmp_path: Path) -> None:
    folder = write_artifact(tmp_path / "artifact", tiny, sample=None)
    artifact = Artifact.open(folder)
    blind = Artifact(folder, dataclasses.replace(artifact.manifest, sample=None))
    with pytest.raises(DataError, match="no sample batch"):
        simulate(blind)


def test_the_report_has_stable_names(folder: Path) -> None:
    report = simulate(folder)
    assert list(json.loads(report.to_json())) == [
        "manifest_sha256",
        "planned_peak_bytes",
        "simulated_peak_bytes",
        "loss",
        "reference_loss",
        "loss_relative_error",
        "gradient_cosine_min",
        "gradient_relative_error_max",
        "reference",
        "predicted_step_seconds",
        "by_category",
    ]
    assert sum(report.by_category.values()) == max(step.live_bytes for step in report.timeline)
    assert json.loads(dataclasses.replace(report, loss=float("nan")).to_json())["loss"] == "nan"
    text = report.to_text(columns=40)
    assert "activation" in text and all(len(line) < 110 for line in text.splitlines())
    assert "\nreference the artifact's own weights (pass --model to compare with the model itself)" in text
    assert sparkline([0, 1, 4, 8], 4, 8) == " ▁▄█" and sparkline([1, 8, 0, 0], 2, 8) == "█ "
