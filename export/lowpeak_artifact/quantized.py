"""Group-wise quantized weight matrices: the format and the tensor.

    8 bits   data int8 [rows, cols]: value in -128..127
    4 bits   data uint8 [rows, cols / 2], value in -8..7, in one of two packings:
             high_first: the even column in the high nibble, nibble = value + 8 (the stock kernels
                 `quantized_decomposed::embedding_4bit` and our own)
             low_first: the even column in the low nibble, nibble = value in two's complement (ONNX's INT4)

Groups of `group_size` neighbouring columns share one scale and, where the format has one, one zero point:
`weight = (value - zero_point) * scale`, computed in float32.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch
from torch import Tensor

_FALLBACK_GROUP_SIZES = (64, 32)

Packing = Literal["high_first", "low_first"]
LOW_FIRST_MASK = 0x88
"""Turns two nibbles of two's complement into value + 8 each, and back."""


@dataclass(frozen=True)
class QuantFormat:
    """How a weight matrix is stored. Raises ValueError for a combination that has no layout."""

    bits: Literal[4, 8]
    """Bits a value."""

    group_size: int
    """Columns that share a scale; even, so that no byte of 4-bit data belongs to two groups."""

    zero_point: bool
    """Whether groups have a zero point: it and the scale are then float32; scales are float16 otherwise."""

    packing: Packing = "high_first"
    """Of 4-bit values into bytes; scales of low_first matrices are float32 in any case."""

    def __post_init__(self) -> None:
        if self.bits not in (4, 8):
            raise ValueError(f"bits must be 4 or 8, not {self.bits}")
        if self.packing not in get_args(Packing):
            raise ValueError(f"packing must be high_first or low_first, not {self.packing!r}")
        if self.group_size <= 0 or self.group_size % 2:
            raise ValueError(f"group_size must be a positive even number, not {self.group_size}")

    @property
    def scale_dtype(self) -> torch.dtype:
        """float32 when the format has zero points, which are float32 too, or is low_first; else float16."""
        return torch.float32 if self.zero_point or self.packing == "low_first" else torch.float16

    @property
    def data_dtype(self) -> torch.dtype:
        return torch.uint8 if self.bits == 4 else torch.int8

    @property
    def value_range(self) -> tuple[int, int]:
        """Least and greatest stored value, both included."""
        return -(1 << (self.bits - 1)), (1 << (self.bits - 1)) - 1

    def data_shape(self, rows: int, cols: int) -> tuple[int, int]:
        """Shape of the packed data of a [rows, cols] matrix; ValueError if groups do not divide cols."""
        self._groups(cols)
        return rows, cols * self.bits // 8

    def scale_shape(self, rows: int, cols: int) -> tuple[int, int]:
        """Shape of the scales, and of the zero points; ValueError if groups do not divide cols."""
        return rows, self._groups(cols)

    def nbytes(self, rows: int, cols: int) -> int:
        """Bytes of data, scales and zero points together; ValueError if groups do not divide cols."""
        bytes_a_group = self.scale_dtype.itemsize * (2 if self.zero_point else 1)
        return rows * (cols * self.bits // 8 + self._groups(cols) * bytes_a_group)

    def _groups(self, cols: int) -> int:
        if cols % self.group_size:
            raise ValueError(f"{cols} columns are not divisible by the group size {self.group_size}")
        return cols // self.group_size


@dataclass(frozen=True, eq=False)
class QuantizedTensor:
    """A quantized [rows, cols] matrix: packed data and a scale, perhaps a zero point, per row and group."""

    format: QuantFormat
    data: Tensor
    """`format.data_shape(rows, cols)`, uint8 for 4 bits and int8 for 8 bits."""

    scale: Tensor
    """[rows, groups], `format.scale_dtype`."""

    zero_point: Tensor | None
    """[rows, groups] float32, not necessarily whole numbers; None when the format has none."""

    def __post_init__(self) -> None:
        rows, cols = self.shape
        scale_shape = self.format.scale_shape(rows, cols)
        assert self.data.dtype == self.format.data_dtype, self.data.dtype
        assert self.scale.shape == scale_shape and self.scale.dtype == self.format.scale_dtype
        assert (self.zero_point is not None) == self.format.zero_point
        if self.zero_point is not None:
            assert self.zero_point.shape == scale_shape and self.zero_point.dtype == torch.float32

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, cols) of the matrix that is meant, not of its packed data."""
        rows, stored = self.data.shape
        return rows, stored * 8 // self.format.bits

    def values(self) -> Tensor:
        """The stored integers, int8 [rows, cols]."""
        return self.data if self.format.bits == 8 else unpack_nibbles(self.data, self.format.packing)

    def dequantize(self) -> Tensor:
        """The matrix as float32 [rows, cols]: `(value - zero_point) * scale`."""
        rows, cols = self.shape
        groups = self.values().to(torch.float32).view(rows, -1, self.format.group_size)
        if self.zero_point is not None:
            groups -= self.zero_point.unsqueeze(-1)
        groups *= self.scale.to(torch.float32).unsqueeze(-1)
        return groups.view(rows, cols)

    def restated(self, packing: Packing) -> QuantizedTensor:
        """The same matrix, bit for bit, in another packing."""
        if packing == self.format.packing:
            return self
        format = replace(self.format, packing=packing)
        data = self.data if format.bits == 8 else _swap_nibbles(self.data) ^ LOW_FIRST_MASK
        return QuantizedTensor(format, data, self.scale.to(format.scale_dtype), self.zero_point)


def pack_nibbles(values: Tensor) -> Tensor:
    """Integers of -8..7, [rows, cols], as uint8 [rows, cols / 2], high_first."""
    nibbles = (values + 8).to(torch.uint8)
    return (nibbles[:, 0::2] << 4) | nibbles[:, 1::2]


def unpack_nibbles(data: Tensor, packing: Packing = "high_first") -> Tensor:
    """The inverse of `pack_nibbles`: int8 [rows, cols] from uint8 [rows, cols / 2]."""
    if packing == "low_first":
        data = _swap_nibbles(data) ^ LOW_FIRST_MASK
    return torch.stack((data >> 4, data & 0xF), dim=-1).flatten(1).to(torch.int8) - 8


def _swap_nibbles(data: Tensor) -> Tensor:
    return (data << 4) | (data >> 4)


def choose_format(rows: int, cols: int, bits: Literal[4, 8], group_size: int) -> QuantFormat | None:
    """The symmetric format with the largest group that divides `cols`.

    Candidates are `group_size`, then 64 and 32 where they are smaller. None when no candidate divides `cols`,
    or the matrix is empty: it then stays dense.
    """
    if rows == 0 or cols == 0:
        return None
    for candidate in (group_size, *_FALLBACK_GROUP_SIZES):
        if candidate <= group_size and cols % candidate == 0:
            return QuantFormat(bits, candidate, zero_point=False)
    return None
