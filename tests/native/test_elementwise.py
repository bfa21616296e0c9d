"""RMSNorm, rotary embedding, SwiGLU and exp against float64 torch."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable
from ctypes import c_float, c_int64, c_void_p

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.native.linear import available_isas, library

TOLERANCE = 1e-5
isas = st.sampled_from(available_isas())
widths = st.one_of(st.integers(1, 70), st.sampled_from([128, 1000, 2048]))
tokens_counts = st.integers(1, 9)
worker_counts = st.integers(1, 4)
seeds = st.integers(0, 1 << 30)


def matrix(tokens: int, width: int, margin: int = 0) -> Tensor:
    return torch.randn(tokens, width + margin)[:, :width]


def address(tensor: Tensor) -> c_void_p:
    return c_void_p(tensor.data_ptr())


def strided(tensor: Tensor) -> tuple[c_void_p, c_int64]:
    """A matrix as the C API takes it: pointer and row stride."""
    return address(tensor), c_int64(tensor.stride(0))


def on_threads(workers: int, call: Callable[[c_void_p], None]) -> None:
    threads = c_void_p(library().lowpeak_threads_create(workers))
    try:
        call(threads)
    finally:
        library().lowpeak_threads_destroy(threads)


def assert_close(actual: Tensor, expected: Tensor, norm: float = 0.0) -> None:
    error = torch.linalg.vector_norm(actual.double() - expected)
    assert error <= TOLERANCE * max(float(torch.linalg.vector_norm(expected)), norm)


def exponentials(isa: int, values: list[float]) -> list[float]:
    given_values = (c_float * len(values))(*values)
    results = (c_float * len(values))()
    library().lowpeak_exp(given_values, results, c_int64(len(values)), isa)
    return list(results)


@given(isas, st.lists(st.floats(-87.25, 88.625, width=32), min_size=1, max_size=40))
def test_exp(isa: int, values: list[float]) -> None:
    for value, result in zip(values, exponentials(isa, values), strict=True):
        assert result == pytest.approx(math.exp(value), rel=1.5e-7)


@pytest.mark.parametrize("isa", available_isas())
def test_exp_on_a_grid(isa: int) -> None:
    grid = torch.linspace(-87.33, 88.72, 1_000_003)
    results = torch.empty_like(grid)
    library().lowpeak_exp(address(grid), address(results), c_int64(grid.numel()), isa)
    expected = grid.double().exp()
    assert ((results.double() - expected).abs() / expected).max() < 1.5e-7


@pytest.mark.parametrize("isa", available_isas())
def test_exp_at_the_ends(isa: int) -> None:
    ends = [-math.inf, -1e30, -104.0, -87.5, 0.0, 88.8, 1e30, math.inf]
    assert exponentials(isa, ends) == [0.0, 0.0, 0.0, 0.0, 1.0, math.inf, math.inf, math.inf]
    assert math.isnan(exponentials(isa, [math.nan])[0])


@given(isas, worker_counts, tokens_counts, widths, st.booleans(), st.booleans(), seeds)
@settings(deadline=None)
def test_rms_norm(
    isa: int, workers: int, tokens: int, width: int, residual: bool, in_place: bool, seed: int
) -> None:
    torch.manual_seed(seed)
    epsilon = 1e-5
    x, grad = matrix(tokens, width, 3), matrix(tokens, width, 1)
    around, weight = matrix(tokens, width, 2), torch.randn(width)
    out, root = matrix(tokens, width, 5), torch.empty(tokens)
    shape = (c_int64(tokens), c_int64(width))

    leaf = x.double().requires_grad_()
    expected_root = (leaf.square().mean(-1, keepdim=True) + epsilon).rsqrt()
    expected = leaf * expected_root * weight.double()
    (expected_grad,) = torch.autograd.grad(expected, leaf, grad.double())
    # A single column's gradient is all but 0, the difference of terms of this size.
    terms = float((grad * weight * expected_root.detach()).norm())

    on_threads(
        workers,
        lambda threads: library().lowpeak_rms_norm_forward(
            *strided(x), address(weight), *strided(out), address(root), *shape, c_float(epsilon), threads, isa
        ),
    )
    assert_close(out, expected.detach())
    assert_close(root, expected_root.detach()[:, 0])

    expected_sum = expected_grad + around.double() if residual else expected_grad
    grad_x = grad if in_place else matrix(tokens, width, 4)
    around_arguments = strided(around) if residual else (c_void_p(), c_int64(0))
    on_threads(
        workers,
        lambda threads: library().lowpeak_rms_norm_backward(
            *strided(grad), *strided(x), address(weight), address(root), *around_arguments, *strided(grad_x),
            *shape, threads, isa,
        ),
    )  # fmt: skip
    assert_close(grad_x, expected_sum, norm=terms)


def rotate_half(x: Tensor) -> Tensor:
    first, second = x.chunk(2, -1)
    return torch.cat((-second, first), -1)


@given(
    isas,
    worker_counts,
    st.integers(1, 4),
    tokens_counts,
    st.integers(1, 70),
    st.booleans(),
    st.booleans(),
    seeds,
)
@settings(deadline=None)
def test_rotary(
    isa: int, workers: int, heads: int, tokens: int, half: int, tokens_first: bool, in_place: bool, seed: int
) -> None:
    torch.manual_seed(seed)

    def tensor() -> Tensor:
        first, second = (tokens, heads) if tokens_first else (heads, tokens)
        rows = torch.randn(first, second, 2 * half + 3)[..., : 2 * half]
        return rows.transpose(0, 1) if tokens_first else rows

    # Any tables, also ones whose halves differ: the backward pass must be the transpose.
    cos, sin = matrix(tokens, 2 * half, 1), matrix(tokens, 2 * half, 2)
    leaf = torch.randn(heads, tokens, 2 * half, dtype=torch.float64, requires_grad=True)

    def rotated(x: Tensor) -> Tensor:
        return x * cos.double() + rotate_half(x) * sin.double()

    for backward in (0, 1):
        x = tensor()
        exact = x.double()
        expected = torch.autograd.grad(rotated(leaf), leaf, exact)[0] if backward else rotated(exact)
        out = x if in_place else tensor()
        strides = [x.stride(1), x.stride(0), out.stride(1), out.stride(0), cos.stride(0), sin.stride(0)]

        def call(
            threads: c_void_p,
            x: Tensor = x,
            out: Tensor = out,
            strides: list[int] = strides,
            backward: int = backward,
        ) -> None:
            library().lowpeak_rotary(
                address(x), address(cos), address(sin), address(out), (ctypes.c_int64 * 6)(*strides),
                c_int64(heads), c_int64(tokens), c_int64(2 * half), backward, threads, isa,
            )  # fmt: skip

        on_threads(workers, call)
        assert_close(out, expected)


@given(isas, worker_counts, tokens_counts, widths, st.sampled_from([1.0, 30.0]), st.booleans(), seeds)
@settings(deadline=None)
def test_swiglu(
    isa: int, workers: int, tokens: int, width: int, size: float, in_place: bool, seed: int
) -> None:
    torch.manual_seed(seed)
    gate, up, grad = matrix(tokens, width, 1) * size, matrix(tokens, width, 2), matrix(tokens, width, 3)
    out = matrix(tokens, width, 4)
    shape = (c_int64(tokens), c_int64(width))
    leaves = [x.double().requires_grad_() for x in (gate, up)]
    expected = torch.nn.functional.silu(leaves[0]) * leaves[1]
    expected_gate, expected_up = torch.autograd.grad(expected, leaves, grad.double())

    on_threads(
        workers,
        lambda threads: library().lowpeak_swiglu_forward(
            *strided(gate), *strided(up), *strided(out), *shape, threads, isa
        ),
    )
    assert_close(out, expected.detach())

    grad_gate, grad_up = (gate, up) if in_place else (matrix(tokens, width, 5), matrix(tokens, width, 6))
    on_threads(
        workers,
        lambda threads: library().lowpeak_swiglu_backward(
            *strided(grad), *strided(gate), *strided(up), *strided(grad_gate), *strided(grad_up), *shape,
            threads, isa,
        ),
    )  # fmt: skip
    assert_close(grad_gate, expected_gate, norm=float((grad * up).norm()) * 0.01)
    assert_close(grad_up, expected_up)
