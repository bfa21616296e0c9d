from __future__ import annotations

from operator import getitem

import pytest
import torch
from expecttest import assert_expected_inline
from torch.nn import functional as F

from lowpeak_artifact.quantize import quantize
from lowpeak_artifact.quantized import QuantFormat, QuantizedTensor
from lowpeak_compiler.ir.graph import Batch, Frozen, Quantized, TrainGraph
from lowpeak_compiler.passes.fuse.attention import Attention
from lowpeak_compiler.passes.loss.chunked_loss import ChunkedLoss
from lowpeak_compiler.passes.loss.lower_loss import LowerLoss
from lowpeak_compiler.passes.lower.quantize import Quantize
from lowpeak_compiler.passes.normalize import Normalize
from lowpeak_compiler.passes.runner import Runner
from tests.evaluate import GraphBuilder, distance, evaluate
from tests.models import joint, language_model

ROWS, WIDTH, VOCABULARY = 7, 8, 10
FORMAT = QuantFormat(4, 4, zero_point=False)


def loss_graph(bias: bool, quantized: bool) -> TrainGraph:
    """Inputs hidden, labels, the head, the bias; results loss and the gradient by hidden."""
    build = GraphBuilder()
    hidden = build.input("hidden", ROWS, WIDTH)
    labels = build.input("labels", ROWS, dtype=torch.int64, role=Batch("labels"))
    if quantized:
        data = build.input(
            "data", VOCABULARY, WIDTH // 2, dtype=torch.uint8, role=Quantized("w", FORMAT, "data")
        )
        scale = build.input("scale", VOCABULARY, 2, dtype=torch.float16, role=Quantized("w", FORMAT, "scale"))
        weight = build.call(torch.ops.lowpeak.dequantize.default, data, scale, None, 4)
    else:
        weight = build.input("w", VOCABULARY, WIDTH, role=Frozen("w"))
    offset = build.input("b", VOCABULARY, role=Frozen("b")) if bias else None
    target = torch.ops.lowpeak.linear_cross_entropy.default
    pair = build.call(target, hidden, weight, offset, labels, -1)
    graph = build.finish(*(build.call(getitem, pair, i) for i in (0, 1)))
    graph.gradients = ("hidden",)
    return graph


@pytest.mark.parametrize(
    ("chunk", "tile"), [(7, 10), (100, 100), (3, 10), (7, 4), (3, 4), (1, 1), (2, 5), (6, 9)]
)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("quantized", [True, False])
def test_equals_the_cross_entropy_of_torch(chunk, tile, bias, quantized):
    torch.manual_seed(chunk * 100 + tile)
    hidden = torch.randn(ROWS, WIDTH).requires_grad_()
    stored: QuantizedTensor = quantize(torch.randn(VOCABULARY, WIDTH), FORMAT)
    weight, offset = stored.dequantize(), torch.randn(VOCABULARY)
    labels = torch.randint(0, VOCABULARY, (ROWS,))
    labels[torch.tensor([1, 4])] = -1
    graph = loss_graph(bias, quantized)
    assert LowerLoss(chunk, tile).run(graph) == 1
    graph.graph.lint()
    assert not any("linear_cross_entropy" in str(node.target) for node in graph.operations())
    head = [stored.data, stored.scale] if quantized else [weight]
    inputs = dict(zip(("hidden", "labels"), (hidden.detach(), labels), strict=True))
    inputs |= {"data": stored.data, "scale": stored.scale, "w": head[-1], "b": offset}
    inputs |= {node.name: role.value for node, role in graph.inputs() if hasattr(role, "value")}
    loss, gradient = evaluate(graph, [inputs[node.name] for node, _ in graph.inputs()])
    expected = F.cross_entropy(F.linear(hidden, weight, offset if bias else None), labels, ignore_index=-1)
    (expected_gradient,) = torch.autograd.grad(expected, hidden)
    assert distance(loss, expected.detach()) < 1e-6
    assert distance(gradient, expected_gradient) < 1e-5


