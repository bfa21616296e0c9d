from __future__ import annotations

import torch
from expecttest import assert_expected_inline

from lowpeak_artifact.quantized import QuantFormat
from lowpeak_compiler.ir.graph import Quantized, TrainGraph
from lowpeak_compiler.passes.fuse.attention import Attention
from lowpeak_compiler.passes.lower.dequantize_per_use import DequantizePerUse
from lowpeak_compiler.passes.lower.quantize import Quantize
from lowpeak_compiler.passes.normalize import Normalize
from lowpeak_compiler.passes.runner import Runner
from tests.evaluate import GraphBuilder
from tests.models import joint, language_model

aten = torch.ops.aten
dequantize = torch.ops.lowpeak.dequantize.default


def graph_with_two_uses() -> TrainGraph:
    build = GraphBuilder()
    format = QuantFormat(4, 2, zero_point=False)
    data = build.input("data", 4, 2, dtype=torch.uint8, role=Quantized("w", format, "data"))
    scale = build.input("scale", 4, 2, dtype=torch.float16, role=Quantized("w", format, "scale"))
    x = build.input("x", 3, 4)
    weight = build.call(dequantize, data, scale, None, 4)
    up = build.call(aten.relu.default, build.call(aten.linear.default, x, weight))
    return build.finish(build.call(aten.sum.default, build.call(aten.mm.default, up, weight)))


def test_golden():
    graph = graph_with_two_uses()
    runner = Runner()
    runner.run(graph, [DequantizePerUse()])
    assert runner.applied == {"DequantizePerUse": 1}
    assert_expected_inline(
        graph.dump(),
        """\
data: uint8[4, 2] = quantized w.data
scale: float16[4, 2] = quantized w.scale
x: float32[3, 4] = adapter x
dequantize_default: float32[4, 4] = lowpeak.dequantize.default(data, scale, None, 4)
linear_default: float32[3, 4] = aten.linear.default(x, dequantize_default)
relu_default: float32[3, 4] = aten.relu.default(linear_default)
dequantize_default_1: float32[4, 4] = lowpeak.dequantize.default(data, scale, None, 4)
mm_default: float32[3, 4] = aten.mm.default(relu_default, dequantize_default_1)
sum_default: float32[] = aten.sum.default(mm_default)
return sum_default""",
    )


def test_a_second_run_changes_nothing():
    graph = graph_with_two_uses()
    DequantizePerUse().run(graph)
    before = graph.dump()
    assert DequantizePerUse().run(graph) == 0
    assert graph.dump() == before


def test_parity_and_every_matrix_has_one_use():
    model = language_model("llama", tie_word_embeddings=True)
    graph = joint(model.forward_graph(), [Attention(), Quantize()], [Normalize(), DequantizePerUse()])
    uses = [list(node.users) for node in graph.operations() if node.target is dequantize]
    assert uses
    assert all(len(users) == 1 for users in uses)
    model.check(graph)
