"""Operators of the captured forward, which are others once the joint graph is normalized."""

from __future__ import annotations

from dataclasses import replace

import torch

from lowpeak_artifact.ops.base import ATEN
from lowpeak_artifact.ops.record import LATER, describe, none

aten = torch.ops.aten
GONE = none("gone before a step is planned: differentiate or Normalize makes others of it")
FORWARD = replace(ATEN, in_place=GONE, tile=GONE, lowering=GONE, executorch=GONE, onnx=GONE, inexact=GONE)

describe(
    replace(FORWARD, restates=True),
    aten.alias.default, aten.clone.default, aten.contiguous.default, aten.detach.default,
    aten.flatten.using_ints, aten.narrow.default, aten.pad.default, aten.reshape.default,
    aten.squeeze.default, aten.squeeze.dim, aten.squeeze.dims, aten.t.default, aten.to.dtype,
    aten.transpose.int, aten.unsqueeze.default,
)  # fmt: skip
describe(
    replace(FORWARD, restates=none("not looked through: no ids of a batch were seen to pass it")),
    aten.to.device, aten.to.dtype_layout, aten.to.other, aten.lift_fresh_copy.default, aten.dropout.default,
    aten._unsafe_view.default,
)  # fmt: skip
describe(
    FORWARD,
    aten._assert_tensor_metadata.default, aten.split.Tensor, aten.split_with_sizes.default, aten.unbind.int,
)  # fmt: skip
describe(
    replace(FORWARD, indexes=LATER),
    aten.cross_entropy_loss.default, aten.nll_loss.default, aten.nll_loss_nd.default,
    aten.nll_loss2d.default, aten.nll_loss_forward.default, aten.nll_loss2d_forward.default,
)  # fmt: skip
