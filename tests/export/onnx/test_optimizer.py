"""The optimizer models through the runtime's training API, against torch.optim and torch's clipping."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import onnx_ir as ir
import pytest
import torch
from onnx import numpy_helper
from onnxruntime.training import onnxblock
from onnxruntime.training.api import CheckpointState, Module, Optimizer
from torch import Tensor

from lowpeak_export.onnx.model import GRADIENT_BUFFER, GRADIENT_DONE, IR_VERSION, LOSS, RESET
from lowpeak_export.onnx.nodes import MICROSOFT, OPSET
from lowpeak_export.onnx.optimizer import adamw_model, default_optimizer_model, sgd_model
from lowpeak_export.onnx.runtime import SESSION_OPTIONS, session_options

SHAPES = {"lora_A": (3, 4), "lora_B": (5, 3), "bias": (6,)}
STEPS = 6


def first_values() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {name: torch.randn(shape, generator=generator) for name, shape in SHAPES.items()}


def gradients(step: int) -> dict[str, Tensor]:
    """Of norms from below 1 to above it, so that clipping has something to do, and something not to do."""
    generator = torch.Generator().manual_seed(step + 1)
    size = 0.02 if step % 3 == 1 else 0.5
    return {name: size * torch.randn(shape, generator=generator) for name, shape in SHAPES.items()}


def rate_at(step: int) -> float:
    return 0.02 / (step + 1)


class Trained:
    """Parameters of the runtime's, whose gradient is whatever the step is given."""

    def __init__(self, folder: Path, optimizer: ir.Model) -> None:
        ir.save(given_gradients_model(), folder / "training.onnx")
        ir.save(optimizer, folder / "optimizer.onnx")
        tensors = [numpy_helper.from_array(value.numpy(), name) for name, value in first_values().items()]
        onnxblock.save_checkpoint((tensors, []), str(folder / "checkpoint"))
        self.state = CheckpointState.load_checkpoint(folder / "checkpoint")
        options = session_options(SESSION_OPTIONS)
        self.module = Module(folder / "training.onnx", self.state, session_options=options)
        self.optimizer = Optimizer(folder / "optimizer.onnx", self.module)
        self.module.train()

    def accumulate(self, gradients: dict[str, Tensor]) -> None:
        self.module(*(gradients[name].numpy() for name in SHAPES))

    def update(self, rate: float) -> None:
        self.optimizer.set_learning_rate(rate)
        self.optimizer.step()
        self.module.lazy_reset_grad()

    def parameters(self) -> dict[str, Tensor]:
        return {name: torch.from_numpy(self.state.parameters[name].data) for name in SHAPES}


def given_gradients_model() -> ir.Model:
    """loss = sum(given * parameter): a parameter's gradient is what is given for it."""

    def value(name: str, shape: Sequence[int], dtype: ir.DataType = ir.DataType.FLOAT) -> ir.Value:
        return ir.Value(name=name, type=ir.TensorType(dtype), shape=ir.Shape(shape))

    given = {name: value(f"given.{name}", shape) for name, shape in SHAPES.items()}
    parameters = {name: value(name, shape) for name, shape in SHAPES.items()}
    buffers = {name: value(GRADIENT_BUFFER.format(name), shape) for name, shape in SHAPES.items()}
    reset = value(RESET, [1], ir.DataType.BOOL)
    done = {name: value(GRADIENT_DONE.format(name), [1], ir.DataType.BOOL) for name in SHAPES}
    loss = value(LOSS, [])
    nodes, sums = [], []
    for name in SHAPES:
        product = ir.node("Mul", [given[name], parameters[name]])
        total = ir.node("ReduceSum", product.outputs, {"keepdims": 0})
        sums.append(total.outputs[0])
        added = ir.node(
            "InPlaceAccumulatorV2",
            [buffers[name], given[name], reset],
            domain=MICROSOFT,
            outputs=[done[name]],
        )
        nodes += [product, total, added]
    nodes.append(ir.node("Sum", sums, outputs=[loss]))
    graph = ir.Graph(
        [*given.values(), *parameters.values(), *buffers.values(), reset],
        [loss, *done.values()],
        nodes=nodes,
        opset_imports={"": OPSET, MICROSOFT: 1},
        name="given gradients",
    )
    return ir.Model(graph, ir_version=IR_VERSION)


def torch_parameters(
    make: type[torch.optim.Optimizer], clip_norm: float | None = None, **options: Any
) -> dict[str, Tensor]:
    """After STEPS updates of torch's optimizer."""
    parameters = {name: value.requires_grad_() for name, value in first_values().items()}
    optimizer = make(list(parameters.values()), lr=1.0, **options)
    for step in range(STEPS):
        for name, gradient in gradients(step).items():
            parameters[name].grad = gradient
        if clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(list(parameters.values()), clip_norm)
        optimizer.param_groups[0]["lr"] = rate_at(step)
        optimizer.step()
    return {name: value.detach() for name, value in parameters.items()}


def trained_parameters(folder: Path, model: ir.Model) -> dict[str, Tensor]:
    trained = Trained(folder, model)
    for step in range(STEPS):
        trained.accumulate(gradients(step))
        trained.update(rate_at(step))
    return trained.parameters()


def assert_equal(actual: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    before = first_values()
    for name, value in expected.items():
        torch.testing.assert_close(actual[name], value, rtol=0, atol=1e-6)
        assert (value - before[name]).abs().max() > 1e-3, f"{name} did not move: nothing is tested"


@pytest.mark.parametrize("clip_norm", [None, 0.7])
@pytest.mark.parametrize("weight_decay", [0.0, 0.3])
@pytest.mark.parametrize(("betas", "epsilon"), [((0.9, 0.999), 1e-8), ((0.8, 0.95), 0.05)])
def test_adamw(
    betas: tuple[float, float], epsilon: float, weight_decay: float, clip_norm: float | None, tmp_path: Path
) -> None:
    model = adamw_model(betas=betas, epsilon=epsilon, weight_decay=weight_decay, clip_norm=clip_norm)
    expected = torch_parameters(
        torch.optim.AdamW, clip_norm, betas=betas, eps=epsilon, weight_decay=weight_decay
    )
    assert_equal(trained_parameters(tmp_path, model), expected)


@pytest.mark.parametrize("clip_norm", [None, 0.7])
def test_sgd(clip_norm: float | None, tmp_path: Path) -> None:
    expected = torch_parameters(torch.optim.SGD, clip_norm)
    assert_equal(trained_parameters(tmp_path, sgd_model(clip_norm=clip_norm)), expected)


def test_the_model_of_an_artifact_has_the_defaults_of_training(tmp_path: Path) -> None:
    for algorithm, make in (("adamw", torch.optim.AdamW), ("sgd", torch.optim.SGD)):
        folder = tmp_path / algorithm
        folder.mkdir()
        expected = torch_parameters(make, weight_decay=0.0)
        assert_equal(trained_parameters(folder, default_optimizer_model(algorithm)), expected)


def test_clipping_changes_the_update(tmp_path: Path) -> None:
    """So that the equality above says something: the smallest gradients are below the limit, others above."""
    norms = [torch.cat([g.flatten() for g in gradients(step).values()]).norm() for step in range(STEPS)]
    assert min(norms) < 0.7 < max(norms)
    free, clipped = torch_parameters(torch.optim.SGD), torch_parameters(torch.optim.SGD, 0.7)
    assert (free["lora_A"] - clipped["lora_A"]).abs().max() > 1e-3
