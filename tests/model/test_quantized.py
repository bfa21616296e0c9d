"""Quantized matrices: layout against ExecuTorch's kernels, rounding error, sizes, refusals."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from lowpeak_artifact.quantize import quantize
from lowpeak_artifact.quantized import (
    QuantFormat,
    QuantizedTensor,
    choose_format,
    pack_nibbles,
    unpack_nibbles,
)

FORMATS = [QuantFormat(bits, group, zero) for bits in (4, 8) for group in (32, 64) for zero in (False, True)]


@pytest.mark.parametrize("format", FORMATS, ids=str)
def test_layout_is_that_of_executorch_embedding_kernels(format: QuantFormat) -> None:
    pytest.importorskip("executorch.kernels.quantized")
    pytest.importorskip("executorch.exir.passes._quant_patterns_and_replacements")
    tensor = quantize(torch.randn(7, 128, generator=torch.Generator().manual_seed(0)), format)
    op = torch.ops.quantized_decomposed
    kernel = op.embedding_4bit.dtype if format.bits == 4 else op.embedding_byte.dtype
    # The Python kernel computes in the scale's dtype; the promised arithmetic is float32.
    scale = tensor.scale.to(torch.float32)
    rows = kernel(
        tensor.data, scale, tensor.zero_point, *format.value_range, torch.arange(7), dtype=torch.float32
    )
    assert torch.equal(rows, tensor.dequantize())


class _Rows(torch.nn.Module):
    """All rows of a quantized matrix through the embedding kernel, as ExecuTorch programs call it."""

    def __init__(self, tensor: QuantizedTensor) -> None:
        super().__init__()
        self.format = tensor.format
        self.register_buffer("data", tensor.data)
        self.register_buffer("scale", tensor.scale)
        self.register_buffer("zero_point", tensor.zero_point)

    def forward(self, indices: torch.Tensor) -> torch.Tensor:
        op = torch.ops.quantized_decomposed
        kernel = op.embedding_4bit.dtype if self.format.bits == 4 else op.embedding_byte.dtype
        low, high = self.format.value_range
        return kernel(self.data, self.scale, self.zero_point, low, high, indices, dtype=torch.float32)


@pytest.mark.parametrize("format", [each for each in FORMATS if each.group_size == 32], ids=str)
def test_stock_runtime_dequantizes_the_same_bits(format: QuantFormat) -> None:
    exir = pytest.importorskip("executorch.exir")
    pytest.importorskip("executorch.kernels.quantized")
    runtime = pytest.importorskip("executorch.extension.pybindings.portable_lib")
    pytest.importorskip("executorch.exir.passes._quant_patterns_and_replacements")
    tensor = quantize(torch.randn(5, 64, generator=torch.Generator().manual_seed(2)), format)
    exported = torch.export.export(_Rows(tensor), (torch.arange(5),), strict=False)
    edge = exir.to_edge(exported, compile_config=exir.EdgeCompileConfig(_check_ir_validity=False))
    buffer = edge.to_executorch().buffer  # not copied by the runtime: it has to outlive the program
    program = runtime._load_for_executorch_from_buffer(buffer)
    assert torch.equal(program.forward((torch.arange(5),))[0], tensor.dequantize())


@pytest.mark.parametrize("format", FORMATS, ids=str)
def test_every_value_is_the_nearest_the_format_has(format: QuantFormat) -> None:
    weight = torch.randn(16, 256, generator=torch.Generator().manual_seed(1))
    tensor = quantize(weight, format)
    assert tensor.shape == (16, 256)
    groups = weight.view(16, -1, format.group_size)
    scale = tensor.scale.to(torch.float32).unsqueeze(-1)
    zero = 0 if tensor.zero_point is None else tensor.zero_point.unsqueeze(-1)
    least, greatest = format.value_range
    nearest = torch.clamp(torch.round(groups / scale) + zero, least, greatest)
    expected = ((nearest - zero) * scale).view(16, 256)
    error, best = (tensor.dequantize() - weight).abs(), (expected - weight).abs()
    assert torch.allclose(error, best, rtol=0, atol=1e-5)


@pytest.mark.parametrize("format", FORMATS, ids=str)
def test_nbytes_counts_what_the_tensors_hold(format: QuantFormat) -> None:
    tensor = quantize(torch.randn(6, 192), format)
    held = [tensor.data, tensor.scale] + ([] if tensor.zero_point is None else [tensor.zero_point])
    assert format.nbytes(6, 192) == sum(part.nbytes for part in held)
    assert tensor.data.shape == format.data_shape(6, 192)
    assert tensor.scale.shape == format.scale_shape(6, 192)


def test_all_zero_rows_stay_zero() -> None:
    for format in FORMATS:
        assert torch.equal(quantize(torch.zeros(2, 64), format).dequantize(), torch.zeros(2, 64))


def test_pieces_equal_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    weight = torch.randn(33, 64)
    whole = quantize(weight, QuantFormat(4, 32, False))
    monkeypatch.setattr("lowpeak_artifact.quantize._ELEMENTS_AT_ONCE", 5 * 64)
    pieces = quantize(weight, QuantFormat(4, 32, False))
    assert torch.equal(whole.data, pieces.data) and torch.equal(whole.scale, pieces.scale)


def test_half_precision_weights_quantize_as_their_float32_values() -> None:
    weight = torch.randn(4, 64).to(torch.bfloat16)
    low, full = (quantize(each, QuantFormat(4, 32, False)) for each in (weight, weight.float()))
    assert torch.equal(low.data, full.data) and torch.equal(low.scale, full.scale)


def test_nibbles_round_trip_with_the_even_column_high() -> None:
    values = torch.arange(-8, 8, dtype=torch.int8).view(1, 16)
    assert pack_nibbles(values)[0, 0].item() == 0x01
    assert torch.equal(unpack_nibbles(pack_nibbles(values)), values)


@pytest.mark.parametrize("format", FORMATS, ids=str)
def test_restated_is_the_same_matrix_and_comes_back(format: QuantFormat) -> None:
    tensor = quantize(torch.randn(6, 192, generator=torch.Generator().manual_seed(3)) + 0.5, format)
    low = tensor.restated("low_first")
    assert low.format == dataclasses.replace(format, packing="low_first")
    assert low.scale.dtype == torch.float32 and low.data.dtype == tensor.data.dtype
    assert torch.equal(low.values(), tensor.values())
    assert torch.equal(low.dequantize(), tensor.dequantize())
    assert torch.equal(low.data, tensor.data) == (format.bits == 8)
    back = low.restated("high_first")
    assert back.format == format and back.scale.dtype == tensor.scale.dtype
    for name in ("data", "scale", "zero_point"):
        before, after = getattr(tensor, name), getattr(back, name)
        assert (before is None and after is None) or torch.equal(before, after)
    assert tensor.restated("high_first") is tensor and low.restated("low_first") is low


@pytest.mark.parametrize("format", FORMATS, ids=str)
def test_quantizing_to_low_first_changes_no_value(format: QuantFormat) -> None:
    weight = torch.randn(6, 192, generator=torch.Generator().manual_seed(4))
    low = dataclasses.replace(format, packing="low_first")
    actual, expected = quantize(weight, low), quantize(weight, format)
    assert actual.format == low
    assert torch.equal(actual.dequantize(), expected.dequantize())
    held = [actual.data, actual.scale] + ([] if actual.zero_point is None else [actual.zero_point])
    assert low.nbytes(6, 192) == sum(part.nbytes for part in held)


def test_low_first_is_twos_complement_with_the_even_column_low() -> None:
    values = torch.tensor([[0, 1, -1, -8, 7, 2]], dtype=torch.int8)
    format = QuantFormat(4, 2, False)
    tensor = QuantizedTensor(format, pack_nibbles(values), torch.ones(1, 3, dtype=torch.float16), None)
    low = tensor.restated("low_first")
    assert low.data.tolist() == [[0x10, 0x8F, 0x27]]
    assert torch.equal(unpack_nibbles(low.data, "low_first"), values)


def test_every_byte_is_restated_and_comes_back() -> None:
    data = torch.arange(256, dtype=torch.uint8).view(1, 256)
    tensor = QuantizedTensor(QuantFormat(4, 512, False), data, torch.ones(1, 1, dtype=torch.float16), None)
    low = tensor.restated("low_first")
    assert low.data.unique().numel() == 256
    assert torch.equal(unpack_nibbles(low.data, "low_first"), unpack_nibbles(data))
    assert torch.equal(low.restated("high_first").data, data)


def test_fractional_zero_points_dequantize_in_float32() -> None:
    data = pack_nibbles(torch.full((1, 32), 3, dtype=torch.int8))
    tensor = QuantizedTensor(QuantFormat(4, 32, True), data, torch.tensor([[0.5]]), torch.tensor([[-1.25]]))
    assert torch.equal(tensor.dequantize(), torch.full((1, 32), 2.125))


def test_choose_format_takes_the_largest_dividing_group() -> None:
    assert choose_format(8, 512, 4, 128) == QuantFormat(4, 128, False)
    assert choose_format(8, 576, 4, 128) == QuantFormat(4, 64, False)
    assert choose_format(8, 96, 8, 128) == QuantFormat(8, 32, False)
    assert choose_format(8, 64, 4, 32) == QuantFormat(4, 32, False)
    assert choose_format(8, 100, 4, 128) is None
    assert choose_format(8, 48, 4, 16) == QuantFormat(4, 16, False)
    assert choose_format(0, 64, 4, 32) is None


def test_refusals_say_the_numbers() -> None:
    with pytest.raises(ValueError, match=r"100 columns .* group size 32"):
        quantize(torch.zeros(2, 100), QuantFormat(4, 32, False))
    with pytest.raises(ValueError, match="bits must be 4 or 8"):
        QuantFormat(3, 32, False)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="packing must be high_first or low_first, not 'middle'"):
        QuantFormat(4, 32, False, "middle")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="even"):
        QuantFormat(4, 33, False)
    with pytest.raises(ValueError, match=r"1e\+06 need scales beyond"):
        quantize(torch.full((1, 32), 1e6), QuantFormat(4, 32, False))
