"""The operators against plain torch, which shares no formula with them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

import lowpeak_artifact.ops  # noqa: F401  registers the operators
from lowpeak_artifact.quantize import quantize
from lowpeak_artifact.quantized import QuantFormat, QuantizedTensor
from tests.evaluate import distance

ops = torch.ops.lowpeak
FORMATS = [QuantFormat(bits, size, zero) for bits in (4, 8) for size, zero in ((4, False), (8, True))]
HEADS = [pytest.param(4, 4, id="MHA"), pytest.param(4, 2, id="GQA"), pytest.param(3, 1, id="MQA")]


def stored(format: QuantFormat) -> QuantizedTensor:
    torch.manual_seed(0)
    return quantize(torch.randn(6, 16), format)


@pytest.mark.parametrize("format", FORMATS, ids=str)
def test_dequantize(format):
    tensor = stored(format)
    arguments = (tensor.data, tensor.scale, tensor.zero_point, format.bits)
    assert torch.equal(ops.dequantize(*arguments), tensor.dequantize())
    torch.library.opcheck(ops.dequantize.default, arguments)


@pytest.mark.parametrize("format", FORMATS, ids=str)
@pytest.mark.parametrize("rows", [[5, 0, 5], [[1, 2], [3, 3]], 4], ids=str)
def test_dequantize_rows(format, rows):
    tensor, ids = stored(format), torch.tensor(rows)
    arguments = (tensor.data, tensor.scale, tensor.zero_point, format.bits, ids)
    assert torch.equal(ops.dequantize_rows(*arguments), tensor.dequantize()[ids])
    torch.library.opcheck(ops.dequantize_rows.default, arguments)


def attention_inputs(heads: int, key_heads: int) -> list[Tensor]:
    torch.manual_seed(0)
    shapes = [(2, heads, 5, 8), (2, key_heads, 5, 8), (2, key_heads, 5, 8)]
    return [torch.randn(shape, dtype=torch.float64).requires_grad_() for shape in shapes]


@pytest.mark.parametrize(("heads", "key_heads"), HEADS)
def test_attention_and_its_gradients(heads, key_heads):
    inputs = attention_inputs(heads, key_heads)
    upstream = torch.randn(2, heads, 5, 8, dtype=torch.float64)
    expected = F.scaled_dot_product_attention(*inputs, is_causal=True, scale=0.3, enable_gqa=True)
    expected_gradients = torch.autograd.grad(expected, inputs, upstream)
    out, logsumexp = ops.causal_attention(*inputs, 0.3)
    assert distance(out, expected) < 1e-12
    assert logsumexp.shape == (2, heads, 5)
    for actual, gradient in zip(torch.autograd.grad(out, inputs, upstream), expected_gradients, strict=True):
        assert distance(actual, gradient) < 1e-12


def test_the_logsumexp_of_attention_is_that_of_the_visible_scores():
    query, key, value = (t.detach() for t in attention_inputs(4, 2))
    _, logsumexp = ops.causal_attention(query, key, value, 0.3)
    scores = query[1, 3, 2] @ key[1, 1, :3].T * 0.3
    assert torch.allclose(logsumexp[1, 3, 2], scores.exp().sum().log())


@pytest.mark.parametrize(("heads", "key_heads"), HEADS)
def test_attention_is_registered_well(heads, key_heads):
    inputs = [t.detach().float() for t in attention_inputs(heads, key_heads)]
    torch.library.opcheck(ops.causal_attention.default, (*inputs, 0.3))
    out, logsumexp = ops.causal_attention(*inputs, 0.3)
    backward = (torch.randn_like(out), *inputs, out, logsumexp, 0.3)
    torch.library.opcheck(ops.causal_attention_backward.default, backward)


@pytest.mark.parametrize(("heads", "key_heads"), HEADS)
@pytest.mark.parametrize("heads_axis", [1, 2])
def test_attention_by_tiles_of_queries(heads, key_heads, heads_axis):
    query, key, value = (
        t.detach().float().transpose(1, heads_axis) for t in attention_inputs(heads, key_heads)
    )
    query, key, value = query.contiguous(), key.contiguous(), value.contiguous()
    out, logsumexp = ops.causal_attention(query, key, value, 0.3, heads_axis)
    grad, axis = torch.randn_like(out), 3 - heads_axis
    expected = ops.causal_attention_backward(grad, query, key, value, out, logsumexp, 0.3, heads_axis)
    grad_query, sums = torch.empty_like(query), None
    for start, end in ((3, 5), (1, 3), (0, 1)):
        rows = [t.narrow(axis, start, end - start) for t in (grad, query)]
        unseen = [t.clone() for t in (key, value)]
        for tensor in unseen:
            tensor.narrow(axis, end, 5 - end).fill_(torch.nan)
        actual, found_logsumexp = ops.causal_attention(rows[1], *unseen, 0.3, heads_axis, start)
        assert distance(actual, out.narrow(axis, start, end - start)) < 1e-6
        assert distance(found_logsumexp, logsumexp[:, :, start:end]) < 1e-6
        given = (*rows, key, value, actual, found_logsumexp, 0.3, heads_axis, start)
        if sums is None:
            tile, *sums = ops.causal_attention_backward(*given)
        else:
            torch.library.opcheck(ops.causal_attention_backward_add.default, (*sums, *given))
            tile, *sums = ops.causal_attention_backward_add(*sums, *given)
        grad_query.narrow(axis, start, end - start).copy_(tile)
        complete = [t.narrow(axis, start, 5 - start) for t in sums]
        for tensor, whole in zip(complete, expected[1:], strict=True):
            assert distance(tensor, whole.narrow(axis, start, 5 - start)) < 1e-5
    assert distance(grad_query, expected[0]) < 1e-5


def test_rows_are_written_into_a_whole():
    rows = torch.randn(1, 5, 3)
    torch.library.opcheck(ops.write_rows.default, (None, rows[:, 3:], 1, 3, 5))
    whole = ops.write_rows(None, rows[:, 3:], 1, 3, 5)
    torch.library.opcheck(ops.write_rows.default, (whole, rows[:, :3], 1, 0, 5))
    assert torch.equal(ops.write_rows(whole, rows[:, :3], 1, 0, 5), rows)


def loss_inputs(bias: bool, labels: list[int]) -> tuple[Tensor, Tensor, Tensor | None, Tensor]:
    torch.manual_seed(0)
    hidden = torch.randn(len(labels), 6).requires_grad_()
    return hidden, torch.randn(9, 6), torch.randn(9) if bias else None, torch.tensor(labels)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("labels", "ignore_index"), [([0, 8, 3, 3], -100), ([0, -1, 8, -1], -1), ([2, 2, 0, 7], 2)]
)
def test_loss_and_its_gradient(bias, labels, ignore_index):
    hidden, weight, offset, targets = loss_inputs(bias, labels)
    expected = F.cross_entropy(F.linear(hidden, weight, offset), targets, ignore_index=ignore_index)
    (expected_gradient,) = torch.autograd.grad(expected, hidden)
    loss, gradient = ops.linear_cross_entropy(hidden, weight, offset, targets, ignore_index)
    assert distance(loss, expected) < 1e-6
    assert distance(gradient, expected_gradient) < 1e-6
    (through_autograd,) = torch.autograd.grad(loss * 3, hidden)
    assert distance(through_autograd, 3 * expected_gradient) < 1e-6


def test_a_loss_without_labels_is_zero():
    hidden, weight, _, targets = loss_inputs(False, [-100, -100])
    loss, gradient = ops.linear_cross_entropy(hidden, weight, None, targets, -100)
    assert loss == 0
    assert not gradient.any()


@pytest.mark.parametrize("bias", [True, False])
def test_the_loss_is_registered_well(bias):
    hidden, weight, offset, targets = loss_inputs(bias, [0, 8, -100])
    torch.library.opcheck(ops.linear_cross_entropy.default, (hidden.detach(), weight, offset, targets, -100))


@pytest.mark.parametrize("format", FORMATS, ids=str)
@pytest.mark.parametrize("bias", [False, True])
def test_products_with_a_quantized_matrix(format, bias):
    tensor = stored(format)
    parts = (tensor.data, tensor.scale, tensor.zero_point, format.bits)
    x, grad, addend = torch.randn(2, 3, 16), torch.randn(2, 3, 6), torch.randn(2, 3, 16)
    added = torch.randn(6) if bias else None
    weight = tensor.dequantize()
    assert distance(ops.quantized_linear(x, *parts, added), F.linear(x, weight, added)) < 1e-6
    assert distance(ops.quantized_linear_input_gradient(grad, *parts), grad @ weight) < 1e-6
    total = ops.quantized_linear_input_gradient_add(addend, grad, *parts)
    assert distance(total, addend + grad @ weight) < 1e-6
    torch.library.opcheck(ops.quantized_linear.default, (x, *parts, added))
    torch.library.opcheck(ops.quantized_linear_input_gradient.default, (grad, *parts))
    torch.library.opcheck(ops.quantized_linear_input_gradient_add.default, (addend, grad, *parts))


def test_the_sum_of_a_product():
    a, b, c = torch.randn(4, 3), torch.randn(5, 4), torch.randn(3, 5)
    assert distance(ops.matmul_add(c, a, b, True, True, 0.5), c + 0.5 * a.T @ b.T) < 1e-6
    torch.library.opcheck(ops.matmul_add.default, (c, a, b, True, True, 0.5))


@pytest.mark.parametrize(("heads", "key_heads"), HEADS)
def test_attention_with_tokens_before_heads(heads, key_heads):
    inputs = [t.detach() for t in attention_inputs(heads, key_heads)]
    swapped = [t.transpose(1, 2).contiguous() for t in inputs]
    out, logsumexp = ops.causal_attention(*inputs, 0.3)
    actual, found_logsumexp = ops.causal_attention(*swapped, 0.3, 2)
    assert torch.equal(actual.transpose(1, 2), out) and torch.equal(found_logsumexp, logsumexp)
    grad = torch.randn_like(out)
    expected = ops.causal_attention_backward(grad, *inputs, out, logsumexp, 0.3)
    backward = (grad.transpose(1, 2).contiguous(), *swapped, actual, logsumexp, 0.3, 2)
    for gradient, other in zip(ops.causal_attention_backward(*backward), expected, strict=True):
        assert torch.equal(gradient.transpose(1, 2), other)
    torch.library.opcheck(ops.causal_attention.default, (*swapped, 0.3, 2))
    torch.library.opcheck(ops.causal_attention_backward.default, backward)


def gradients_agree(actual: Tensor, expected: Tensor, inputs: list[Tensor]) -> None:
    assert distance(actual, expected) < 1e-12
    upstream = torch.randn_like(expected)
    pairs = (torch.autograd.grad(result, inputs, upstream) for result in (actual, expected))
    for gradient, other in zip(*pairs, strict=True):
        assert distance(gradient, other) < 1e-12


def test_rms_norm_and_its_gradient():
    x = torch.randn(2, 3, 8, dtype=torch.float64).requires_grad_()
    weight = torch.randn(8, dtype=torch.float64)
    out, root = ops.rms_norm(x, weight, 1e-5)
    gradients_agree(out, F.rms_norm(x, (8,), weight, 1e-5), [x])
    assert root.shape == (2, 3, 1)
    around = (torch.randn(2, 3, 8), x.detach().float(), weight.float(), root.detach().float())
    both = ops.rms_norm_backward(*around, torch.ones(2, 3, 8))
    assert distance(both, ops.rms_norm_backward(*around, None) + 1) < 1e-6
    torch.library.opcheck(ops.rms_norm.default, (x.detach(), weight, 1e-5))
    torch.library.opcheck(ops.rms_norm_backward.default, (*around, None))


def test_swiglu_and_its_gradients():
    inputs = [torch.randn(3, 4, dtype=torch.float64).requires_grad_() for _ in range(2)]
    gradients_agree(ops.swiglu(*inputs), F.silu(inputs[0]) * inputs[1], inputs)
    detached = [t.detach() for t in inputs]
    torch.library.opcheck(ops.swiglu.default, detached)
    torch.library.opcheck(ops.swiglu_backward.default, (torch.ones_like(detached[0]), *detached))


@pytest.mark.parametrize("axis", [1, 2])
def test_rotary_and_its_gradient(axis):
    shape = (2, 4, 5, 6) if axis == 1 else (2, 5, 4, 6)
    x = torch.randn(shape, dtype=torch.float64).requires_grad_()
    cos, sin = torch.randn(2, 1, 5, 6, dtype=torch.float64)
    low, high = x[..., :3], x[..., 3:]
    expected = x * cos.unsqueeze(axis) + torch.cat((-high, low), -1) * sin.unsqueeze(axis)
    gradients_agree(ops.rotary(x, cos, sin, False, axis), expected, [x])
    torch.library.opcheck(ops.rotary.default, (x.detach(), cos, sin, True, axis))


@pytest.mark.parametrize("dtype", [torch.float16, torch.uint8])
def test_rows_are_selected(dtype):
    source = torch.arange(12).view(4, 3).to(dtype)
    ids = torch.tensor([3, 0, 3])
    torch.library.opcheck(ops.select_rows.default, (source, ids))
    assert torch.equal(ops.select_rows(source, ids), source[[3, 0, 3]])


@pytest.mark.parametrize("heads_axis", [1, 2])
@pytest.mark.parametrize(("heads", "key_heads"), HEADS)
def test_attention_over_a_cache_is_that_of_all_tokens(heads, key_heads, heads_axis):
    torch.manual_seed(0)
    query, key, value = (torch.randn(1, h, 7, 8) for h in (heads, key_heads, key_heads))
    expected = F.scaled_dot_product_attention(query, key, value, is_causal=True, scale=0.3, enable_gqa=True)
    caches = [torch.full((1, key_heads, 9, 8), torch.nan) for _ in range(2)]
    done = 0
    for tokens in (4, 1, 2):
        rows = slice(done, done + tokens)
        given = [x[:, :, rows].transpose(1, heads_axis).contiguous() for x in (query, key, value)]
        positions = torch.arange(done, done + tokens)[None]
        out = ops.cached_attention(*given, *caches, positions, 0.3, heads_axis)
        assert distance(out.transpose(1, heads_axis), expected[:, :, rows]) < 1e-6
        done += tokens
    torch.library.opcheck(ops.cached_attention.default, (*given, *caches, positions, 0.3, heads_axis))
    with pytest.raises(IndexError, match="2 tokens from position 8 on are not in a cache of 9"):
        ops.cached_attention(*given, *caches, torch.tensor([[8, 9]]), 0.3, heads_axis)
