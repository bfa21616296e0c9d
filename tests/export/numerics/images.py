"""Pooling, padding and interpolation: few roundings, but weights that cancel."""

from __future__ import annotations

import torch

from tests.export.numerics.case import Cases, case, floats, largest

aten = torch.ops.aten
IMAGE = floats(2, 3, 9, 8)
POOL = [3, 3], [2, 2], [1, 1]


def pools() -> Cases:
    yield largest(aten.avg_pool2d.default, IMAGE, *POOL)
    yield largest(aten.avg_pool2d.default, IMAGE, *POOL, True, False)
    yield largest(aten._adaptive_avg_pool2d.default, IMAGE, [2, 3])
    yield case(aten.max_pool2d_with_indices.default, IMAGE, *POOL)
    values, places = aten.max_pool2d_with_indices(IMAGE, *POOL)
    back = aten.max_pool2d_with_indices_backward.default
    yield largest(back, floats(*values.shape), IMAGE, *POOL, [1, 1], False, places)


def pads() -> Cases:
    for axes in (1, 2, 3):
        x = floats(*([2, 3] + [5] * axes))
        yield case(getattr(aten, f"reflection_pad{axes}d").default, x, [1, 2] * axes)
        yield case(getattr(aten, f"replication_pad{axes}d").default, x, [1, 2] * axes)


def interpolation() -> Cases:
    for corners in (False, True):
        for size in ([13, 5], [4, 17]):
            yield largest(aten.upsample_bilinear2d.vec, IMAGE, size, corners, None)
            yield largest(aten._upsample_bilinear2d_aa.default, IMAGE, size, corners)
    yield case(aten.upsample_nearest2d.vec, IMAGE, [13, 5], None)
    grid = torch.rand(2, 40, 4, 2) * 3 - 1.5
    for mode in (0, 1, 2):
        for padding in (0, 1, 2):
            for corners in (False, True):
                yield largest(aten.grid_sampler_2d.default, IMAGE, grid, mode, padding, corners)


def cases() -> Cases:
    for group in (pools, pads, interpolation):
        yield from group()
