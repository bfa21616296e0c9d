"""Blocks are taken over bit by bit: integers, scales and dequantized values against the gguf package."""

from __future__ import annotations

import gguf
import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType as GgmlType

from lowpeak_compiler.frontend.model.ggml_blocks import BLOCK, TAKEOVERS

ROWS, COLS = 6, 128


def _stored(kind: GgmlType) -> np.ndarray:
    weight = np.random.default_rng(0).normal(0.02, 0.05, (ROWS, COLS)).astype(np.float32)
    return gguf.quantize(weight, kind)


def _scales(stored: np.ndarray) -> torch.Tensor:
    """The float16 number that every block starts with, [rows, blocks]."""
    blocks = stored.reshape(ROWS, COLS // BLOCK, -1)
    return torch.from_numpy(blocks[..., :2].copy().view(np.float16)[..., 0])


def _integers(stored: np.ndarray, kind: GgmlType) -> torch.Tensor:
    """The integers of every block by the definition of the type, one element at a time."""
    header = {GgmlType.Q4_0: 2, GgmlType.Q4_1: 4, GgmlType.Q8_0: 2}[kind]
    values = np.empty((ROWS, COLS // BLOCK, BLOCK), dtype=np.int8)
    for at in np.ndindex(*values.shape):
        data = stored.reshape(ROWS, COLS // BLOCK, -1)[at[0], at[1], header:]
        if kind == GgmlType.Q8_0:
            values[at] = data.view(np.int8)[at[2]]
        else:
            values[at] = (int(data[at[2] % 16]) >> (4 * (at[2] // 16)) & 0xF) - 8
    return torch.from_numpy(values.reshape(ROWS, COLS))


@pytest.mark.parametrize("kind", [GgmlType.Q4_0, GgmlType.Q4_1, GgmlType.Q8_0])
def test_integers_and_scales_are_verbatim(kind: GgmlType) -> None:
    stored = _stored(kind)
    tensor = TAKEOVERS[kind.name].convert(stored)
    assert tensor.format == TAKEOVERS[kind.name].format
    assert tensor.shape == (ROWS, COLS)
    assert torch.equal(tensor.values(), _integers(stored, kind))
    assert torch.equal(tensor.scale, _scales(stored).to(tensor.format.scale_dtype))


@pytest.mark.parametrize("kind", [GgmlType.Q4_0, GgmlType.Q8_0])
def test_symmetric_types_dequantize_exactly(kind: GgmlType) -> None:
    stored = _stored(kind)
    expected = torch.from_numpy(gguf.dequantize(stored, kind))
    assert torch.equal(TAKEOVERS[kind.name].convert(stored).dequantize(), expected)


def test_q4_1_dequantizes_to_float32_rounding() -> None:
    stored = _stored(GgmlType.Q4_1)
    expected = torch.from_numpy(gguf.dequantize(stored, GgmlType.Q4_1)).view(ROWS, -1, BLOCK)
    actual = TAKEOVERS["Q4_1"].convert(stored).dequantize().view(ROWS, -1, BLOCK)
    largest = expected.abs().amax(dim=-1, keepdim=True)
    assert ((actual - expected).abs() <= 1e-6 * largest).all()


@pytest.mark.parametrize("minimum", [0.0, 0.75, -3.0])
@pytest.mark.parametrize("nibble", [0x00, 0x5A])
def test_q4_1_block_of_equal_columns_is_exact(minimum: float, nibble: int) -> None:
    header = np.array([0.0, minimum], dtype=np.float16).view(np.uint8)
    stored = np.concatenate([header, np.full(16, nibble, dtype=np.uint8)])[None]
    expected = torch.full((1, BLOCK), minimum)
    assert torch.equal(torch.from_numpy(gguf.dequantize(stored, GgmlType.Q4_1)), expected)
    assert torch.equal(TAKEOVERS["Q4_1"].convert(stored).dequantize(), expected)


def test_q4_1_with_a_minimum_far_beyond_its_scale_stays_within_rounding() -> None:
    header = np.array([6e-8, 2.0], dtype=np.float16).view(np.uint8)
    stored = np.concatenate([header, np.arange(16, dtype=np.uint8)])[None]
    expected = torch.from_numpy(gguf.dequantize(stored, GgmlType.Q4_1))
    assert torch.allclose(TAKEOVERS["Q4_1"].convert(stored).dequantize(), expected, rtol=1e-6, atol=0)
