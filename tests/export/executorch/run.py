"""Operators run by ExecuTorch's own runtime: each case a node of one program, its tensors the inputs."""

from __future__ import annotations

from collections.abc import Sequence
from operator import getitem
from typing import Any

from torch import Tensor, fx
from torch.utils._pytree import tree_map_only

from lowpeak_compiler.budget.devices import device
from lowpeak_compiler.budget.planned import place
from lowpeak_compiler.budget.program_view import program_view
from lowpeak_compiler.budget.targets import Target
from lowpeak_compiler.budget.variants import UNBOUNDED, lowering
from lowpeak_compiler.ir.graph import Batch, TrainGraph
from lowpeak_export.executorch.kernels import check_operators
from lowpeak_export.executorch.program import METHOD, emit
from lowpeak_runtime.train.executorch_session import load_runtime, quiet
from tests.evaluate import GraphBuilder
from tests.export.numerics.case import Case


def run(cases: Sequence[Case], target: Target) -> list[tuple[Tensor, ...]]:
    """What the runtime gives for each case, lowered and placed as in an artifact of the target."""
    graph, inputs, counts = graph_of(cases)
    for transformation in lowering(graph, target, UNBOUNDED):
        transformation.run(graph)
    check_operators(graph.operations(), target.fused)
    view = program_view(graph, target, device("laptop"))
    program = emit(place(graph, view, target), {}, target.fused)
    results = iter(_run_program(program, inputs, target.kernels))
    return [tuple(next(results) for _ in range(count)) for count in counts]


def graph_of(cases: Sequence[Case]) -> tuple[TrainGraph, list[Tensor], list[int]]:
    """Graph, inputs, and how many tensors each case gives."""
    build = GraphBuilder()
    inputs: list[Tensor] = []

    def enter(tensor: Tensor) -> fx.Node:
        name = f"x{len(inputs)}"
        inputs.append(tensor.contiguous())
        return build.input(name, *tensor.shape, dtype=tensor.dtype, role=Batch(name))

    entered = [tree_map_only(Tensor, enter, (case.args, case.kwargs)) for case in cases]
    results: list[fx.Node] = []
    counts = []
    for each, (args, kwargs) in zip(cases, entered, strict=True):
        node = build.call(each.operator, *args, **kwargs)
        several = not isinstance(node.meta["val"], Tensor)
        outputs = [build.call(getitem, node, i) for i in range(len(node.meta["val"]))] if several else [node]
        counts.append(len(outputs))
        results += outputs
    return build.finish(*results), inputs, counts


def _run_program(program: bytes, inputs: Sequence[Tensor], kernels: str) -> list[Tensor]:
    runtime = load_runtime(kernels)
    with quiet("cannot run the cases"):
        loaded: Any = runtime._load_program_from_buffer(program)
        method = loaded.load_method(METHOD)
        method.set_inputs(inputs)
        method.execute()
        return list(method.get_outputs(clone_outputs=True))
