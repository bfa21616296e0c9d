from __future__ import annotations

from operator import getitem

import pytest
import torch
from expecttest import assert_expected_inline
from torch.nn import functional as F

from lowpeak_compiler.ir.graph import Constant, TrainGraph
from lowpeak_compiler.passes.fuse.attention import Attention
from lowpeak_compiler.passes.lower.lower_attention import LowerAttention
from lowpeak_compiler.passes.normalize import Normalize
from lowpeak_compiler.passes.runner import Runner
from tests.evaluate import GraphBuilder, distance, evaluate
from tests.models import joint, language_model

SCALE = 0.4
HEADS = [pytest.param(4, 4, id="MHA"), pytest.param(4, 2, id="GQA")]


def attention_graph(heads: int, key_heads: int, tokens: int, batch: int = 2, dim: int = 4) -> TrainGraph:
    """Inputs q, k, v, grad; results out and the gradients of q, k, v."""
    build = GraphBuilder()
    query, upstream = (build.input(name, batch, heads, tokens, dim) for name in ("q", "grad"))
    key, value = (build.input(name, batch, key_heads, tokens, dim) for name in ("k", "v"))
    pair = build.call(torch.ops.lowpeak.causal_attention.default, query, key, value, SCALE)
    out, logsumexp = (build.call(getitem, pair, i) for i in (0, 1))
    backward = torch.ops.lowpeak.causal_attention_backward.default
    triple = build.call(backward, upstream, query, key, value, out, logsumexp, SCALE)
    return build.finish(out, *(build.call(getitem, triple, i) for i in range(3)))


@pytest.mark.parametrize(("heads", "key_heads"), HEADS)
@pytest.mark.parametrize("query_block", [6, 100, 4, 3, 1])
@pytest.mark.parametrize("batch", [1, 2])
def test_equals_the_attention_of_torch(heads, key_heads, query_block, batch):
    tokens = 6
    graph = attention_graph(heads, key_heads, tokens, batch)
    assert LowerAttention(query_block).run(graph) == 2
    graph.graph.lint()
    assert not any("causal_attention" in str(node.target) for node in graph.operations())
    torch.manual_seed(0)
    tensors = {node.name: torch.randn(node.meta["val"].shape) for node, _ in graph.inputs()}
    tensors |= {node.name: role.value for node, role in graph.inputs() if isinstance(role, Constant)}
    actual = evaluate(graph, [tensors[node.name] for node, _ in graph.inputs()])
    inputs = [tensors[name].requires_grad_() for name in ("q", "k", "v")]
    out = F.scaled_dot_product_attention(*inputs, is_causal=True, scale=SCALE, enable_gqa=True)
    gradients = torch.autograd.grad(out, inputs, tensors["grad"])
    for result, expected in zip(actual, (out.detach(), *gradients), strict=True):
        assert distance(result, expected) < 1e-5


def test_scores_of_one_block_live_at_a_time_and_masks_are_shared():
    graph = attention_graph(4, 2, tokens=6)
    LowerAttention(4).run(graph)
    graph.graph.eliminate_dead_code()
    masks = [role.name for role in graph.roles.values() if isinstance(role, Constant)]
    assert sorted(masks) == ["causal_mask_0_4", "causal_mask_4_6"]
    largest = max(node.meta["val"].numel() for node in graph.operations())
    assert largest == max(2 * 4 * 4 * 4, 2 * 4 * 2 * 6, 2 * 4 * 6 * 4)


