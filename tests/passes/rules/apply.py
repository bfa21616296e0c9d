"""Applies rules to a small graph and sees to it that its results stay."""

from __future__ import annotations

import torch
from torch import Tensor

from lowpeak_compiler.ir.graph import TrainGraph
from lowpeak_compiler.passes.rewrite import Rule, rewrite
from tests.evaluate import evaluate


def random_values(graph: TrainGraph) -> list[Tensor]:
    torch.manual_seed(0)
    values = []
    for node, _ in graph.inputs():
        known = node.meta["val"]
        if known.dtype.is_floating_point:
            values.append(torch.rand(known.shape, dtype=known.dtype) + 0.5)
        else:
            values.append(torch.randint(1, 5, known.shape, dtype=known.dtype))
    return values


def applied(graph: TrainGraph, table: dict[object, tuple[Rule, ...]]) -> int:
    """How often the rules applied; results keep shape, type and numbers, every value says what it is."""
    values = random_values(graph)
    before = evaluate(graph, values)
    count = rewrite(graph, table)
    graph.graph.lint()
    for actual, expected, node in zip(evaluate(graph, values), before, graph.results, strict=True):
        assert (actual.shape, actual.dtype) == (expected.shape, expected.dtype)
        assert (node.meta["val"].shape, node.meta["val"].dtype) == (expected.shape, expected.dtype)
        torch.testing.assert_close(actual, expected)
    return count


def operators(graph: TrainGraph) -> list[str]:
    """Names without `aten.` and `.default`, in order."""
    names = (str(getattr(node.target, "__name__", node.target)) for node in graph.operations())
    return [name.removeprefix("aten.").removesuffix(".default") for name in names]
