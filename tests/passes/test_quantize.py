from __future__ import annotations

import pytest
import torch
from expecttest import assert_expected_inline

from lowpeak_artifact.quantized import QuantFormat
from lowpeak_compiler.ir.graph import Batch, Frozen, Quantized, TrainGraph
from lowpeak_compiler.passes.fuse.attention import Attention
from lowpeak_compiler.passes.lower.quantize import Quantize
from lowpeak_compiler.passes.normalize import Normalize
from lowpeak_compiler.passes.runner import Runner
from tests.evaluate import GraphBuilder
from tests.models import joint, language_model

aten = torch.ops.aten


def tied_graph(width: int = 64) -> TrainGraph:
    build = GraphBuilder()
    weight = build.input("w", 6, width, role=Frozen("w"))
    ids = build.input("ids", 3, dtype=torch.int64, role=Batch("ids"))
    rows = build.call(
        aten.mul.Tensor, build.call(aten.embedding.default, weight, ids), build.input("a", width)
    )
    return build.finish(build.call(aten.sum.default, build.call(aten.linear.default, rows, weight)))


def test_golden():
    graph = tied_graph()
    Runner().run(graph, [Quantize()])
    assert_expected_inline(
        graph.dump(),
        """\
ids: int64[3] = batch ids
a: float32[64] = adapter a
w_data: uint8[6, 32] = quantized w.data
w_scale: float16[6, 2] = quantized w.scale
dequantize_rows_default: float32[3, 64] = lowpeak.dequantize_rows.default(w_data, w_scale, None, 4, ids)
mul_tensor: float32[3, 64] = aten.mul.Tensor(dequantize_rows_default, a)
dequantize_default: float32[6, 64] = lowpeak.dequantize.default(w_data, w_scale, None, 4)
linear_default: float32[3, 6] = aten.linear.default(mul_tensor, dequantize_default)
sum_default: float32[] = aten.sum.default(linear_default)
return sum_default""",
    )


@pytest.mark.parametrize(
    ("options", "quantized"),
    [
        (Quantize(), False),
        (Quantize(group_size=12), False),
        (Quantize(only_stored=True), False),
        (Quantize(stored={"w": QuantFormat(8, 6, zero_point=False)}), True),
    ],
)
def test_columns_that_no_group_divides_stay_dense(options, quantized):
    graph = tied_graph(width=18)
    assert Runner().run(graph, [options]) is graph
    assert any(isinstance(role, Quantized) for role in graph.roles.values()) is quantized
    assert any(isinstance(role, Frozen) for role in graph.roles.values()) is not quantized


@pytest.mark.parametrize(
    ("kind", "tied", "options"),
    [
        ("llama", True, Quantize(4, 32)),
        ("llama", False, Quantize(8, 64)),
        ("qwen2", True, Quantize(4, 64)),
    ],
)
def test_parity(kind, tied, options):
    model = language_model(kind, tie_word_embeddings=tied)
    graph = joint(model.forward_graph(), [Attention(), options], [Normalize()])
    stored = [
        role.name for role in graph.roles.values() if isinstance(role, Quantized) and role.part == "data"
    ]
    assert len(stored) == len(set(stored)) == (8 if tied else 9)
    model.check(graph)


def test_a_stored_format_with_zero_points_is_kept():
    model = language_model("llama")
    forward = model.forward_graph()
    name = next(role.name for role in forward.roles.values() if "down_proj.base" in role.name)
    kept = QuantFormat(4, 32, zero_point=True)
    graph = joint(forward, [Attention(), Quantize(stored={name: kept}, only_stored=True)], [Normalize()])
    parts = {role.part: role for role in graph.roles.values() if isinstance(role, Quantized)}
    assert set(parts) == {"data", "scale", "zero_point"}
    assert {(role.name, role.format) for role in parts.values()} == {(name, kept)}
    model.check(graph)
