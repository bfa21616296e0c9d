from __future__ import annotations

from operator import getitem

import pytest
import torch
from expecttest import assert_expected_inline

from lowpeak_compiler.passes.fuse.attention import Attention
from lowpeak_compiler.passes.fuse.rotary import Rotary
from lowpeak_compiler.passes.fuse.token_major import TokenMajor
from lowpeak_compiler.passes.normalize import Normalize
from tests.evaluate import GraphBuilder
from tests.models import joint, language_model

aten = torch.ops.aten
attention = torch.ops.lowpeak.causal_attention.default


def heads(build: GraphBuilder, name: str, count: int):
    return build.call(aten.transpose.int, build.input(name, 1, 3, count, 4), 1, 2)


def test_golden():
    build = GraphBuilder()
    query, key, value = heads(build, "q", 2), heads(build, "k", 1), heads(build, "v", 1)
    tables = [build.input("cos", 1, 3, 4), build.input("sin", 1, 3, 4)]
    query = build.call(torch.ops.lowpeak.rotary.default, query, *tables, False)
    pair = build.call(attention, query, key, value, 0.5)
    out = build.call(getitem, pair, 0)
    graph = build.finish(build.call(aten.transpose.int, out, -3, -2), build.call(aten.relu.default, out))
    assert TokenMajor().run(graph) == 1
    graph.graph.eliminate_dead_code()
    assert_expected_inline(
        graph.dump(),
        """\
q: float32[1, 3, 2, 4] = adapter q
k: float32[1, 3, 1, 4] = adapter k
v: float32[1, 3, 1, 4] = adapter v
cos: float32[1, 3, 4] = adapter cos
sin: float32[1, 3, 4] = adapter sin
rotary_default_1: float32[1, 3, 2, 4] = lowpeak.rotary.default(q, cos, sin, False, 2)
causal_attention_default_1: float32[1, 3, 2, 4], float32[1, 2, 3] = lowpeak.causal_attention.default(rotary_default_1, k, v, 0.5, 2)
getitem_1: float32[1, 3, 2, 4] = getitem(causal_attention_default_1, 0)
transpose_int_4: float32[1, 2, 3, 4] = aten.transpose.int(getitem_1, 1, 2)
relu_default: float32[1, 2, 3, 4] = aten.relu.default(transpose_int_4)
return getitem_1, relu_default""",
    )


def test_heads_that_are_not_swapped_stay():
    build = GraphBuilder()
    key = build.input("k", 1, 2, 3, 4)
    pair = build.call(attention, heads(build, "q", 2), key, key, 0.5)
    graph = build.finish(build.call(getitem, pair, 0))
    assert TokenMajor().run(graph) == 0


@pytest.mark.parametrize("kind", ["llama", "qwen2"])
@pytest.mark.parametrize("turned", [False, True])
def test_parity(kind, turned):
    model = language_model(kind, batch=2)
    passes = [Attention(), *([Rotary()] if turned else []), TokenMajor()]
    graph = joint(model.forward_graph(), passes, [Normalize()])
    permuted = [node.args[0] for node in graph.operations() if node.target is aten.permute.default]
    if turned:
        assert all(x.meta["val"].dim() == 2 for x in permuted)
    (node,) = (node for node in graph.operations() if node.target is attention)
    assert (node.args[4:] == (2,)) == turned
    model.check(graph)
