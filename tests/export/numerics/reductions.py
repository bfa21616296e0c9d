"""Sums, norms, softmax: large means, tiny spreads, constant rows, masks of -inf, 100,000 terms."""

from __future__ import annotations

import torch

from tests.export.numerics.case import INF, LONG, NAN, Cases, case, floats, integers, largest, terms

aten = torch.ops.aten
ROWS = [
    floats(37), 1e4 * floats(37), 1e4 + floats(37), 1e6 + floats(37), torch.full((37,), 3.7), torch.zeros(37),
    torch.full((37,), 1e4), torch.full((37,), -1.2345e7), 1e-15 * floats(37), 1e15 * floats(37),
    torch.cat([1e-3 * floats(36), torch.tensor([1e4])]),
    torch.cat([torch.tensor([1e4]), torch.full((36,), -1e4)]),
    torch.linspace(-87, 88, 37), torch.linspace(-300, 0, 37),
]  # fmt: skip
FINITE = torch.stack(ROWS)
MASKED = torch.stack([*ROWS, torch.cat([torch.full((30,), -INF), floats(7)])])
NOT_FINITE = torch.stack([torch.cat([torch.tensor([value]), torch.zeros(36)]) for value in (NAN, INF, -INF)])
LONG_ROW = floats(1, 100_003) + 100
CUBE = floats(3, 5, 7)
NORMAL = 0.1
"""What a normalized value is like. Of a constant row it is zero, but for the roundings of float64."""
TIES = torch.tensor([[1.0, 3, 3, 1], [2, 2, 2, 2]])
WEIGHT, BIAS = floats(37), floats(37)


def softmax() -> Cases:
    """Relative to the largest probability, and to the largest logarithm."""
    for operator in (aten._softmax.default, aten._log_softmax.default):
        for row in MASKED:
            yield largest(operator, row[None], -1, False, tolerance=1e-6)
        yield largest(operator, MASKED.t().contiguous(), 0, False, tolerance=1e-6)
        yield largest(operator, LONG_ROW, -1, False, tolerance=LONG)
        yield largest(operator, CUBE, 1, False, tolerance=1e-6)
        yield case(operator, torch.full((2, 5), -INF), -1, False)
        yield case(operator, NOT_FINITE, -1, False)


def sums() -> Cases:
    total, mean = aten.sum.dim_IntList, aten.mean.dim
    for axes in ([-1], [0], [0, 1], [1, 0], None, []):
        for keep in (False, True):
            yield terms(total, FINITE, axes, keep)
            yield terms(mean, FINITE, axes, keep)
            yield terms(total, LONG_ROW, axes, keep, tolerance=LONG)
            yield terms(mean, LONG_ROW, axes, keep, tolerance=LONG)
        yield terms(total, LONG_ROW.t().contiguous(), axes, tolerance=LONG)
        for value in (100_000, 16_777_217, -(2**40) - 1):
            for keep in (False, True):
                yield case(total, torch.full((30, 100), value), axes, keep)
        yield case(total, torch.full((30, 100), 16_777_217, dtype=torch.int32), axes)
        yield case(total, integers(0, 2, 3000, 400).bool(), axes)
    yield terms(total, CUBE, [0, 2])
    yield terms(total, CUBE, [1])
    yield case(total, torch.arange(9) + 2**30, [0])
    yield terms(total, integers(-9, 9, 30, 10), [0], False, dtype=torch.float32)
    yield terms(mean, integers(-9, 9, 30, 10), [0], False, dtype=torch.float32)
    yield case(total, NOT_FINITE, [-1])
    yield terms(aten.mean.default, FINITE)
    yield terms(aten.mean.default, LONG_ROW, tolerance=LONG)
    yield terms(aten.sum.default, FINITE)
    yield case(aten.sum.default, torch.full((30, 100), 16_777_217))
    for source in (FINITE, CUBE, LONG_ROW):
        for axis in (0, -1):
            yield terms(aten.cumsum.default, source, axis, tolerance=LONG)
    for source in (torch.full((30, 100), 2**40 + 1), integers(0, 2, 30, 100).bool()):
        yield case(aten.cumsum.default, source, 1)
    yield terms(aten.prod.default, floats(9))
    yield terms(aten.prod.dim_int, floats(5, 9), 1)
    yield case(aten.prod.dim_int, integers(1, 4, 5, 9), 1, True)
    yield case(aten.prod.default, integers(1, 4, 9))


