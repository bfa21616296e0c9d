"""Runs a TrainGraph in plain torch, and what tests compare it with: the same module in eager mode."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._pytree import tree_map_only

from lowpeak_artifact.quantize import quantize
from lowpeak_artifact.quantized import QuantizedTensor
from lowpeak_compiler.ir.graph import Adapter, Batch, Constant, Quantized, Role, TrainGraph
from lowpeak_compiler.ir.nodes import infer


class _Contiguous(fx.Interpreter):
    """Every result is contiguous, as the graph means it."""

    def run_node(self, n: fx.Node) -> Any:
        return tree_map_only(Tensor, lambda t: t.contiguous(), super().run_node(n))


def evaluate(graph: TrainGraph, values: list[Tensor]) -> list[Tensor]:
    """The graph's results; `values`: one tensor for each input, in order."""
    with torch.no_grad():
        results = _Contiguous(fx.GraphModule({}, graph.graph)).run(*values)
    return list(results)


def values_of(graph: TrainGraph, tensors: Mapping[str, Tensor], batch: Mapping[str, Tensor]) -> list[Tensor]:
    """`tensors`: parameters and buffers by name, dense; quantized inputs are made of them."""
    stored: dict[str, QuantizedTensor] = {}
    values: list[Tensor] = []
    for _, role in graph.inputs():
        if isinstance(role, Batch):
            values.append(batch[role.name])
        elif isinstance(role, Constant):
            values.append(role.value)
        elif isinstance(role, Quantized):
            if role.name not in stored:
                stored[role.name] = quantize(tensors[role.name].detach(), role.format)
            values.append(getattr(stored[role.name], role.part))
        else:
            values.append(tensors[role.name].detach())
    return values


def tensors_of_module(module: nn.Module, prefix: str = "") -> dict[str, Tensor]:
    """Every parameter and buffer, ties under all of their names."""
    found = [*module.named_parameters(remove_duplicate=False), *module.named_buffers(remove_duplicate=False)]
    return {name.removeprefix(prefix): tensor for name, tensor in found}


@dataclass
class Trained:
    """A module whose forward gives the loss, with its batch; `prefix` is taken off its names."""

    module: nn.Module
    batch: dict[str, Tensor]
    prefix: str = ""

    def evaluate(self, graph: TrainGraph, batch: Mapping[str, Tensor] | None = None) -> list[Tensor]:
        tensors = tensors_of_module(self.module, self.prefix)
        return evaluate(graph, values_of(graph, tensors, batch if batch is not None else self.batch))

    def eager(self, graph: TrainGraph) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss and gradients of a copy whose quantized weights went through the graph's formats."""
        module = copy.deepcopy(self.module)
        tensors = tensors_of_module(module, self.prefix)
        for _, role in graph.inputs():
            if isinstance(role, Quantized) and role.part == "data":
                weight = tensors[role.name]
                weight.data.copy_(quantize(weight.detach(), role.format).dequantize())
        loss = module(**self.batch)
        loss.backward()
        return loss.detach(), {name: t.grad for name, t in tensors.items() if t.grad is not None}

    def check(
        self, graph: TrainGraph, batch: Mapping[str, Tensor] | None = None, relative: float = 1e-5
    ) -> None:
        """Loss and every gradient of the joint graph equal eager's."""
        loss, gradients = self.eager(graph)
        found_loss, *found = self.evaluate(graph, batch)
        assert distance(found_loss, loss) < relative
        assert set(graph.gradients) == set(gradients)
        for name, gradient in zip(graph.gradients, found, strict=True):
            assert gradients[name].norm() > 0, f"the gradient of {name} is zero: nothing is tested"
            assert distance(gradient, gradients[name]) < relative, name


def distance(actual: Tensor, expected: Tensor) -> float:
    """|found - expected| / |expected|"""
    assert actual.shape == expected.shape, (actual.shape, expected.shape)
    scale = expected.double().norm().clamp(min=1e-30)
    return ((actual.double() - expected.double()).norm() / scale).item()


@dataclass
class GraphBuilder:
    """A small graph by hand."""

    graph: TrainGraph = field(default_factory=lambda: TrainGraph(fx.Graph(), {}))
    mode: FakeTensorMode = field(default_factory=FakeTensorMode)

    def input(
        self, name: str, *shape: int, dtype: torch.dtype = torch.float32, role: Role | None = None
    ) -> fx.Node:
        """An adapter tensor if it is given no role."""
        value = FakeTensor(self.mode, torch.empty(shape, dtype=dtype, device="meta"), torch.device("cpu"))
        return self.graph.add_input(role or Adapter(name), value, name)

    def call(self, target: Callable[..., Any], *args: Any, **kwargs: Any) -> fx.Node:
        node = self.graph.graph.call_function(target, args, kwargs)
        if any(isinstance(argument, fx.Node | list) for argument in args) and node.all_input_nodes:
            node.meta["val"] = infer(self.graph, node)
        else:
            with self.mode:
                node.meta["val"] = target(*args, **kwargs)
        return node

    def finish(self, *results: fx.Node) -> TrainGraph:
        self.graph.graph.output(results)
        return self.graph
