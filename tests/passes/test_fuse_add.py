from __future__ import annotations

from operator import getitem

import pytest
import torch
from expecttest import assert_expected_inline

from lowpeak_compiler.budget.targets import target
from lowpeak_compiler.ir.graph import TrainGraph, operator_name
from lowpeak_compiler.passes.fuse.attention import Attention
from lowpeak_compiler.passes.fuse.fuse_add import FuseAdd
from lowpeak_compiler.passes.fuse.fuse_matmul import FuseMatmul
from lowpeak_compiler.passes.fuse.fuse_quantized import FuseQuantized
from lowpeak_compiler.passes.loss.chunked_loss import ChunkedLoss
from lowpeak_compiler.passes.lower.dequantize_per_use import DequantizePerUse
from lowpeak_compiler.passes.lower.quantize import Quantize
from lowpeak_compiler.passes.normalize import Normalize
from tests.evaluate import GraphBuilder, distance, evaluate
from tests.models import joint, language_model

aten = torch.ops.aten
lowpeak = torch.ops.lowpeak
FUSED = target("executorch", "lowpeak").fused


def names(graph: TrainGraph) -> list[str]:
    """Of the operators, in order."""
    calls = [node for node in graph.operations() if node.target is not getitem]
    return [operator_name(node).split(".")[1] for node in calls]


def fused(graph: TrainGraph, count: int) -> list[str]:
    """Runs the pass, which applies `count` times and changes no result; the operators left."""
    torch.manual_seed(0)
    inputs = [torch.randn(node.meta["val"].shape) for node, _ in graph.inputs()]
    before = evaluate(graph, inputs)
    assert FuseAdd(FUSED).run(graph) == count
    graph.graph.eliminate_dead_code()
    graph.graph.lint()
    for actual, expected in zip(evaluate(graph, inputs), before, strict=True):
        assert distance(actual, expected) < 1e-6
    return names(graph)


def product(build: GraphBuilder, name: str):
    a, b = build.input(name + "_a", 3, 4), build.input(name + "_b", 4, 5)
    return build.call(lowpeak.matmul.default, a, b, False, False, 2.0)


@pytest.mark.parametrize("first", [False, True])
def test_a_sum_with_a_product(first):
    build = GraphBuilder()
    operands = [build.input("c", 3, 5), product(build, "p")]
    graph = build.finish(build.call(aten.add.Tensor, *(operands[::-1] if first else operands)))
    assert fused(graph, 1) == ["matmul_add"]


def test_a_chain_of_sums_adds_to_the_first_product():
    build = GraphBuilder()
    total = product(build, "p0")
    for index in range(1, 4):
        total = build.call(aten.add.Tensor, product(build, f"p{index}"), total)
    assert fused(build.finish(total), 3) == ["matmul", "matmul_add", "matmul_add", "matmul_add"]


def test_views_are_taken_over():
    build = GraphBuilder()
    viewed = build.call(aten.view.default, product(build, "p"), [1, 3, 5])
    graph = build.finish(build.call(aten.add.Tensor, build.input("c", 1, 3, 5), viewed))
    assert fused(graph, 1) == ["view", "matmul_add", "view"]


@pytest.mark.parametrize("reader", ["the product", "its view"])
def test_a_product_that_something_else_reads_stays(reader):
    build = GraphBuilder()
    own = product(build, "p")
    viewed = build.call(aten.view.default, own, [1, 3, 5])
    other = build.call(aten.relu.default, own if reader == "the product" else viewed)
    graph = build.finish(build.call(aten.add.Tensor, build.input("c", 1, 3, 5), viewed), other)
    assert "add" in fused(graph, 0)


def test_sums_that_repeat_or_scale_stay():
    build = GraphBuilder()
    own = product(build, "p")
    repeated = build.call(aten.add.Tensor, build.input("row", 1, 5), own)
    doubled = build.call(aten.add.Tensor, build.input("c", 3, 5), product(build, "q"), alpha=2)
    twice = product(build, "r")
    graph = build.finish(repeated, doubled, build.call(aten.add.Tensor, twice, twice))
    assert names(graph).count("add") == 3
    fused(graph, 0)


def test_golden():
    build = GraphBuilder()
    dy, x = build.input("dy", 3, 4), build.input("x", 3, 4)
    weight, root = build.input("weight", 4), build.input("root", 3, 1)
    norm = build.call(lowpeak.rms_norm_backward.default, dy, x, weight, root, None)
    total = build.call(aten.add.Tensor, build.input("around", 3, 4), norm)
    graph = build.finish(build.call(aten.add.Tensor, product(build, "p"), build.input("c", 3, 5)), total)
    assert FuseAdd(FUSED).run(graph) == 2
    graph.graph.eliminate_dead_code()
    assert_expected_inline(
        graph.dump(),
        """\
dy: float32[3, 4] = adapter dy
x: float32[3, 4] = adapter x
weight: float32[4] = adapter weight
root: float32[3, 1] = adapter root
around: float32[3, 4] = adapter around
p_a: float32[3, 4] = adapter p_a
p_b: float32[4, 5] = adapter p_b
c: float32[3, 5] = adapter c
rms_norm_backward_default_1: float32[3, 4] = lowpeak.rms_norm_backward.default(dy, x, weight, root, around)
matmul_add_default: float32[3, 5] = lowpeak.matmul_add.default(c, p_a, p_b, False, False, 2.0)
return matmul_add_default, rms_norm_backward_default_1""",
    )


@pytest.mark.parametrize("kind", ["llama", "qwen2"])
def test_parity(kind):
    model = language_model(kind, batch=2)
    after = [Normalize(), DequantizePerUse(), FuseQuantized(FUSED), FuseMatmul(), FuseAdd(FUSED)]
    graph = joint(model.forward_graph(), [Attention(), Quantize(), ChunkedLoss()], after)
    left = names(graph)
    assert "matmul_add" in left and "quantized_linear_input_gradient_add" in left
    model.check(graph)
