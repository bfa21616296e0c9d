"""Elementwise arithmetic."""

from __future__ import annotations

from dataclasses import replace

import torch

from lowpeak_artifact.ops.base import (
    ATEN,
    EVERY_RUNTIME,
    EXECUTORCH,
    NEW_MEMORY,
    NO_ONNX,
    NO_STOCK_KERNEL,
    NO_TILE_RULE,
    ONNXRUNTIME,
)
from lowpeak_artifact.ops.record import LATER, describe, none

aten = torch.ops.aten
ELEMENTWISE = replace(ATEN, in_place=EXECUTORCH, tile="elementwise", onnx=LATER)
ROUNDING = replace(ELEMENTWISE, in_place=NEW_MEMORY, tile=NO_TILE_RULE)
WITHOUT_ONNX = replace(ROUNDING, onnx=NO_ONNX)
OTHER_TYPE = none("its result has another type")

describe(
    ELEMENTWISE,
    aten.add.Tensor, aten.sub.Tensor, aten.mul.Tensor, aten.div.Tensor, aten.maximum.default,
    aten.minimum.default, aten.sub.Scalar, aten.mul.Scalar, aten.rsub.Scalar, aten.pow.Tensor_Scalar,
    aten.neg.default, aten.exp.default, aten.log.default, aten.rsqrt.default, aten.sqrt.default,
    aten.reciprocal.default, aten.abs.default, aten.sin.default, aten.cos.default, aten.erf.default,
    aten.clamp.default,
)  # fmt: skip
describe(replace(ELEMENTWISE, in_place=EVERY_RUNTIME), aten.tanh.default, aten.relu.default)
describe(
    replace(ELEMENTWISE, inexact=EXECUTORCH, replacement=LATER),
    aten.add.Scalar,
    aten.div.Scalar,
)
describe(replace(ELEMENTWISE, inexact=ONNXRUNTIME, replacement=LATER), aten.sigmoid.default)
describe(replace(ELEMENTWISE, in_place=OTHER_TYPE, restates=True), aten._to_copy.default)
describe(
    ROUNDING, aten.floor.default, aten.ceil.default, aten.round.default, aten.sign.default,
    aten.pow.Tensor_Tensor,
)  # fmt: skip
describe(replace(ROUNDING, executorch=NO_STOCK_KERNEL), aten.threshold_backward.default)
describe(
    replace(WITHOUT_ONNX, inexact=EXECUTORCH, replacement=LATER),
    aten.remainder.Tensor, aten.remainder.Scalar, aten.div.Tensor_mode, aten.div.Scalar_mode,
    aten.floor_divide.default,
)  # fmt: skip
describe(replace(WITHOUT_ONNX, tile="elementwise"), aten.gelu.default)
describe(
    replace(WITHOUT_ONNX, tile="elementwise", executorch=NO_STOCK_KERNEL),
    aten.gelu_backward.default,
    aten.silu.default,
)
