"""GGML quantized blocks -> our layout, without a second rounding.

A row is a sequence of blocks of 32 columns (ggml-common.h, block_q4_0, block_q4_1, block_q8_0):

    Q4_0  d: f16, 16 bytes of nibbles          weight = d * (nibble - 8)
    Q4_1  d: f16, m: f16, 16 bytes of nibbles  weight = d * nibble + m
    Q8_0  d: f16, 32 int8                      weight = d * value

A GGML byte holds column i in its low nibble and column i + 16 in its high one; ours holds two neighbours.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lowpeak_artifact.quantized import QuantFormat, QuantizedTensor

BLOCK = 32
"""Columns in a block of each of the three types."""

_Bytes = npt.NDArray[np.uint8]


class Takeover(NamedTuple):
    """How a GGML type is taken over."""

    format: QuantFormat
    convert: Callable[[_Bytes], QuantizedTensor]
    """From the stored bytes of a matrix, uint8 [rows, row bytes]."""


def _from_q4_0(rows: _Bytes) -> QuantizedTensor:
    blocks = _blocks(rows, 18)
    return QuantizedTensor(Q4_0.format, _repack(blocks[..., 2:]), _float16(blocks[..., :2]), None)


def _from_q4_1(rows: _Bytes) -> QuantizedTensor:
    """`d * nibble + m` as `(value - zero_point) * d`: value = nibble - 8, zero_point = -m / d - 8.

    A block of equal columns has d = 0, which no zero point can express: it becomes `(value - zero_point) * m`
    with value - zero_point = 1.
    """
    blocks = _blocks(rows, 20)
    scale = _float16(blocks[..., :2]).to(torch.float32)
    minimum = _float16(blocks[..., 2:4]).to(torch.float32)
    nibbles = blocks[..., 4:]
    constant = scale == 0
    if constant.any():
        nibbles = np.where(constant.numpy()[..., None], np.uint8(0), nibbles)
    zero_point = torch.where(constant, -9.0, -minimum / scale - 8)
    return QuantizedTensor(Q4_1.format, _repack(nibbles), torch.where(constant, minimum, scale), zero_point)


def _from_q8_0(rows: _Bytes) -> QuantizedTensor:
    blocks = _blocks(rows, 34)
    values = np.ascontiguousarray(blocks[..., 2:]).view(np.int8).reshape(rows.shape[0], -1)
    return QuantizedTensor(Q8_0.format, torch.from_numpy(values), _float16(blocks[..., :2]), None)


Q4_0 = Takeover(QuantFormat(4, BLOCK, zero_point=False), _from_q4_0)
Q4_1 = Takeover(QuantFormat(4, BLOCK, zero_point=True), _from_q4_1)
Q8_0 = Takeover(QuantFormat(8, BLOCK, zero_point=False), _from_q8_0)

TAKEOVERS = {"Q4_0": Q4_0, "Q4_1": Q4_1, "Q8_0": Q8_0}
"""By the name of the GGML type."""


def _blocks(rows: _Bytes, block_nbytes: int) -> _Bytes:
    return rows.reshape(rows.shape[0], -1, block_nbytes)


def _float16(pairs: _Bytes) -> Tensor:
    """uint8 [rows, blocks, 2] as float16 [rows, blocks]."""
    return torch.from_numpy(np.ascontiguousarray(pairs).view(np.float16)[..., 0])


def _repack(nibbles: _Bytes) -> Tensor:
    """GGML's order, uint8 [rows, blocks, 16], to ours, uint8 [rows, cols / 2]."""
    columns = np.concatenate((nibbles & 0xF, nibbles >> 4), axis=-1)
    packed = (columns[..., 0::2] << 4) | columns[..., 1::2]
    return torch.from_numpy(packed.reshape(nibbles.shape[0], -1))
