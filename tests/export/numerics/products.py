"""Matrix products, convolutions, dequantized matrices."""

from __future__ import annotations

import torch

from lowpeak_artifact.quantize import quantize
from lowpeak_artifact.quantized import QuantFormat
from tests.export.numerics.case import INF, LONG, NAN, Cases, case, floats, integers, largest, terms

aten = torch.ops.aten
lowpeak = torch.ops.lowpeak


def products() -> Cases:
    for rows, inner, columns in ((3, 5, 7), (33, 1000, 17), (1, 64, 1), (2, 100_000, 3)):
        tolerance = LONG if inner > 1000 else None
        for offset, size in ((0, 1), (100, 1), (0, 1e15)):
            a, b = size * floats(rows, inner) + offset, floats(inner, columns) / size + offset
            bias, weight = floats(columns), b.t().contiguous()
            yield terms(aten.mm.default, a, b, tolerance=tolerance)
            yield terms(aten.bmm.default, a.expand(2, -1, -1), b.expand(2, -1, -1), tolerance=tolerance)
            yield terms(aten.linear.default, a, weight, tolerance=tolerance)
            yield terms(aten.linear.default, a[None], weight, bias, tolerance=tolerance)
            yield terms(aten.addmm.default, bias, a, b, tolerance=tolerance)
            yield terms(aten.addmm.default, bias.abs(), a, b, beta=0.5, alpha=0.25, tolerance=tolerance)
    for shape in ((7,), (3, 7), (1, 7), (3, 1)):
        for value in (NAN, INF):
            added = torch.full(shape, value)
            for alpha in (1, 2):
                yield terms(aten.addmm.default, added, floats(3, 5), floats(5, 7), beta=0, alpha=alpha)
    yield case(aten.addmm.default, floats(7), floats(3, 5) * INF, floats(5, 7), alpha=0)
    not_finite = torch.tensor([[INF, 1.0], [NAN, 0.0]]), torch.tensor([[0.0, 1], [1, 1]])
    yield case(aten.mm.default, *not_finite)
    yield case(aten.bmm.default, *(each[None] for each in not_finite))
    yield case(aten.linear.default, *not_finite)
    yield case(aten.mm.default, integers(-9, 9, 3, 4), integers(-9, 9, 4, 5))
    yield case(aten.bmm.default, integers(-9, 9, 2, 3, 4), integers(-9, 9, 2, 4, 5))


def convolutions() -> Cases:
    whole = aten.convolution.default
    line, plane = floats(2, 4, 9), floats(2, 4, 9, 8)
    yield terms(whole, line, floats(6, 4, 3), floats(6), [1], [1], [1], False, [0], 1)
    yield terms(whole, line, floats(4, 1, 4), floats(4), [1], [3], [1], False, [0], 4)
    yield terms(whole, line, floats(4, 2, 3), None, [2], [1], [1], True, [1], 1)
    yield terms(whole, line + 1e4, floats(6, 4, 3), floats(6), [1], [0], [1], False, [0], 1)
    yield terms(whole, plane, floats(6, 2, 3, 3), floats(6), [2, 1], [1, 0], [1, 2], False, [0, 0], 2)


def dequantized() -> Cases:
    """Rows of scale 0, of the smallest and of large scales among them."""
    matrix = floats(6, 128) * torch.tensor([0, 1e-6, 1e-3, 1, 100, 1e4])[:, None]
    for bits in (4, 8):
        for group in (32, 128):
            for zero_point in (False, True):
                stored = quantize(matrix, QuantFormat(bits, group, zero_point))
                parts = stored.data, stored.scale, stored.zero_point, bits
                yield case(lowpeak.dequantize.default, *parts)
                yield case(lowpeak.dequantize_rows.default, *parts, torch.tensor([5, 0, 3, 3]))


def distances() -> Cases:
    for offset in (0, 1000):
        for power in (1.0, 2.0):
            a, b = floats(3, 4) + offset, floats(5, 4) + offset
            yield terms(aten._cdist_forward.default, a, b, power, None)
            yield terms(aten._pdist_forward.default, b, power)


def transforms() -> Cases:
    spectrum = torch.fft.rfft(floats(3, 8))
    yield largest(aten._fft_r2c.default, floats(3, 8), [1], 0, True)
    yield largest(aten._fft_c2r.default, spectrum, [1], 0, 8)
    yield case(aten.view_as_real_copy.default, spectrum)


def cases() -> Cases:
    for group in (products, convolutions, dequantized, distances, transforms):
        yield from group()