def extremes() -> Cases:
    for source in (FINITE, NOT_FINITE, CUBE, integers(-99, 99, 4, 6), LONG_ROW):
        for name in ("amax", "amin"):
            for axes in ([-1], [0], [0, 1]):
                yield case(getattr(aten, name).default, source, axes)
                yield case(getattr(aten, name).default, source, axes, True)
        for name in ("max", "min"):
            yield case(getattr(aten, name).default, source)
        for name in ("max", "min"):
            for axis in (0, -1):
                yield case(getattr(aten, name).dim, source, axis)
                yield case(getattr(aten, name).dim, source, axis, True)
    for source in (FINITE, NOT_FINITE, TIES, integers(-9, 9, 4, 6)):
        for name in ("argmax", "argmin"):
            yield case(getattr(aten, name).default, source)
            yield case(getattr(aten, name).default, source, 1)
            yield case(getattr(aten, name).default, source, 0, True)
    for source in (FINITE, NOT_FINITE, integers(0, 2, 4, 6), integers(0, 2, 4, 6).bool(), torch.zeros(3, 4)):
        yield case(aten.any.default, source)
        yield case(aten.any.dim, source, 1)
        yield case(aten.any.dim, source, 0, True)
        yield case(aten.any.dims, source, [0, 1])
    for name in ("max", "min"):
        yield case(getattr(aten, name).dim, TIES, 1)
    for source in (floats(3, 9), integers(-99, 99, 3, 9), torch.tensor([[1.0, NAN, 3, -INF]])):
        yield case(aten.topk.default, source, 2)
        yield case(aten.topk.default, source, 2, 1, False, True)


def variances() -> Cases:
    for row in [*ROWS, LONG_ROW[0]]:
        for correction in (0, 1):
            yield largest(aten.var.correction, row[None], [-1], correction=correction, tolerance=LONG)
            yield largest(aten.var_mean.correction, row[None], [-1], correction=correction, tolerance=LONG)
        yield largest(aten.var.dim, row[None], [-1], tolerance=LONG)
        yield largest(aten.var.correction, row[None], [-1], correction=1, keepdim=True, tolerance=LONG)
    yield largest(aten.var.correction, CUBE, [0, 2], correction=1)
    yield largest(aten.var.correction, CUBE, None, correction=1)
    yield largest(aten.var_mean.correction, CUBE, None, correction=0)
    yield largest(aten.var_mean.correction, floats(4, 1), [1], correction=1)


def norms() -> Cases:
    """A row at a time: errors are relative to the row's largest value."""
    layer, group = aten.native_layer_norm.default, aten.native_group_norm.default
    batch = aten._native_batch_norm_legit
    for row in ROWS:
        yield largest(layer, row[None], [37], WEIGHT, BIAS, 1e-5)
        yield largest(layer, row[None], [37], None, None, 1e-5)
        yield largest(group, row[:36].reshape(1, 4, 9), WEIGHT[:4], BIAS[:4], 1, 4, 9, 1, 1e-5)
        yield largest(batch.no_stats, row[:36].reshape(4, 1, 9), None, None, True, 0.1, 1e-5, least=NORMAL)
    yield largest(layer, LONG_ROW, [100_003], None, None, 1e-5, tolerance=LONG)
    yield largest(layer, floats(4, 6, 8), [6, 8], floats(6, 8), floats(6, 8), 1e-5)
    yield largest(layer, floats(4, 8), [8], floats(8), None, 1e-5)
    for offset in (0, 1e4):
        source, weight, bias = floats(2, 6, 5, 3) + offset, floats(6), floats(6)
        yield largest(group, source, weight, bias, 2, 6, 15, 3, 1e-5)
        yield largest(group, source, None, None, 2, 6, 15, 6, 1e-5)
        yield largest(batch.no_stats, source, weight, bias, True, 0.1, 1e-5)
        yield largest(aten.native_batch_norm.default, source, weight, bias, None, None, True, 0.1, 1e-5)
        statistics = floats(6) + offset, floats(6).abs() + 0.5
        running = aten._native_batch_norm_legit_no_training.default
        yield largest(running, source, weight, bias, *statistics, 0.1, 1e-5)
        yield largest(running, source, None, None, *statistics, 0.1, 1e-5)


def cases() -> Cases:
    for group in (softmax, sums, extremes, variances, norms):
        yield from group()
