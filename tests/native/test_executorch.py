"""Artifacts whose programs call our kernels: their loss, gradients and updates beside eager PEFT's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from peft import LoraConfig
from torch import Tensor

from lowpeak import compile_for_device, simulate, train
from lowpeak_artifact.artifact import Artifact
from lowpeak_artifact.errors import BudgetTooSmall, EnvironmentProblem
from lowpeak_compiler.budget.targets import target
from lowpeak_export.executorch import library
from lowpeak_runtime.simulate.execute import execute
from lowpeak_runtime.simulate.reference import reference_step
from lowpeak_runtime.train.executorch_session import ExecuTorchProgram
from tests.evaluate import distance
from tests.native.build import build
from tests.tiny import tiny_llama, tiny_qwen2

SEQ_LEN = 70
"""More than a block of attention, and no multiple of anything."""
MODELS = {
    "llama": lambda: tiny_llama(),
    "qwen2": lambda: tiny_qwen2(),
    "wide heads": lambda: tiny_llama(head_dim=24, num_key_value_heads=1),
}
OPTIONS = {
    "int4": {},
    "int8": {"quantization": "int8"},
    "batch": {"batch_size": 3, "seq_len": 9},
    "masked": {"trainable_ratio": 0.4},
    "dense": {"quantization": "none"},
}

OF_TILES = ("causal_attention_backward_add", "write_rows")


@pytest.fixture(scope="module", autouse=True)
def operators() -> Iterator[Path]:
    path = build() / library.OPS
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(library.OPS_VARIABLE, str(path))
        yield path


def compiled(folder: Path, model: str = "llama", **options: object) -> Artifact:
    return compile_for_device(
        MODELS[model](),
        **{"budget_mb": 40, "seq_len": SEQ_LEN, "kernels": "lowpeak", "out": folder, **options},
    )


def random_adapter(artifact: Artifact) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(3)
    return {name: 0.05 * torch.randn(t.shape, generator=generator) for name, t in artifact.adapter().items()}


def opened(artifact: Artifact, adapter: dict[str, Tensor]) -> ExecuTorchProgram:
    program = ExecuTorchProgram(artifact.file("program.pte"), artifact.file("weights.ptd"), artifact.manifest)
    for name, parameter in program.parameters.items():
        parameter.copy_(adapter[name])
    return program


def check(artifact: Artifact) -> None:
    """Loss and every gradient equal eager's, in a first and in a second step."""
    adapter, sample = random_adapter(artifact), artifact.sample()
    assert sample is not None
    program = opened(artifact, adapter)
    expected, gradients = reference_step(artifact, sample, adapter)
    for _ in range(2):
        loss = program.step(artifact.manifest.largest.batch.graph_inputs(sample))
        assert loss == pytest.approx(expected, rel=1e-5)
        for name, gradient in program.gradients.items():
            assert distance(gradient, gradients[name]) < 1e-5, name


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize(
    "options",
    [
        pytest.param(name, marks=pytest.mark.thorough) if name == "int8" else name
        for name in OPTIONS
        if name != "dense"
    ],
)
def test_loss_and_gradients_are_eager_ones(model, options, tmp_path):
    artifact = compiled(tmp_path / "artifact", model, **OPTIONS[options])
    used = {operation.operator for operation in artifact.graph().operations if not operation.view}
    left = {name for name in target("executorch", "lowpeak").fused if f"lowpeak.{name}.default" not in used}
    assert left == {
        "cached_attention",
        "quantized_linear_input_gradient",
        "select_rows",
        "store",
        "load",
        "loaded",
        *OF_TILES,
    }
    assert not used & {"aten.mm.default", "aten.bmm.default", "aten.permute.default"}
    check(artifact)


def test_linear_layers_without_an_adapter(tmp_path):
    artifact = compiled(tmp_path / "artifact", lora=LoraConfig(r=4, target_modules=["q_proj"]))
    used = {operation.operator for operation in artifact.graph().operations}
    assert "lowpeak.quantized_linear_input_gradient.default" in used
    check(artifact)


def test_dense_weights(tmp_path):
    artifact = compiled(tmp_path / "artifact", **OPTIONS["dense"])
    assert not any("quantized" in operation.operator for operation in artifact.graph().operations)
    check(artifact)


@pytest.mark.thorough
def test_the_smallest_budget(tmp_path):
    with pytest.raises(BudgetTooSmall) as refused:
        compiled(tmp_path / "artifact", budget_mb=1)
    megabytes = refused.value.numbers["minimum_bytes"] / 1_000_000
    check(compiled(tmp_path / "artifact", budget_mb=megabytes))


LONG = {"max_position_embeddings": 2048, "intermediate_size": 512, "hidden_size": 64}


@pytest.mark.parametrize("make", [tiny_llama, tiny_qwen2])
@pytest.mark.parametrize(
    "options",
    [
        pytest.param({}, id="all tokens"),
        pytest.param({"trainable_ratio": 0.4}, id="masked", marks=pytest.mark.thorough),
    ],
)
def test_tokens_in_tiles(make, options, tmp_path):
    """A budget that only tiles meet, with a last tile that is shorter than the others."""
    artifact = compile_for_device(
        make(**LONG), budget_mb=22.5, seq_len=1501, kernels="lowpeak", out=tmp_path / "artifact", **options
    )
    used = {operation.operator for operation in artifact.graph().operations}
    assert {f"lowpeak.{name}.default" for name in OF_TILES} <= used
    check(artifact)
    report = simulate(artifact)
    assert report.loss_relative_error < 1e-5
    assert report.gradient_relative_error_max < 1e-5


@pytest.mark.parametrize("options", [{}, {"quantization": "int8", "trainable_ratio": 0.4}])
def test_a_softmax_over_some_tokens(options, tmp_path):
    """The kernels' step beside the same graph's in torch: eager's loss is another, over all tokens."""
    artifact = compiled(tmp_path / "artifact", loss="subset", subset_size=64, **options)
    used = {operation.operator for operation in artifact.graph().operations}
    assert {"lowpeak.select_rows.default", "lowpeak.quantized_linear_cross_entropy.default"} <= used
    adapter, sample = random_adapter(artifact), artifact.sample()
    inputs = artifact.manifest.largest.batch.graph_inputs(sample, sample["token_subset"])
    program = opened(artifact, adapter)
    expected = execute(artifact.graph(), inputs, adapter, artifact.tensor, artifact.constants())
    assert program.step(inputs) == pytest.approx(expected.loss, rel=1e-5)
    for name, gradient in program.gradients.items():
        assert distance(gradient, expected.gradients[name]) < 1e-5, name


def test_the_simulator_agrees(tmp_path):
    report = simulate(compiled(tmp_path / "artifact", "qwen2"))
    assert report.loss_relative_error < 1e-5
    assert report.gradient_relative_error_max < 1e-5


def test_the_worker_trains(tmp_path):
    artifact = compiled(tmp_path / "artifact", lora=LoraConfig(r=4, target_modules="all-linear"))
    losses: list[float] = []
    train(artifact, steps=4, on_step=lambda step: losses.append(step.loss))
    assert losses[-1] < losses[0]


def test_without_the_library(tmp_path, monkeypatch):
    monkeypatch.setenv(library.OPS_VARIABLE, str(tmp_path / "nothing.so"))
    artifact = compiled(tmp_path / "artifact")
    with pytest.raises(EnvironmentProblem, match=r"nothing\.so, which LOWPEAK_OPS_LIBRARY names: run"):
        train(artifact, steps=1)