def test_no_value_is_larger_than_a_tile_of_logits():
    graph = loss_graph(bias=False, quantized=True)
    Runner().run(graph, [LowerLoss(2, 5)])
    largest = max(
        node.meta["val"].numel() for node in graph.operations() if "getitem" not in str(node.target)
    )
    assert largest == max(5 * WIDTH, ROWS * WIDTH, 2 * 5)
    assert not any(tuple(n.meta["val"].shape) == (ROWS, VOCABULARY) for n in graph.operations())


def test_huge_logits_do_not_overflow():
    graph = loss_graph(bias=False, quantized=False)
    LowerLoss(4, 3).run(graph)
    hidden, weight = torch.full((ROWS, WIDTH), 50.0), torch.eye(VOCABULARY, WIDTH) * 100
    labels = torch.zeros(ROWS, dtype=torch.int64)
    given = {"hidden": hidden, "labels": labels, "w": weight}
    loss, gradient = evaluate(graph, [given[node.name] for node, _ in graph.inputs()])
    expected = F.cross_entropy(hidden @ weight.T, labels)
    # 5002.08 - 5000 in float32.
    assert distance(loss, expected) < 1e-3
    assert torch.isfinite(gradient).all()


def test_golden():
    graph = loss_graph(bias=False, quantized=False)
    Runner().run(graph, [LowerLoss(ROWS, VOCABULARY)])
    assert_expected_inline(
        graph.dump(),
        """\
hidden: float32[7, 8] = adapter hidden
labels: int64[7] = batch labels
w: float32[10, 8] = frozen w
ne_scalar: bool[7] = aten.ne.Scalar(labels, -1)
_to_copy_default: float32[7] = aten._to_copy.default(ne_scalar, dtype=torch.float32)
sum_dim_int_list: float32[1] = aten.sum.dim_IntList(_to_copy_default, [0], True)
clamp_default: float32[1] = aten.clamp.default(sum_dim_int_list, 1)
div_tensor: float32[7] = aten.div.Tensor(_to_copy_default, clamp_default)
mul_tensor: int64[7] = aten.mul.Tensor(labels, ne_scalar)
view_default: float32[7, 1] = aten.view.default(div_tensor, [-1, 1])
embedding_default: float32[7, 8] = aten.embedding.default(w, mul_tensor)
mul_tensor_1: float32[7, 8] = aten.mul.Tensor(hidden, embedding_default)
sum_dim_int_list_1: float32[7, 1] = aten.sum.dim_IntList(mul_tensor_1, [1], True)
linear_default: float32[7, 10] = aten.linear.default(hidden, w)
amax_default: float32[7, 1] = aten.amax.default(linear_default, [1], True)
sub_tensor: float32[7, 10] = aten.sub.Tensor(linear_default, amax_default)
exp_default: float32[7, 10] = aten.exp.default(sub_tensor)
sum_dim_int_list_2: float32[7, 1] = aten.sum.dim_IntList(exp_default, [1], True)
log_default: float32[7, 1] = aten.log.default(sum_dim_int_list_2)
add_tensor: float32[7, 1] = aten.add.Tensor(log_default, amax_default)
mm_default: float32[7, 8] = aten.mm.default(exp_default, w)
div_tensor_1: float32[7, 8] = aten.div.Tensor(mm_default, sum_dim_int_list_2)
sub_tensor_1: float32[7, 1] = aten.sub.Tensor(add_tensor, sum_dim_int_list_1)
mul_tensor_2: float32[7, 1] = aten.mul.Tensor(sub_tensor_1, view_default)
sub_tensor_2: float32[7, 8] = aten.sub.Tensor(div_tensor_1, embedding_default)
mul_tensor_3: float32[7, 8] = aten.mul.Tensor(sub_tensor_2, view_default)
sum_dim_int_list_3: float32[1, 1] = aten.sum.dim_IntList(mul_tensor_2, [0], True)
view_default_1: float32[] = aten.view.default(sum_dim_int_list_3, [])
return view_default_1, mul_tensor_3""",
    )


@pytest.mark.parametrize(("chunk", "tile"), [(5, 40), (24, 96)])
def test_parity(chunk, tile):
    model = language_model("llama", batch=2, counted=range(1, 8), tie_word_embeddings=True)
    before = [Attention(), Quantize(), ChunkedLoss()]
    graph = joint(model.forward_graph(), before, [Normalize(), LowerLoss(chunk, tile)])
    model.check(graph)
