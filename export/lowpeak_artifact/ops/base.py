"""Rows with the columns that most operators share, of which the others' are made: see ops/record.py."""

from __future__ import annotations

from typing import Final

from lowpeak_artifact.kind import Kind
from lowpeak_artifact.ops.costs import all_bytes
from lowpeak_artifact.ops.record import OUT_VARIANT, UNSTATED, Record, Runtime, none

EXECUTORCH: Final[frozenset[Runtime]] = frozenset({"executorch"})
ONNXRUNTIME: Final[frozenset[Runtime]] = frozenset({"onnxruntime"})
EVERY_RUNTIME: Final = EXECUTORCH | ONNXRUNTIME

LOWPEAK = Record(
    view=none("its result has memory of its own"),
    in_place=UNSTATED,
    accumulates=none("adds to no operand"),
    flops=none("bound by memory, not by arithmetic"),
    moved_bytes=all_bytes,
    workspace=none("its kernel holds no more than is counted for all kernels"),
    category=Kind.ACTIVATION,
    io=none("touches no file"),
    rows_at_a_time=none("reads its weights as wholes"),
    tile=UNSTATED,
    lowering=UNSTATED,
    kernel=UNSTATED,
    executorch=none("the stock runtime has no kernel for it"),
    onnx=none("no pass makes it for a target of ONNX"),
    inexact=none("its kernel is ours"),
    replacement=none("exact on every target"),
    indexes=none("takes no indices"),
    restates=none("computes other values"),
)
"""Our own operators."""

UNMADE = none("no pass makes it for a target without its kernel")
"""Why it is not lowered."""

ATEN = Record(
    view=none("its result has memory of its own"),
    in_place=UNSTATED,
    accumulates=none("adds to no operand"),
    flops=none("bound by memory, not by arithmetic"),
    moved_bytes=all_bytes,
    workspace=none("what stock kernels hold is counted as the runtime's"),
    category=Kind.ACTIVATION,
    io=none("touches no file"),
    rows_at_a_time=none("stock kernels give no pages back"),
    tile=UNSTATED,
    lowering=none("core ATen: what other operators are lowered to"),
    kernel=none("the runtime's own kernel runs it"),
    executorch=OUT_VARIANT,
    onnx=UNSTATED,
    inexact=none("exact within float32 rounding on every target"),
    replacement=none("exact on every target"),
    indexes=none("takes no indices"),
    restates=none("computes other values"),
)
"""PyTorch's, as they are in a graph that is planned."""

NO_TILE_RULE = none("no rule: tokens that it works on are not cut into tiles")
NO_ONNX = none("no mapping: a model that has it is refused for ONNX Runtime")
NO_STOCK_KERNEL = none("the stock runtime has no kernel for it")
NEW_MEMORY = none("no kernel of it was checked for writing over an operand")
