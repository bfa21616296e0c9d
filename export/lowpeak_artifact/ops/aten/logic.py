"""Comparisons, choices between values, and operators on bits."""

from __future__ import annotations

from dataclasses import replace

import torch

from lowpeak_artifact.ops.aten.arithmetic import OTHER_TYPE
from lowpeak_artifact.ops.base import ATEN, NEW_MEMORY, NO_TILE_RULE
from lowpeak_artifact.ops.record import LATER, describe

aten = torch.ops.aten
COMPARISON = replace(ATEN, in_place=OTHER_TYPE, tile=NO_TILE_RULE, onnx=LATER)

describe(
    replace(COMPARISON, tile="elementwise"),
    aten.gt.Scalar, aten.ge.Scalar, aten.lt.Scalar, aten.le.Scalar, aten.eq.Scalar, aten.ne.Scalar,
)  # fmt: skip
describe(
    COMPARISON,
    aten.gt.Tensor, aten.ge.Tensor, aten.lt.Tensor, aten.le.Tensor, aten.eq.Tensor, aten.ne.Tensor,
    aten.logical_and.default, aten.logical_or.default, aten.logical_not.default,
)  # fmt: skip
describe(replace(COMPARISON, in_place=NEW_MEMORY, tile="elementwise"), aten.where.self)
describe(
    replace(COMPARISON, in_place=NEW_MEMORY),
    aten.bitwise_and.Tensor, aten.bitwise_and.Scalar, aten.bitwise_or.Tensor, aten.bitwise_or.Scalar,
    aten.bitwise_xor.Tensor, aten.bitwise_xor.Scalar, aten.bitwise_not.default,
    aten.bitwise_right_shift.Tensor_Scalar,
)  # fmt: skip
