"""native/kernels/linear/linear.h against torch in float64."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from lowpeak_artifact.quantized import QuantFormat, QuantizedTensor
from tests.native.linear import GENERIC, available_isas, library, linear

TOLERANCE = 1e-5

sizes = st.one_of(st.integers(1, 40), st.sampled_from([97, 128, 193, 257, 389, 600]))


@dataclass(frozen=True)
class Setting:
    """What is not a shape."""

    workers: int
    isa: int
    accumulate: bool
    seed: int


settings_of_runs = st.builds(
    Setting, st.integers(1, 4), st.sampled_from(available_isas()), st.booleans(), st.integers(0, 1 << 30)
)


@st.composite
def formats_and_columns(draw: st.DrawFn) -> tuple[QuantFormat, int]:
    group_size = draw(st.sampled_from([2, 8, 10, 16, 32, 48, 64, 128]))
    groups = draw(st.integers(1, 5) if group_size > 16 else st.sampled_from([1, 2, 3, 7, 37]))
    bits = draw(st.sampled_from([4, 8]))
    return QuantFormat(bits, group_size, draw(st.booleans())), groups * group_size


def random_weight(format: QuantFormat, rows: int, cols: int) -> QuantizedTensor:
    """Every bit pattern, scales of different magnitudes and zero points that are not whole."""
    least, greatest = (0, 255) if format.bits == 4 else (-128, 127)
    data = torch.randint(least, greatest + 1, format.data_shape(rows, cols)).to(format.data_dtype)
    scale = (torch.randn(format.scale_shape(rows, cols)) * 0.02).to(format.scale_dtype)
    zero_point = torch.randn(scale.shape) * 3 if format.zero_point else None
    return QuantizedTensor(format, data, scale, zero_point)


def tile_of_larger(rows: int, cols: int) -> Tensor:
    """A random matrix whose rows lie apart, between values that nothing may read or write."""
    surrounding = torch.full((rows + 2, cols + 5), float("nan"))
    surrounding[1 : rows + 1, 2 : cols + 2] = torch.randn(rows, cols)
    return surrounding[1 : rows + 1, 2 : cols + 2]


def check(result: Tensor, expected: Tensor, magnitude: Tensor) -> None:
    """Within 1e-5 of the norm; of a hundredth of what was added up where almost all of it cancels."""
    assert torch.isfinite(result).all()
    assert (result.double() - expected).norm() <= TOLERANCE * max(expected.norm(), magnitude.norm() * 1e-2)
    surrounding = result._base
    assert surrounding is not None
    assert torch.isnan(surrounding).sum() == surrounding.numel() - result.numel()


@settings(max_examples=150, deadline=None)
@given(
    st.one_of(sizes, st.just(1500)),
    st.sampled_from([32, 64, 128]),
    st.one_of(st.integers(1, 5), st.sampled_from([18, 48, 70, 130])),
    st.sampled_from([4, 8]),
    st.booleans(),
    st.booleans(),
    settings_of_runs,
)
def test_forward_of_one_token(
    rows: int,
    group_size: int,
    groups: int,
    bits: Literal[4, 8],
    zero_point: bool,
    biased: bool,
    setting: Setting,
) -> None:
    """Which is no product by blocks."""
    torch.manual_seed(setting.seed)
    weight = random_weight(QuantFormat(bits, group_size, zero_point), rows, groups * group_size)
    x, y = tile_of_larger(1, groups * group_size), tile_of_larger(1, rows)
    bias = torch.randn(rows) if biased else None
    expected = x.double() @ weight.dequantize().double().T
    if bias is not None:
        expected += bias.double()
    if setting.accumulate:
        expected += y.double()
    magnitude = x.double().abs() @ weight.dequantize().double().abs().T
    with linear(setting.workers, setting.isa) as native:
        native.forward(x, weight, bias, y, setting.accumulate)
    check(y, expected, magnitude)


@settings(max_examples=150, deadline=None)
@given(sizes, sizes, formats_and_columns(), st.booleans(), settings_of_runs)
def test_forward(
    tokens: int, rows: int, stored: tuple[QuantFormat, int], biased: bool, setting: Setting
) -> None:
    torch.manual_seed(setting.seed)
    format, cols = stored
    weight = random_weight(format, rows, cols)
    x, y = tile_of_larger(tokens, cols), tile_of_larger(tokens, rows)
    bias = torch.randn(rows) if biased else None
    expected = x.double() @ weight.dequantize().double().T
    if bias is not None:
        expected += bias
    if setting.accumulate:
        expected += y
    with linear(setting.workers, setting.isa) as native:
        native.forward(x, weight, bias, y, setting.accumulate)
    check(y, expected, x.abs().double() @ weight.dequantize().abs().double().T)


@settings(max_examples=150, deadline=None)
@given(sizes, sizes, formats_and_columns(), settings_of_runs)
def test_input_gradient(tokens: int, rows: int, stored: tuple[QuantFormat, int], setting: Setting) -> None:
    torch.manual_seed(setting.seed)
    format, cols = stored
    weight = random_weight(format, rows, cols)
    dy, dx = tile_of_larger(tokens, rows), tile_of_larger(tokens, cols)
    expected = dy.double() @ weight.dequantize().double() + (dx if setting.accumulate else 0)
    with linear(setting.workers, setting.isa) as native:
        native.input_gradient(dy, weight, dx, setting.accumulate)
    check(dx, expected, dy.abs().double() @ weight.dequantize().abs().double())


@settings(max_examples=200, deadline=None)
@given(sizes, sizes, sizes, st.booleans(), st.booleans(), st.sampled_from([1.0, -0.5, 2.0]), settings_of_runs)
def test_matmul(
    rows: int, depth: int, cols: int, a_transposed: bool, b_transposed: bool, alpha: float, setting: Setting
) -> None:
    torch.manual_seed(setting.seed)
    a = tile_of_larger(depth, rows) if a_transposed else tile_of_larger(rows, depth)
    b = tile_of_larger(cols, depth) if b_transposed else tile_of_larger(depth, cols)
    c = tile_of_larger(rows, cols)
    left = (a.T if a_transposed else a).double()
    right = (b.T if b_transposed else b).double()
    expected = alpha * left @ right + (c if setting.accumulate else 0)
    with linear(setting.workers, setting.isa) as native:
        native.matmul(a, a_transposed, b, b_transposed, alpha, c, setting.accumulate)
    check(c, expected, abs(alpha) * left.abs() @ right.abs())


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 50), sizes, formats_and_columns(), settings_of_runs)
def test_gather_rows(count: int, rows: int, stored: tuple[QuantFormat, int], setting: Setting) -> None:
    torch.manual_seed(setting.seed)
    format, cols = stored
    weight = random_weight(format, rows, cols)
    ids = torch.randint(0, rows, (count,))
    out = tile_of_larger(count, cols)
    with linear(setting.workers, setting.isa) as native:
        native.gather_rows(weight, ids, out)
    expected = weight.dequantize()[ids].double()
    check(out, expected, expected)
    if not format.zero_point:
        assert torch.equal(out, expected.float())


@pytest.mark.parametrize("isa", available_isas())
def test_threads_do_not_change_a_bit(isa: int) -> None:
    torch.manual_seed(0)
    weight = random_weight(QuantFormat(4, 32, zero_point=False), 1031, 608)
    x, dy = torch.randn(300, 608), torch.randn(300, 1031)
    results = []
    for workers in (1, 2, 3, 8):
        y, dx = torch.empty(300, 1031), torch.empty(300, 608)
        with linear(workers, isa) as native:
            native.forward(x, weight, None, y, False)
            native.input_gradient(dy, weight, dx, False)
        results.append((y, dx))
    for y, dx in results[1:]:
        assert torch.equal(y, results[0][0]) and torch.equal(dx, results[0][1])


def test_no_depth_writes_zeros_or_the_bias() -> None:
    """A matrix without columns: nothing is added up."""
    weight = QuantizedTensor(
        QuantFormat(8, 32, zero_point=False),
        torch.empty(20, 0, dtype=torch.int8),
        torch.empty(20, 0, dtype=torch.float16),
        None,
    )
    bias, y = torch.randn(20), torch.full((7, 20), float("nan"))
    with linear(2, GENERIC) as native:
        native.forward(torch.empty(7, 0), weight, bias, y, False)
        assert torch.equal(y, bias.expand(7, 20))
        native.forward(torch.empty(7, 0), weight, None, y, False)
    assert torch.equal(y, torch.zeros(7, 20))


def test_scratch_is_small() -> None:
    assert library().lowpeak_matmul_scratch_bytes(2) < 8 << 20
