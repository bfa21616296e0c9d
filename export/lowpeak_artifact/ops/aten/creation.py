"""Tensors of given values, and of random ones."""

from __future__ import annotations

from dataclasses import replace

import torch

from lowpeak_artifact.ops.base import ATEN, NO_ONNX, NO_STOCK_KERNEL, NO_TILE_RULE
from lowpeak_artifact.ops.record import LATER, describe, none, unfit

aten = torch.ops.aten
CREATION = replace(ATEN, in_place=none("reads no operand's elements"), tile=NO_TILE_RULE, onnx=LATER)
RANDOM = replace(
    CREATION,
    executorch=unfit("gives random numbers, which no two runtimes have in common"),
    onnx=NO_ONNX,
)

describe(
    CREATION,
    aten.full.default, aten.full_like.default, aten.scalar_tensor.default, aten.zeros.default,
    aten.ones.default, aten.arange.default, aten.arange.start, aten.arange.start_step,
)  # fmt: skip
describe(
    replace(CREATION, executorch=NO_STOCK_KERNEL),
    aten.zeros_like.default,
    aten.ones_like.default,
)
describe(RANDOM, aten.rand.default, aten.randn.default, aten.native_dropout.default)
