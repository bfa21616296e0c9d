"""native/kernels/loss/cross_entropy.h against float64."""

from __future__ import annotations

from ctypes import c_int, c_int64, c_void_p

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lowpeak_artifact.quantized import QuantFormat, QuantizedTensor
from tests.native.linear import GENERIC, WEIGHT_ARGUMENTS, available_isas, library, weight_arguments
from tests.native.test_linear import random_weight

IGNORED = -100


def native(
    hidden: Tensor, head: QuantizedTensor, bias: Tensor | None, labels: Tensor, workers: int, isa: int
) -> tuple[float, Tensor]:
    """Loss and gradient of hidden by the library; its scratch is full of NaN first."""
    run, size = library().lowpeak_linear_cross_entropy, library().lowpeak_linear_cross_entropy_scratch_bytes
    run.restype, size.restype, size.argtypes = None, c_int64, [c_int]
    matrix, pointer = [c_void_p, c_int64], c_void_p
    run.argtypes = [
        *matrix, c_int64, *WEIGHT_ARGUMENTS, pointer, pointer, c_int64,
        pointer, *matrix, pointer, pointer, c_int,
    ]  # fmt: skip
    scratch = torch.full((size(workers) // 4,), float("nan"))
    loss, gradient = torch.full((1,), float("nan")), torch.full_like(hidden, float("nan"))
    threads = library().lowpeak_threads_create(workers)
    run(
        hidden.data_ptr(), hidden.stride(0), len(hidden), *weight_arguments(head),
        None if bias is None else bias.data_ptr(), labels.data_ptr(), IGNORED,
        loss.data_ptr(),
        gradient.data_ptr(), gradient.stride(0), threads, scratch.data_ptr(), isa,
    )  # fmt: skip
    library().lowpeak_threads_destroy(threads)
    return loss.item(), gradient


def reference(
    hidden: Tensor, head: QuantizedTensor, bias: Tensor | None, labels: Tensor
) -> tuple[float, Tensor]:
    """The same by autograd in float64."""
    leaf = hidden.double().requires_grad_()
    logits = leaf @ head.dequantize().double().T + (0 if bias is None else bias.double())
    count = max(1, int((labels != IGNORED).sum()))
    loss = torch.nn.functional.cross_entropy(logits, labels, ignore_index=IGNORED, reduction="sum") / count
    loss.backward()
    assert leaf.grad is not None
    return loss.item(), leaf.grad


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([1, 2, 7, 61, 530]),
    st.sampled_from([1, 2, 17, 1023, 1024, 1025, 3001]),
    st.builds(QuantFormat, st.sampled_from([4, 8]), st.sampled_from([8, 32]), st.booleans()),
    st.integers(1, 5),
    st.booleans(),
    st.sampled_from([0.0, 0.5, 1.0]),
    st.sampled_from([0.01, 1.0, 30.0]),
    st.integers(1, 3),
    st.sampled_from(available_isas()),
    st.integers(0, 1 << 30),
)
def test_loss_and_gradient(
    tokens: int,
    vocabulary: int,
    format: QuantFormat,
    groups: int,
    biased: bool,
    ignored: float,
    magnitude: float,
    workers: int,
    isa: int,
    seed: int,
) -> None:
    torch.manual_seed(seed)
    head = random_weight(format, vocabulary, groups * format.group_size)
    hidden = torch.randn(tokens, groups * format.group_size) * magnitude
    labels = torch.randint(0, vocabulary, (tokens,))
    labels[torch.rand(tokens) < ignored] = IGNORED
    bias = torch.randn(vocabulary) if biased else None
    loss, gradient = native(hidden, head, bias, labels, workers, isa)
    expected_loss, expected = reference(hidden, head, bias, labels)
    # Logits themselves are exact to 1e-7 of what they add up, and are exponents here.
    scale = hidden.abs().double().max() * head.dequantize().abs().double().sum(1).max() + 1
    assert abs(loss - expected_loss) <= 1e-6 * max(1.0, float(scale))
    assert torch.isfinite(gradient).all()
    assert (gradient.double() - expected).norm() <= 1e-6 * max(10.0, float(scale)) * expected.norm() + 1e-12
    assert not gradient[labels == IGNORED].any()


@pytest.mark.parametrize("isa", available_isas())
def test_a_label_that_is_almost_certain_keeps_its_gradient(isa: int) -> None:
    """Where 1 - p of the label is 1e-6, p - 1 in float32 would be wrong in the first digit."""
    torch.manual_seed(0)
    head = random_weight(QuantFormat(4, 32, zero_point=False), 1500, 64)
    hidden, labels = torch.randn(1, 64), torch.tensor([0])
    bias = torch.full((1500,), -22.0)
    bias[0] = 0.0
    _, gradient = native(hidden, head, bias, labels, 1, isa)
    expected_loss, expected = reference(hidden, head, bias, labels)
    assert expected_loss < 1e-4
    assert (gradient.double() - expected).norm() <= 1e-5 * expected.norm()


def test_threads_do_not_change_a_bit() -> None:
    torch.manual_seed(0)
    head = random_weight(QuantFormat(8, 32, zero_point=False), 2111, 96)
    hidden, labels = torch.randn(77, 96), torch.randint(0, 2111, (77,))
    results = [native(hidden, head, None, labels, workers, GENERIC) for workers in (1, 2, 5)]
    for loss, gradient in results[1:]:
        assert loss == results[0][0] and torch.equal(gradient, results[0][1])
