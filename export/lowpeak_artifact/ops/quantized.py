"""Quantized matrices: dequantized, and read by matrix products as they are."""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import torch
from torch import Tensor

from lowpeak_artifact.kind import Kind
from lowpeak_artifact.ops.base import EXECUTORCH, LOWPEAK, NEW_MEMORY, UNMADE
from lowpeak_artifact.ops.costs import product
from lowpeak_artifact.ops.record import LATER, describe, none
from lowpeak_artifact.quantized import Packing, unpack_nibbles

STORED = ("data", "scale", "zero_point", "bits")
"""The arguments that are a quantized matrix, in every operator that takes one."""


@torch.library.custom_op("lowpeak::dequantize", mutates_args=())
def dequantize(
    data: Tensor, scale: Tensor, zero_point: Tensor | None, bits: int, packing: str = "high_first"
) -> Tensor:
    """Group-wise quantized matrix -> float32 [rows, cols]: (value - zero_point) * scale.

    data: 4 bits: uint8 [rows, cols / 2], packed as lowpeak_artifact/quantized.py says; 8 bits: int8 [rows,
    cols]. scale, zero_point: [rows, groups], groups run along the columns.
    """
    value = (unpack_nibbles(data, cast(Packing, packing)) if bits == 4 else data).float()
    rows, cols = value.shape
    grouped = value.view(rows, scale.shape[1], -1)
    if zero_point is not None:
        grouped = grouped - zero_point.float()[:, :, None]
    return (grouped * scale.float()[:, :, None]).view(rows, cols)


@dequantize.register_fake
def _(
    data: Tensor, scale: Tensor, zero_point: Tensor | None, bits: int, packing: str = "high_first"
) -> Tensor:
    rows, width = data.shape
    return data.new_empty((rows, width * 2 if bits == 4 else width), dtype=torch.float32)


@torch.library.custom_op("lowpeak::dequantize_rows", mutates_args=())
def dequantize_rows(data: Tensor, scale: Tensor, zero_point: Tensor | None, bits: int, ids: Tensor) -> Tensor:
    """The rows `ids` (int64, any shape) of a group-wise quantized matrix -> float32 [*ids.shape, cols]."""
    flat = ids.flatten()
    rows: Tensor = dequantize(data[flat], scale[flat], None if zero_point is None else zero_point[flat], bits)
    return rows.view((*ids.shape, rows.shape[-1]))


@dequantize_rows.register_fake
def _(data: Tensor, scale: Tensor, zero_point: Tensor | None, bits: int, ids: Tensor) -> Tensor:
    width = data.shape[1]
    return data.new_empty((*ids.shape, width * 2 if bits == 4 else width), dtype=torch.float32)


@torch.library.custom_op("lowpeak::quantized_linear", mutates_args=())
def quantized_linear(
    x: Tensor, data: Tensor, scale: Tensor, zero_point: Tensor | None, bits: int, bias: Tensor | None
) -> Tensor:
    """linear(x, dequantize(data, scale, zero_point), bias): x [*, cols] -> [*, rows]."""
    return torch.nn.functional.linear(x, dequantize(data, scale, zero_point, bits), bias)


@quantized_linear.register_fake
def _(
    x: Tensor, data: Tensor, scale: Tensor, zero_point: Tensor | None, bits: int, bias: Tensor | None
) -> Tensor:
    return x.new_empty((*x.shape[:-1], data.shape[0]))


@torch.library.custom_op("lowpeak::quantized_linear_input_gradient", mutates_args=())
def quantized_linear_input_gradient(
    grad: Tensor, data: Tensor, scale: Tensor, zero_point: Tensor | None, bits: int
) -> Tensor:
    """grad @ dequantize(data, scale, zero_point): grad [*, rows] -> [*, cols]."""
    weight: Tensor = dequantize(data, scale, zero_point, bits)
    return grad @ weight


@quantized_linear_input_gradient.register_fake
def _(grad: Tensor, data: Tensor, scale: Tensor, zero_point: Tensor | None, bits: int) -> Tensor:
    return grad.new_empty((*grad.shape[:-1], data.shape[1] * 8 // bits))


@torch.library.custom_op("lowpeak::quantized_linear_input_gradient_add", mutates_args=())
def quantized_linear_input_gradient_add(
    addend: Tensor, grad: Tensor, data: Tensor, scale: Tensor, zero_point: Tensor | None, bits: int
) -> Tensor:
    """addend + grad @ dequantize(data, scale, zero_point). The result may lie where the addend did."""
    weight: Tensor = dequantize(data, scale, zero_point, bits)
    return addend + grad @ weight


@quantized_linear_input_gradient_add.register_fake
def _(
    addend: Tensor, grad: Tensor, data: Tensor, scale: Tensor, zero_point: Tensor | None, bits: int
) -> Tensor:
    return addend.new_empty(addend.shape)


describe(
    replace(
        LOWPEAK,
        in_place=NEW_MEMORY,
        category=Kind.WEIGHT,
        tile=none("of weights, which have no tokens"),
        lowering=LATER,
        kernel=none("our kernels read a quantized matrix as it is stored"),
        executorch=LATER,
        onnx=LATER,
    ),
    torch.ops.lowpeak.dequantize.default,
)
describe(
    replace(
        LOWPEAK,
        in_place=NEW_MEMORY,
        rows_at_a_time=64,
        tile="lookup",
        lowering=LATER,
        kernel="lowpeak::dequantize_rows.out",
        executorch=LATER,
        indexes=LATER,
    ),
    torch.ops.lowpeak.dequantize_rows.default,
)
PRODUCT = replace(LOWPEAK, in_place=none("reads a row for every column of its result"), lowering=UNMADE)
describe(
    replace(PRODUCT, flops=product("x"), tile="rows x", kernel="lowpeak::quantized_linear.out"),
    torch.ops.lowpeak.quantized_linear.default,
)
INPUT_GRADIENT = replace(PRODUCT, flops=product("grad"), tile="rows grad")
describe(
    replace(INPUT_GRADIENT, kernel="lowpeak::quantized_linear_input_gradient.out"),
    torch.ops.lowpeak.quantized_linear_input_gradient.default,
)
describe(
    replace(
        INPUT_GRADIENT,
        in_place=EXECUTORCH,
        accumulates={0: "addend"},
        tile="rows addend grad",
        kernel="lowpeak::quantized_linear_input_gradient_add.out",
    ),
    torch.ops.lowpeak.quantized_linear_input_gradient_add.default,
)
