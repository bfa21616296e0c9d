"""Elements read from places, and put to places, that a tensor of indices names."""

from __future__ import annotations

from dataclasses import replace

import torch

from lowpeak_artifact.ops.base import ATEN, NO_ONNX, NO_STOCK_KERNEL, NO_TILE_RULE, ONNXRUNTIME
from lowpeak_artifact.ops.record import LATER, describe, none

aten = torch.ops.aten
INDEXED = replace(
    ATEN, in_place=none("reads places that it may have written"), tile=NO_TILE_RULE, onnx=LATER, indexes=LATER
)
WITHOUT_ONNX = replace(INDEXED, onnx=NO_ONNX)

describe(replace(INDEXED, tile="lookup"), aten.embedding.default)
describe(replace(INDEXED, tile="whole"), aten.index_select.default)
describe(
    replace(INDEXED, tile="whole", inexact=ONNXRUNTIME, replacement=LATER),
    aten.index_put.default,
)
describe(INDEXED, aten.gather.default, aten.scatter_add.default)
describe(WITHOUT_ONNX, aten.index.Tensor, aten.scatter.src, aten.scatter.value)
describe(
    replace(WITHOUT_ONNX, executorch=NO_STOCK_KERNEL),
    aten.scatter_reduce.two, aten.index_add.default, aten.index_copy.default, aten.index_fill.int_Scalar,
    aten.embedding_bag.padding_idx,
)  # fmt: skip
