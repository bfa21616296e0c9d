"""Dense matrix products with transposed operands, a factor and a sum."""

from __future__ import annotations

import torch
from torch import Tensor


@torch.library.custom_op("lowpeak::matmul", mutates_args=())
def matmul(a: Tensor, b: Tensor, transpose_a: bool, transpose_b: bool, alpha: float) -> Tensor:
    """alpha * op(a) @ op(b) over the last two axes, op swaps them if told to; same leading axes."""
    return alpha * ((a.mT if transpose_a else a) @ (b.mT if transpose_b else b))


@matmul.register_fake
def _(a: Tensor, b: Tensor, transpose_a: bool, transpose_b: bool, alpha: float) -> Tensor:
    rows, cols = a.shape[-1 if transpose_a else -2], b.shape[-2 if transpose_b else -1]
    return a.new_empty((*a.shape[:-2], rows, cols))


@torch.library.custom_op("lowpeak::matmul_add", mutates_args=())
def matmul_add(
    addend: Tensor, a: Tensor, b: Tensor, transpose_a: bool, transpose_b: bool, alpha: float
) -> Tensor:
    """addend + matmul(a, b, ...), in the shape of the product. The result may lie where the addend did."""
    return addend + matmul(a, b, transpose_a, transpose_b, alpha)


@matmul_add.register_fake
def _(addend: Tensor, a: Tensor, b: Tensor, transpose_a: bool, transpose_b: bool, alpha: float) -> Tensor:
    return addend.new_empty(addend.shape)
