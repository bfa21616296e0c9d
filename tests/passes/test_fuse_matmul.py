from __future__ import annotations

import itertools

import pytest
import torch
from expecttest import assert_expected_inline
from torch import fx

from lowpeak_compiler.ir.graph import Frozen, TrainGraph
from lowpeak_compiler.passes.fuse.attention import Attention
from lowpeak_compiler.passes.fuse.fuse_matmul import FuseMatmul
from lowpeak_compiler.passes.loss.chunked_loss import ChunkedLoss
from lowpeak_compiler.passes.loss.lower_loss import LowerLoss
from lowpeak_compiler.passes.lower.lower_attention import LowerAttention
from lowpeak_compiler.passes.lower.quantize import Quantize
from lowpeak_compiler.passes.normalize import Normalize
from lowpeak_compiler.passes.runner import Runner
from tests.evaluate import GraphBuilder, distance, evaluate
from tests.models import joint, language_model

aten = torch.ops.aten
matmul = torch.ops.lowpeak.matmul.default


def values(graph: TrainGraph) -> list[torch.Tensor]:
    torch.manual_seed(0)
    return [torch.randn(node.meta["val"].shape) for node, _ in graph.inputs()]


def fused(graph: TrainGraph, count: int) -> list[str]:
    """Runs the pass, which applies `count` times and changes no result; the operators left."""
    inputs = values(graph)
    before = evaluate(graph, inputs)
    assert FuseMatmul().run(graph) == count
    graph.graph.eliminate_dead_code()
    graph.graph.lint()
    for actual, expected in zip(evaluate(graph, inputs), before, strict=True):
        assert distance(actual, expected) < 1e-6
    return [str(node.target).split(".")[1] for node in graph.operations()]


def arguments(graph: TrainGraph) -> list[tuple[object, ...]]:
    """transpose_a, transpose_b, alpha of every product."""
    return [node.args[2:] for node in graph.operations() if node.target is matmul]


@pytest.mark.parametrize(("swap_a", "swap_b"), itertools.product([False, True], repeat=2))
@pytest.mark.parametrize("batch", [(), (2,)], ids=["mm", "bmm"])
def test_a_product_of_transposed_operands(batch, swap_a, swap_b):
    build = GraphBuilder()
    rank = len(batch) + 2
    order = [*range(len(batch)), rank - 1, rank - 2]

    def operand(name: str, rows: int, cols: int, swap: bool) -> fx.Node:
        if not swap:
            return build.input(name, *batch, rows, cols)
        return build.call(aten.permute.default, build.input(name, *batch, cols, rows), order)

    product = aten.bmm.default if batch else aten.mm.default
    a, b = operand("a", 3, 4, swap_a), operand("b", 4, 5, swap_b)
    graph = build.finish(build.call(product, a, b))
    assert fused(graph, 1) == ["matmul"]
    assert arguments(graph) == [(swap_a, swap_b, 1.0)]


def test_negative_axes_of_a_permute():
    build = GraphBuilder()
    swapped = build.call(aten.permute.default, build.input("a", 2, 4, 3), [0, -1, -2])
    graph = build.finish(build.call(aten.bmm.default, swapped, build.input("b", 2, 4, 5)))
    assert fused(graph, 1) == ["matmul"]
    assert arguments(graph) == [(True, False, 1.0)]


@pytest.mark.parametrize("order", [[1, 0, 2], [2, 1, 0], [1, 2, 0], [0, 1, 2]])
def test_other_permutes_stay(order):
    build = GraphBuilder()
    moved = build.call(aten.permute.default, build.input("a", 4, 4, 4), order)
    graph = build.finish(build.call(aten.bmm.default, moved, build.input("b", 4, 4, 5)))
    assert fused(graph, 1) == ["permute", "matmul"]
    assert arguments(graph) == [(False, False, 1.0)]


