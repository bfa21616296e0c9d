"""What moves values and makes them: exact, for every type, at the borders of every axis."""

from __future__ import annotations

import torch

from tests.export.numerics.case import INF, LONG, NAN, Cases, case, floats, integers, terms

aten = torch.ops.aten
FLOATS, WHOLE = floats(4, 5, 6), integers(-9, 9, 4, 5, 6)
KINDS = (FLOATS, WHOLE, WHOLE > 0, integers(0, 256, 4, 5, 6, dtype=torch.uint8))
TABLE = floats(7, 4)
SLICES = (
    (0, 0, 1), (1, 1, 3), (-1, 1, 3), (2, -3, -1), (1, None, 2), (1, 1, None), (2, 1, 99), (2, 0, 2**63 - 1),
    (-1, 0, 4, 2), (2, 1, None, 3), (1, -99, 2), (1, 5, 9), (1, 3, 2),
)  # fmt: skip
PADS = ([0, 1], [0, 0, 0, 3], [1, 0, 0, 2, 3, 0], [-1, 0], [0, -2], [-1, 0, 1, -1], [2, -1, 0, 0, -2, 1])


def order_and_shape() -> Cases:
    for x in KINDS:
        for name in ("view", "view_copy"):
            yield case(getattr(aten, name).default, x, [20, 6])
        for order in ([2, 0, 1], [0, -1, -2]):
            yield case(aten.permute.default, x, order)
            yield case(aten.permute_copy.default, x, order)
        for arguments in SLICES:
            yield case(aten.slice.Tensor, x, *arguments)
        yield case(aten.slice_copy.Tensor, x, 1, 1, 3)
        for axis, index in ((0, 1), (1, -1), (-1, 0), (-2, 4)):
            yield case(aten.select.int, x, axis, index)
            yield case(aten.select_copy.int, x, axis, index)
        for shape in ([4, 3, 6], [2, 4, -1, 6]):
            yield case(aten.expand.default, x[:, :1], shape)
            yield case(aten.expand_copy.default, x[:, :1], shape)
        yield case(aten.unsqueeze_copy.default, x, 1)
        yield case(aten.squeeze_copy.dim, x[:1], 0)
        yield case(aten.squeeze_copy.dims, x[:1, :, :1], [0, 2])
        yield case(aten.transpose_copy.int, x, 0, 2)
        yield case(aten.t_copy.default, x[0])
        yield case(aten.as_strided_copy.default, x, [2, 3], [3, 1], 1)
        yield case(aten.diagonal_copy.default, x, 1, 0, 1)
        yield case(aten.unfold_copy.default, x, 1, 3, 2)
        yield case(aten.narrow_copy.default, x, 1, 1, 2)
        yield case(aten.flip.default, x, [0, 2])
        yield case(aten.roll.default, x, [1, -2], [0, 1])
        yield case(aten.tril.default, x, 1)
        yield case(aten.tril.default, x, -2)
        yield case(aten.pixel_shuffle.default, x.reshape(1, 4, 5, 6), 2)
        yield case(aten.pixel_unshuffle.default, x.reshape(1, 5, 4, 6), 2)


def joined() -> Cases:
    for x in KINDS:
        yield case(aten.cat.default, [x, x[:1]])
        yield case(aten.cat.default, [x, x[:, :2], x], 1)
        yield case(aten.cat.default, [x, x], -1)
        yield case(aten.stack.default, [x, x], 1)
        yield case(aten.repeat.default, x, [2, 1, 1, 3])
        for pads in PADS:
            yield case(aten.constant_pad_nd.default, x, pads)
        yield case(aten.slice_scatter.default, x, x[:, :2].contiguous(), 1, 0, 4, 2)
        yield case(aten.slice_scatter.default, x, x[:, :2].contiguous(), 1, -2, None)
        yield case(aten.select_scatter.default, x, x[:, 0].contiguous(), 1, -1)
        yield case(aten.masked_scatter.default, x, FLOATS > 0, x.flip(0))
        yield case(aten.copy.default, x, x[0])
    yield case(aten.constant_pad_nd.default, FLOATS, [1, 2], -INF)
    yield case(aten.constant_pad_nd.default, WHOLE, [1, -2], -100)
    yield case(aten.cat.default, [torch.zeros(0), FLOATS[0], torch.zeros(0, 6)])
    yield case(aten.cat.default, [FLOATS, WHOLE])
    yield case(aten.cat.default, [WHOLE, WHOLE > 0])
    yield case(aten.repeat_interleave.Tensor, torch.tensor([2, 0, 3]), output_size=5)


