"""Sums, means and extremes along axes, and what divides by them."""

from __future__ import annotations

from dataclasses import replace

import torch

from lowpeak_artifact.ops.base import (
    ATEN,
    EVERY_RUNTIME,
    EXECUTORCH,
    NEW_MEMORY,
    NO_STOCK_KERNEL,
    NO_TILE_RULE,
)
from lowpeak_artifact.ops.record import LATER, describe, none

aten = torch.ops.aten
REDUCTION = replace(ATEN, in_place=none("its result has fewer elements"), tile=NO_TILE_RULE, onnx=LATER)

describe(replace(REDUCTION, tile="reduction"), aten.mean.dim, aten.amax.default)
describe(replace(REDUCTION, tile="reduction", inexact=EXECUTORCH, replacement=LATER), aten.sum.dim_IntList)
describe(REDUCTION, aten.mean.default, aten.amin.default)
describe(replace(REDUCTION, executorch=NO_STOCK_KERNEL), aten.sum.default)
describe(replace(REDUCTION, in_place=EVERY_RUNTIME), aten._softmax.default)
describe(replace(REDUCTION, in_place=NEW_MEMORY), aten._log_softmax.default)