def test_a_permute_that_something_else_reads_stays_and_is_read():
    build = GraphBuilder()
    swapped = build.call(aten.permute.default, build.input("a", 4, 3), [1, 0])
    product = build.call(aten.mm.default, swapped, build.input("b", 4, 5))
    graph = build.finish(product, build.call(aten.relu.default, swapped))
    assert fused(graph, 1) == ["permute", "matmul", "relu"]
    assert arguments(graph) == [(False, False, 1.0)]


def test_a_permute_that_is_a_result_stays():
    build = GraphBuilder()
    swapped = build.call(aten.permute.default, build.input("a", 4, 3), [1, 0])
    graph = build.finish(build.call(aten.mm.default, swapped, build.input("b", 4, 5)), swapped)
    assert fused(graph, 1) == ["permute", "matmul"]


def test_a_permute_that_two_products_read_goes():
    build = GraphBuilder()
    swapped = build.call(aten.permute.default, build.input("a", 4, 3), [1, 0])
    products = [build.call(aten.mm.default, swapped, build.input(name, 4, 5)) for name in "bc"]
    products.append(build.call(aten.mm.default, build.input("d", 5, 3), swapped))
    graph = build.finish(*products)
    assert fused(graph, 3) == ["matmul"] * 3
    assert arguments(graph) == [(True, False, 1.0)] * 2 + [(False, True, 1.0)]


@pytest.mark.parametrize("shape", [(3, 4), (2, 3, 4), (1, 2, 3, 4), (4,)], ids=str)
def test_a_linear_layer(shape):
    build = GraphBuilder()
    graph = build.finish(build.call(aten.linear.default, build.input("x", *shape), build.input("w", 5, 4)))
    views = [] if len(shape) == 2 else ["view"]
    assert fused(graph, 1) == [*views, "matmul", *views]
    assert arguments(graph) == [(False, True, 1.0)]


def test_a_linear_layer_with_bias_stays():
    build = GraphBuilder()
    inputs = [build.input("x", 3, 4), build.input("w", 5, 4), build.input("b", 5)]
    graph = build.finish(build.call(aten.linear.default, *inputs))
    assert fused(graph, 0) == ["linear"]


@pytest.mark.parametrize("through_view", [False, True])
@pytest.mark.parametrize("factor", [0.25, 2, -1.5])
def test_a_factor_is_taken(factor, through_view):
    build = GraphBuilder()
    source = build.call(aten.mm.default, build.input("a", 3, 4), build.input("b", 4, 5))
    if through_view:
        source = build.call(aten.view.default, source, [5, 3])
    graph = build.finish(build.call(aten.relu.default, build.call(aten.mul.Scalar, source, factor)))
    assert "mul" not in fused(graph, 2)
    assert arguments(graph) == [(False, False, float(factor))]


def test_a_second_factor_stays():
    build = GraphBuilder()
    product = build.call(aten.mm.default, build.input("a", 3, 4), build.input("b", 4, 5))
    once = build.call(aten.mul.Scalar, product, 0.5)
    graph = build.finish(build.call(aten.mul.Scalar, once, 3.0))
    assert fused(graph, 2) == ["matmul", "mul"]
    assert arguments(graph) == [(False, False, 0.5)]


@pytest.mark.parametrize("reader", ["operation", "result", "operation after a view"])
def test_the_factor_of_a_product_that_something_else_reads_stays(reader):
    build = GraphBuilder()
    product = build.call(aten.mm.default, build.input("a", 3, 4), build.input("b", 4, 5))
    source = build.call(aten.view.default, product, [15]) if "view" in reader else product
    scaled = build.call(aten.mul.Scalar, source, 0.5)
    other = product if reader == "result" else build.call(aten.relu.default, product)
    graph = build.finish(scaled, other)
    assert "mul" in fused(graph, 1)
    assert arguments(graph) == [(False, False, 1.0)]


