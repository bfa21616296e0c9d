"""Values in another order or shape, parts of them, and several as one."""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from lowpeak_artifact.ops.base import (
    ATEN,
    EVERY_RUNTIME,
    EXECUTORCH,
    NO_ONNX,
    NO_TILE_RULE,
)
from lowpeak_artifact.ops.record import LATER, Call, View, describe, none, unfit

aten = torch.ops.aten
IN_PARTS = unfit("writes to a list of tensors, which a program cannot hand it")


def same_place(call: Call) -> int:
    return 0


def of_slice(call: Call) -> int | None:
    """Rows one after the other, with no axis longer than 1 before theirs."""
    source = call["self"]
    axis = call["dim"] % source.dim()
    if call["step"] != 1 or math.prod(source.shape[:axis]) != 1:
        return None
    start = min(call["start"] or 0, source.shape[axis])
    return int(start * math.prod(source.shape[axis + 1 :]) * source.element_size())


def of_select(call: Call) -> int | None:
    source = call["self"]
    axis = call["dim"] % source.dim()
    if math.prod(source.shape[:axis]) != 1:
        return None
    index = call["index"] % source.shape[axis]
    return int(index * math.prod(source.shape[axis + 1 :]) * source.element_size())


MOVEMENT = replace(
    ATEN, in_place=none("its elements change their places"), tile=NO_TILE_RULE, onnx=LATER, restates=True
)
JOINED = replace(MOVEMENT, restates=none("holds elements of several operands"))

describe(
    replace(MOVEMENT, view=View(same_place, EVERY_RUNTIME), tile="view", executorch="aten::view_copy.out"),
    aten.view.default,
)
describe(
    replace(
        MOVEMENT, view=View(of_slice, EXECUTORCH), tile="parts", executorch="aten::slice_copy.Tensor_out"
    ),
    aten.slice.Tensor,
)
describe(
    replace(MOVEMENT, view=View(of_select, EXECUTORCH), executorch="aten::select_copy.int_out"),
    aten.select.int,
)
describe(replace(MOVEMENT, tile="permute", executorch="aten::permute_copy.out"), aten.permute.default)
describe(replace(MOVEMENT, executorch="aten::expand_copy.out"), aten.expand.default)
describe(replace(MOVEMENT, inexact=EXECUTORCH, replacement=LATER), aten.constant_pad_nd.default)
describe(replace(JOINED, tile="parts"), aten.cat.default)
describe(replace(JOINED, tile="parts", onnx=NO_ONNX), aten.slice_scatter.default)
describe(
    replace(JOINED, executorch=IN_PARTS, onnx=NO_ONNX),
    aten.split_copy.Tensor,
    aten.split_with_sizes_copy.default,
    aten.unbind_copy.int,
)
