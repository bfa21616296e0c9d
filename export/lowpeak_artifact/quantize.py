"""How a float matrix becomes a quantized one (quantized.py).

A module of its own, because torchao imports the machinery of torch.compile: 2 seconds that a process which
trains does without.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torchao.quantization.quant_primitives import MappingType, choose_qparams_affine, quantize_affine

from lowpeak_artifact.quantized import QuantFormat, QuantizedTensor, pack_nibbles

# torchao makes several float32 copies of what it quantizes; a large embedding goes through it piece by piece.
_ELEMENTS_AT_ONCE = 1 << 24


def quantize(weight: Tensor, format: QuantFormat) -> QuantizedTensor:
    """Round a finite float matrix [rows, cols] to the format, each value to the nearest that the format has.

    Symmetric (`zero_point=False`) scales are rounded to float16 before values are, so values make up for it.
    The packing changes no value. Raises ValueError when the group size does not divide cols, or a scale is
    beyond float16.
    """
    if format.packing != "high_first":
        return quantize(weight, replace(format, packing="high_first")).restated(format.packing)
    rows, cols = weight.shape
    data = torch.empty(format.data_shape(rows, cols), dtype=format.data_dtype)
    scale = torch.empty(format.scale_shape(rows, cols), dtype=format.scale_dtype)
    zero_point = torch.empty(scale.shape, dtype=torch.float32) if format.zero_point else None
    step = max(1, _ELEMENTS_AT_ONCE // cols)
    for start in range(0, rows, step):
        piece = slice(start, min(start + step, rows))
        values, scale[piece], offsets = _quantize_rows(weight[piece].to(torch.float32), format)
        data[piece] = pack_nibbles(values) if format.bits == 4 else values
        if zero_point is not None:
            zero_point[piece] = offsets
    if not torch.isfinite(scale).all():
        largest = weight.abs().max().item()
        raise ValueError(f"weights up to {largest:.3g} need scales beyond {format.scale_dtype}")
    return QuantizedTensor(format, data, scale, zero_point)


def _quantize_rows(weight: Tensor, format: QuantFormat) -> tuple[Tensor, Tensor, Tensor]:
    """int8 values [rows, cols], scales and zero points [rows, groups] of float32 rows, by torchao."""
    least, greatest = format.value_range
    scale, zero_point = choose_qparams_affine(
        weight,
        MappingType.ASYMMETRIC if format.zero_point else MappingType.SYMMETRIC,
        (1, format.group_size),
        torch.int8,
        quant_min=least,
        quant_max=greatest,
        scale_dtype=format.scale_dtype,
        zero_point_dtype=torch.int32,
    )
    values = quantize_affine(
        weight, (1, format.group_size), scale.to(torch.float32), zero_point, torch.int8, least, greatest
    )
    shape = format.scale_shape(*weight.shape)
    return values, scale.view(shape), zero_point.to(torch.float32).view(shape)
