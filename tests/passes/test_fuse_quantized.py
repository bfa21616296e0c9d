from __future__ import annotations

from operator import getitem

import pytest
import torch
from expecttest import assert_expected_inline
from torch import fx

from lowpeak_artifact.quantized import QuantFormat
from lowpeak_compiler.ir.graph import Quantized, TrainGraph
from lowpeak_compiler.passes.fuse.attention import Attention
from lowpeak_compiler.passes.fuse.fuse_quantized import FuseQuantized
from lowpeak_compiler.passes.loss.chunked_loss import ChunkedLoss
from lowpeak_compiler.passes.lower.dequantize_per_use import DequantizePerUse
from lowpeak_compiler.passes.lower.quantize import Quantize
from lowpeak_compiler.passes.normalize import Normalize
from lowpeak_compiler.passes.runner import Runner
from tests.evaluate import GraphBuilder
from tests.models import joint, language_model

aten = torch.ops.aten
lowpeak = torch.ops.lowpeak
OPERATORS = frozenset(
    {"quantized_linear", "quantized_linear_input_gradient", "quantized_linear_cross_entropy"}
)


def stored(build: GraphBuilder) -> tuple[fx.Node, fx.Node, None, int]:
    """A matrix [8, 4]."""
    format = QuantFormat(4, 2, zero_point=False)
    data = build.input("data", 8, 2, dtype=torch.uint8, role=Quantized("w", format, "data"))
    scale = build.input("scale", 8, 2, dtype=torch.float16, role=Quantized("w", format, "scale"))
    return data, scale, None, 4


def every_rule() -> TrainGraph:
    build = GraphBuilder()
    parts = stored(build)
    x, labels = build.input("x", 3, 4), build.input("labels", 3, dtype=torch.int64)
    up = build.call(aten.linear.default, x, build.call(lowpeak.dequantize.default, *parts))
    down = build.call(aten.mm.default, up, build.call(lowpeak.dequantize.default, *parts))
    weight = build.call(lowpeak.dequantize.default, *parts)
    pair = build.call(lowpeak.linear_cross_entropy.default, down, weight, None, labels, -100)
    return build.finish(build.call(getitem, pair, 0))


def test_golden():
    graph = every_rule()
    runner = Runner()
    runner.run(graph, [FuseQuantized(OPERATORS)])
    assert runner.applied == {"FuseQuantized": 3}
    assert_expected_inline(
        graph.dump(),
        """\
data: uint8[8, 2] = quantized w.data
scale: float16[8, 2] = quantized w.scale
x: float32[3, 4] = adapter x
labels: int64[3] = adapter labels
quantized_linear_default: float32[3, 8] = lowpeak.quantized_linear.default(x, data, scale, None, 4, None)
quantized_linear_input_gradient_default: float32[3, 4] = lowpeak.quantized_linear_input_gradient.default(quantized_linear_default, data, scale, None, 4)
quantized_linear_cross_entropy_default: float32[], float32[3, 4] = lowpeak.quantized_linear_cross_entropy.default(quantized_linear_input_gradient_default, data, scale, None, 4, None, labels, -100)
getitem: float32[] = getitem(quantized_linear_cross_entropy_default, 0)
return getitem""",
    )


def test_rows_of_a_matrix_are_selected_as_they_are_stored():
    build = GraphBuilder()
    ids = build.input("ids", 5, dtype=torch.int64)
    x, labels = build.input("x", 3, 4), build.input("labels", 3, dtype=torch.int64)
    rows = build.call(lowpeak.dequantize_rows.default, *stored(build), ids)
    pair = build.call(lowpeak.linear_cross_entropy.default, x, rows, None, labels, -100)
    graph = build.finish(build.call(getitem, pair, 0))
    assert FuseQuantized(OPERATORS).run(graph) == 0
    Runner().run(graph, [FuseQuantized(OPERATORS | {"select_rows"})])
    assert_expected_inline(
        graph.dump(),
        """\
ids: int64[5] = adapter ids
x: float32[3, 4] = adapter x
labels: int64[3] = adapter labels
data: uint8[8, 2] = quantized w.data
scale: float16[8, 2] = quantized w.scale
select_rows_default: uint8[5, 2] = lowpeak.select_rows.default(data, ids)
select_rows_default_1: float16[5, 2] = lowpeak.select_rows.default(scale, ids)
quantized_linear_cross_entropy_default: float32[], float32[3, 4] = lowpeak.quantized_linear_cross_entropy.default(x, select_rows_default, select_rows_default_1, None, 4, None, labels, -100)
getitem: float32[] = getitem(quantized_linear_cross_entropy_default, 0)
return getitem""",
    )


def test_only_what_the_target_has_is_fused():
    graph = every_rule()
    assert FuseQuantized(frozenset({"quantized_linear"})).run(graph) == 1
    assert FuseQuantized(frozenset()).run(graph) == 0


def test_another_packing_and_the_other_operand_stay():
    build = GraphBuilder()
    parts = stored(build)
    low = build.call(lowpeak.dequantize.default, *parts, "low_first")
    weight = build.call(lowpeak.dequantize.default, *parts)
    x = build.input("x", 3, 4)
    linear = build.call(aten.linear.default, x, low)
    product = build.call(aten.mm.default, weight, build.input("y", 4, 2))
    graph = build.finish(linear, product)
    assert FuseQuantized(OPERATORS).run(graph) == 0


@pytest.mark.parametrize("kind", ["llama", "qwen2"])
@pytest.mark.parametrize("bits", [4, 8])
def test_parity(kind, bits):
    model = language_model(kind, batch=2)
    after = [Normalize(), DequantizePerUse(), FuseQuantized(OPERATORS)]
    graph = joint(model.forward_graph(), [Attention(), Quantize(bits), ChunkedLoss()], after)
    left = {node.target for node in graph.operations()}
    assert lowpeak.dequantize.default not in left
    assert {getattr(lowpeak, name).default for name in OPERATORS} <= left
    model.check(graph)