def rows() -> Cases:
    ids = integers(0, 7, 2, 3)
    for table in (TABLE, torch.full((7, 4), NAN)):
        yield case(aten.embedding.default, table, ids)
        yield case(aten.embedding.default, table, ids, 3)
    yield case(aten.embedding.default, TABLE, torch.tensor([0, 6]))
    yield case(aten.embedding.default, TABLE, torch.tensor(6))
    for x in KINDS:
        yield case(aten.index_select.default, x, 1, torch.tensor([4, 0, 4]))
        yield case(aten.index_select.default, x, -1, torch.tensor([5]))
        yield case(aten.gather.default, x, 1, integers(0, 5, 4, 2, 6))
        yield case(aten.gather.default, x, -1, integers(0, 6, 2, 5, 3))
        yield case(aten.index.Tensor, x, [torch.tensor([3, 0, -1])])
        yield case(aten.index.Tensor, x, [None, torch.tensor([4, 0])])
        yield case(aten.index.Tensor, x, [torch.tensor([3, 0]), torch.tensor([4, -5])])
        yield case(aten.index.Tensor, x, [torch.tensor([3, 0]), None, torch.tensor([4, -5])])
        yield case(aten.index.Tensor, x, [torch.tensor([[3], [0]]), torch.tensor([[4, 1]])])
        yield case(aten.index_put.default, x, [torch.tensor([3, 0, -2])], x[:3].contiguous())
        yield case(aten.index_put.default, x, [torch.tensor([3, 0])], x[0, 0, 0].contiguous())
        apart = torch.tensor([0, 4]).view(1, 2, 1).expand(4, 2, 6).contiguous()
        yield case(aten.scatter.src, x, 1, apart, x.clone())
        yield case(aten.scatter.value, x, 1, apart, 3)
    for x in (FLOATS, WHOLE):
        two = [torch.tensor([3, 3]), torch.tensor([1, 1])]
        yield case(aten.index_put.default, x, [None, torch.tensor([4, 0])], x[:, :2].contiguous())
        yield terms(aten.index_put.default, x, [torch.tensor([3, 3, 0, 3])], x.clone(), True)
        yield terms(aten.index_put.default, x, two, x[:2, 0].contiguous(), True)
        yield terms(aten.scatter_add.default, x, 1, integers(0, 5, 4, 5, 6), x.clone())
    many = torch.zeros(100_000, dtype=torch.int64)
    yield terms(aten.index_put.default, TABLE, [many], floats(100_000, 4), True, tolerance=LONG)
    columns = many[:, None].expand(-1, 3).contiguous()
    yield terms(aten.scatter_add.default, floats(2, 3), 0, columns, floats(100_000, 3), tolerance=LONG)
    yield case(aten.index_put.default, FLOATS, [FLOATS > 0], torch.tensor(2.0))


def constants() -> Cases:
    for arguments in (([2, 3], 1.5), ([2], -INF), ([], 3), ([2], True), ([2, 0], 1.0), ([2], 7)):
        yield case(aten.full.default, *arguments)
    yield case(aten.full.default, [2], 7, dtype=torch.int32)
    yield case(aten.full.default, [2], 2**53 + 1, dtype=torch.int64)
    yield case(aten.full_like.default, WHOLE, 3)
    yield case(aten.full_like.default, WHOLE, 2, dtype=torch.float32)
    yield case(aten.scalar_tensor.default, 2.5)
    yield case(aten.scalar_tensor.default, 2**53 + 1, dtype=torch.int64)
    for name in ("zeros", "ones"):
        for dtype in (torch.float32, torch.bool, torch.int64):
            yield case(getattr(aten, name).default, [2, 3], dtype=dtype)
            yield case(getattr(aten, f"{name}_like").default, FLOATS, dtype=dtype)
    yield case(aten.arange.default, 5)
    yield case(aten.arange.default, 2.5)
    yield case(aten.arange.default, 4, dtype=torch.float32)
    yield case(aten.arange.start, 2, 6)
    yield case(aten.arange.start, 2, 6, dtype=torch.int32)
    for start, end, step in ((1, 8, 3), (5, 0, -2), (0, 1, 0.25), (0, 1, 0.001), (2**40, 2**40 + 5, 2)):
        yield case(aten.arange.start_step, start, end, step)
    yield case(aten.arange.start_step, 0, 100_000, 1, dtype=torch.float32)


def cases() -> Cases:
    for group in (order_and_shape, joined, rows, constants):
        yield from group()
