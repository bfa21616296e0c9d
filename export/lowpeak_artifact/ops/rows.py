"""Rows of values: a value that is put together from tiles of them, and some of a large matrix."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from lowpeak_artifact.ops.base import EXECUTORCH, LOWPEAK, UNMADE
from lowpeak_artifact.ops.record import Call, describe, none


@torch.library.custom_op("lowpeak::write_rows", mutates_args=())
def write_rows(whole: Tensor | None, tile: Tensor, axis: int, start: int, rows: int) -> Tensor:
    """`whole` with `tile` at `start` of `axis`, which has `rows` rows; the result may lie where `whole` did.

    Axes before `axis` are of size 1. Without `whole`, rows outside of the tile are not for reading.
    """
    if whole is None:
        result = tile.new_zeros((*tile.shape[:axis], rows, *tile.shape[axis + 1 :]))
    else:
        result = whole.clone()
    result.narrow(axis, start, tile.shape[axis]).copy_(tile)
    return result


@write_rows.register_fake
def _(whole: Tensor | None, tile: Tensor, axis: int, start: int, rows: int) -> Tensor:
    return tile.new_empty((*tile.shape[:axis], rows, *tile.shape[axis + 1 :]))


@torch.library.custom_op("lowpeak::select_rows", mutates_args=())
def select_rows(source: Tensor, ids: Tensor) -> Tensor:
    """source[ids]: source [rows, *], ids int64 [count] -> [count, *]."""
    return source[ids]


@select_rows.register_fake
def _(source: Tensor, ids: Tensor) -> Tensor:
    return source.new_empty((*ids.shape, *source.shape[1:]))


def _tile_moved(call: Call) -> int:
    """The tile is read and written; the rest of the whole stays where it is."""
    tile = call["tile"]
    return 2 * int(tile.numel() * tile.element_size())


describe(
    replace(
        LOWPEAK,
        in_place=EXECUTORCH,
        accumulates={0: "whole"},
        moved_bytes=_tile_moved,
        tile=none("what tiles are put together with"),
        lowering=UNMADE,
        kernel="lowpeak::write_rows.out",
    ),
    torch.ops.lowpeak.write_rows.default,
)
describe(
    replace(
        LOWPEAK,
        in_place=none("its rows change their places"),
        rows_at_a_time=64,
        tile=none("selects rows of weights, which have no tokens"),
        lowering=UNMADE,
        kernel="lowpeak::select_rows.out",
        indexes=none("its ids come from an operator that was looked at before: FuseQuantized makes it"),
    ),
    torch.ops.lowpeak.select_rows.default,
)
