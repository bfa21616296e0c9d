"""Dense matrix products with transposed operands, a factor and a sum."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from lowpeak_artifact.ops.base import EXECUTORCH, LOWPEAK, UNMADE
from lowpeak_artifact.ops.record import LATER, Call, describe, none


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
    product: Tensor = matmul(a, b, transpose_a, transpose_b, alpha)
    return addend + product


@matmul_add.register_fake
def _(addend: Tensor, a: Tensor, b: Tensor, transpose_a: bool, transpose_b: bool, alpha: float) -> Tensor:
    return addend.new_empty(addend.shape)


def _flops(call: Call) -> int:
    terms = call["a"].shape[-2 if call["transpose_a"] else -1]
    return 2 * call.results[0].numel() * int(terms)


PRODUCT = replace(LOWPEAK, flops=_flops, tile="matmul", lowering=UNMADE)
describe(
    replace(
        PRODUCT,
        in_place=none("reads every operand more than once"),
        kernel="lowpeak::matmul.out",
        onnx=LATER,
    ),
    torch.ops.lowpeak.matmul.default,
)
describe(
    replace(PRODUCT, in_place=EXECUTORCH, accumulates={0: "addend"}, kernel="lowpeak::matmul_add.out"),
    torch.ops.lowpeak.matmul_add.default,
)
