from __future__ import annotations

from typing import Any

import pytest
import torch
from expecttest import assert_expected_inline
from torch import fx

from lowpeak_compiler.ir.graph import Batch, TrainGraph
from lowpeak_compiler.passes.fuse.attention import Attention
from lowpeak_compiler.passes.normalize import Normalize
from lowpeak_compiler.passes.runner import Runner
from tests.evaluate import GraphBuilder
from tests.models import joint, language_model

aten = torch.ops.aten


def attention_graph(
    query: tuple[int, ...], key: tuple[int, ...], mask: bool = False, **options: Any
) -> TrainGraph:
    build = GraphBuilder()
    inputs = [build.input("q", *query), build.input("k", *key), build.input("v", *key)]
    masks = [build.input("mask", query[-2], key[-2], dtype=torch.bool, role=Batch("mask"))] if mask else []
    out = build.call(aten.scaled_dot_product_attention.default, *inputs, *masks, **options)
    return build.finish(build.call(aten.sum.default, out))


def test_golden():
    graph = attention_graph((1, 4, 3, 2), (1, 2, 3, 2), is_causal=True, enable_gqa=True)
    Runner().run(graph, [Attention()])
    assert_expected_inline(
        graph.dump(),
        """\
q: float32[1, 4, 3, 2] = adapter q
k: float32[1, 2, 3, 2] = adapter k
v: float32[1, 2, 3, 2] = adapter v
causal_attention_default: float32[1, 4, 3, 2], float32[1, 4, 3] = lowpeak.causal_attention.default(q, k, v, 0.7071067811865475)
getitem: float32[1, 4, 3, 2] = getitem(causal_attention_default, 0)
sum_default: float32[] = aten.sum.default(getitem)
return sum_default""",
    )


@pytest.mark.parametrize("given", [None, 0.25])
def test_scale(given):
    graph = attention_graph((1, 2, 3, 4), (1, 2, 3, 4), is_causal=True, scale=given)
    assert Attention().run(graph) == 1
    (node,) = (n for n in graph.operations() if "causal_attention" in str(n.target))
    assert node.args[3] == (0.25 if given else 0.5)


@pytest.mark.parametrize(
    ("query", "key", "options"),
    [
        pytest.param((1, 2, 3, 4), (1, 2, 3, 4), {}, id="not causal"),
        pytest.param((1, 2, 3, 4), (1, 2, 3, 4), {"mask": True}, id="mask"),
        pytest.param((1, 2, 3, 4), (1, 2, 3, 4), {"dropout_p": 0.5, "is_causal": True}, id="dropout"),
        pytest.param((1, 2, 3, 4), (1, 2, 5, 4), {"is_causal": True}, id="other count of keys"),
        pytest.param((2, 3, 4), (2, 3, 4), {"is_causal": True}, id="no heads"),
    ],
)
def test_other_attention_stays(query, key, options):
    graph = attention_graph(query, key, **options)
    assert Attention().run(graph) == 0
    assert any(n.target is aten.scaled_dot_product_attention.default for n in graph.operations())


@pytest.mark.parametrize("heads", [4, 2])
def test_parity(heads):
    model = language_model("llama", batch=2, num_key_value_heads=heads)
    graph = joint(model.forward_graph(), [Attention()], [Normalize()])
    targets = [str(node.target) for node in graph.operations() if isinstance(node, fx.Node)]
    assert targets.count("lowpeak.causal_attention_backward.default") == 1
    model.check(graph)
