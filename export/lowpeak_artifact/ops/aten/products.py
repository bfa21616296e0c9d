"""Matrix products and convolutions."""

from __future__ import annotations

from dataclasses import replace

import torch

from lowpeak_artifact.ops.base import ATEN, EXECUTORCH, NO_ONNX, NO_TILE_RULE
from lowpeak_artifact.ops.costs import product
from lowpeak_artifact.ops.record import LATER, describe, none, unfit

aten = torch.ops.aten
MATMUL_INSTEAD = none("targets that take tokens in tiles have matmul instead")
PRODUCT = replace(ATEN, in_place=none("reads every operand more than once"), tile=MATMUL_INSTEAD, onnx=LATER)

describe(replace(PRODUCT, flops=product("self")), aten.mm.default, aten.bmm.default)
describe(replace(PRODUCT, flops=product("weight"), tile="rows input"), aten.linear.default)
describe(
    replace(
        PRODUCT,
        flops=none("not counted: Normalize makes linear or mm of it, but for other factors than 1"),
        tile=NO_TILE_RULE,
        onnx=NO_ONNX,
        inexact=EXECUTORCH,
        replacement=LATER,
    ),
    aten.addmm.default,
)
describe(
    replace(
        PRODUCT,
        flops=none("convolutions are not counted"),
        tile=NO_TILE_RULE,
        executorch=unfit("has a stock kernel for images and three gradients only"),
        onnx=NO_ONNX,
    ),
    aten.convolution_backward.default,
)