@pytest.mark.parametrize("viewed", [False, True])
def test_a_factor_of_an_operand_is_passed_on_to_every_product(viewed):
    build = GraphBuilder()
    multiple = build.call(aten.mul.Scalar, build.input("a", 3, 4), 0.5)
    source = build.call(aten.view.default, multiple, [4, 3]) if viewed else multiple
    shape = (3, 5) if viewed else (4, 5)
    products = [build.call(aten.mm.default, source, build.input(name, *shape)) for name in "bc"]
    graph = build.finish(*products)
    assert fused(graph, 3) == ["view"] * viewed + ["matmul"] * 2
    assert arguments(graph) == [(False, False, 0.5)] * 2


def test_a_factor_that_something_else_reads_too_or_twice_stays():
    build = GraphBuilder()
    multiple = build.call(aten.mul.Scalar, build.input("a", 4, 4), 0.5)
    product = build.call(aten.mm.default, multiple, build.input("b", 4, 5))
    other = build.call(aten.mul.Scalar, build.input("c", 4, 4), 0.5)
    square = build.call(aten.mm.default, other, other)
    graph = build.finish(product, build.call(aten.relu.default, multiple), square)
    assert fused(graph, 2) == ["mul", "matmul", "mul", "matmul", "relu"]
    assert arguments(graph) == [(False, False, 1.0)] * 2


def test_a_transposed_product_is_the_product_of_the_transposed():
    build = GraphBuilder()
    product = build.call(aten.mm.default, build.input("a", 3, 4), build.input("b", 4, 5))
    graph = build.finish(build.call(aten.permute.default, product, [1, 0]))
    assert fused(graph, 2) == ["matmul"]
    assert arguments(graph) == [(True, True, 1.0)]


def test_the_factor_of_something_else_stays():
    build = GraphBuilder()
    x = build.input("x", 3, 4)
    viewed = build.call(aten.mul.Scalar, build.call(aten.view.default, x, [12]), 2.0)
    total = build.call(aten.mul.Tensor, build.call(aten.mm.default, x, build.input("b", 4, 4)), x)
    graph = build.finish(viewed, total)
    assert fused(graph, 1) == ["view", "mul", "matmul", "mul"]


def test_golden():
    build = GraphBuilder()
    x, w = build.input("x", 2, 3, 4), build.input("w", 5, 4, role=Frozen("w"))
    keys = build.call(aten.permute.default, build.input("k", 2, 6, 5), [0, 2, 1])
    queries = build.call(aten.linear.default, x, w)
    scores = build.call(aten.mul.Scalar, build.call(aten.bmm.default, queries, keys), 0.5)
    graph = build.finish(build.call(aten.sum.default, scores))
    runner = Runner()
    runner.run(graph, [FuseMatmul()])
    assert runner.applied == {"FuseMatmul": 3}
    assert_expected_inline(
        graph.dump(),
        """\
x: float32[2, 3, 4] = adapter x
w: float32[5, 4] = frozen w
k: float32[2, 6, 5] = adapter k
view_default: float32[6, 4] = aten.view.default(x, [-1, 4])
matmul_default: float32[6, 5] = lowpeak.matmul.default(view_default, w, False, True, 1.0)
view_default_1: float32[2, 3, 5] = aten.view.default(matmul_default, [2, 3, 5])
matmul_default_1: float32[2, 3, 6] = lowpeak.matmul.default(view_default_1, k, False, True, 0.5)
sum_default: float32[] = aten.sum.default(matmul_default_1)
return sum_default""",
    )


@pytest.mark.parametrize("kind", ["llama", "qwen2"])
def test_parity(kind):
    model = language_model(kind, batch=2)
    lowered = [LowerAttention(5), LowerLoss(24, 40), FuseMatmul()]
    graph = joint(model.forward_graph(), [Attention(), Quantize(), ChunkedLoss()], [Normalize(), *lowered])
    left = {node.target for node in graph.operations()}
    assert matmul in left and not left & {aten.mm.default, aten.bmm.default}
    assert any(alpha != 1 for _, _, alpha in arguments(graph))
    model.check(graph)
