"""Norms and variances, whose stock kernels lose digits: see passes/lower/inexact/norms.py."""

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
)
from lowpeak_artifact.ops.record import LATER, describe

aten = torch.ops.aten
NORM = replace(
    ATEN,
    in_place=NEW_MEMORY,
    tile=NO_TILE_RULE,
    onnx=NO_ONNX,
    inexact=EVERY_RUNTIME,
    replacement=LATER,
)

describe(
    NORM,
    aten.native_layer_norm.default,
    aten.native_group_norm.default,
    aten._native_batch_norm_legit.no_stats,
)
describe(replace(NORM, executorch=NO_STOCK_KERNEL), aten.native_batch_norm.default)
describe(
    replace(NORM, inexact=EXECUTORCH),
    aten.var.correction,
    aten.var.dim,
    aten.var_mean.correction,
)