def test_golden():
    build = GraphBuilder()
    inputs = [build.input("q", 1, 2, 3, 4), build.input("k", 1, 1, 3, 4), build.input("v", 1, 1, 3, 4)]
    pair = build.call(torch.ops.lowpeak.causal_attention.default, *inputs, SCALE)
    graph = build.finish(build.call(torch.ops.aten.sum.default, build.call(getitem, pair, 0)))
    Runner().run(graph, [LowerAttention(2)])
    assert_expected_inline(
        graph.dump(),
        """\
q: float32[1, 2, 3, 4] = adapter q
k: float32[1, 1, 3, 4] = adapter k
v: float32[1, 1, 3, 4] = adapter v
causal_mask_0_2: float32[2, 2] = constant causal_mask_0_2
causal_mask_2_3: float32[1, 3] = constant causal_mask_2_3
slice_tensor: float32[1, 2, 2, 4] = aten.slice.Tensor(q, 2, 0, 2)
view_default: float32[1, 4, 4] = aten.view.default(slice_tensor, [1, 4, 4])
slice_tensor_1: float32[1, 1, 2, 4] = aten.slice.Tensor(k, 2, 0, 2)
view_default_1: float32[1, 2, 4] = aten.view.default(slice_tensor_1, [1, 2, 4])
permute_default: float32[1, 4, 2] = aten.permute.default(view_default_1, [0, 2, 1])
bmm_default: float32[1, 4, 2] = aten.bmm.default(view_default, permute_default)
mul_scalar: float32[1, 4, 2] = aten.mul.Scalar(bmm_default, 0.4)
view_default_2: float32[2, 2, 2] = aten.view.default(mul_scalar, [2, 2, 2])
add_tensor: float32[2, 2, 2] = aten.add.Tensor(view_default_2, causal_mask_0_2)
_softmax_default: float32[2, 2, 2] = aten._softmax.default(add_tensor, -1, False)
view_default_3: float32[1, 4, 2] = aten.view.default(_softmax_default, [1, 4, 2])
slice_tensor_2: float32[1, 1, 2, 4] = aten.slice.Tensor(v, 2, 0, 2)
view_default_4: float32[1, 2, 4] = aten.view.default(slice_tensor_2, [1, 2, 4])
bmm_default_1: float32[1, 4, 4] = aten.bmm.default(view_default_3, view_default_4)
view_default_5: float32[1, 2, 2, 4] = aten.view.default(bmm_default_1, [1, 2, 2, 4])
slice_tensor_3: float32[1, 2, 1, 4] = aten.slice.Tensor(q, 2, 2, 3)
view_default_6: float32[1, 2, 4] = aten.view.default(slice_tensor_3, [1, 2, 4])
view_default_7: float32[1, 3, 4] = aten.view.default(k, [1, 3, 4])
permute_default_1: float32[1, 4, 3] = aten.permute.default(view_default_7, [0, 2, 1])
bmm_default_2: float32[1, 2, 3] = aten.bmm.default(view_default_6, permute_default_1)
mul_scalar_1: float32[1, 2, 3] = aten.mul.Scalar(bmm_default_2, 0.4)
view_default_8: float32[2, 1, 3] = aten.view.default(mul_scalar_1, [2, 1, 3])
add_tensor_1: float32[2, 1, 3] = aten.add.Tensor(view_default_8, causal_mask_2_3)
_softmax_default_1: float32[2, 1, 3] = aten._softmax.default(add_tensor_1, -1, False)
view_default_9: float32[1, 2, 3] = aten.view.default(_softmax_default_1, [1, 2, 3])
view_default_10: float32[1, 3, 4] = aten.view.default(v, [1, 3, 4])
bmm_default_3: float32[1, 2, 4] = aten.bmm.default(view_default_9, view_default_10)
view_default_11: float32[1, 2, 1, 4] = aten.view.default(bmm_default_3, [1, 2, 1, 4])
cat_default: float32[1, 2, 3, 4] = aten.cat.default([view_default_5, view_default_11], 2)
sum_default: float32[] = aten.sum.default(cat_default)
return sum_default""",
    )


@pytest.mark.parametrize("kind", ["llama", "qwen2"])
def test_parity(kind):
    model = language_model(kind, batch=2)
    graph = joint(model.forward_graph(), [Attention()], [Normalize(), LowerAttention(5)])
    model.check(graph)
