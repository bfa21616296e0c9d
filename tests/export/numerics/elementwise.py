"""Functions of single values: borders, tails, denormals, infinities, NaN, negative integers."""

from __future__ import annotations

import torch

from tests.export.numerics.case import INF, NAN, Cases, case, floats, integers, largest, terms

aten = torch.ops.aten
MAGNITUDES = torch.tensor(
    [
        0, 1.2e-38, 1e-30, 1e-20, 1e-10, 1e-7, 1e-5, 1e-4, 1e-3, 0.1, 0.3, 0.5, 0.7, 0.9999999, 1, 1.0000001,
        1.5, 2, 2.5, 3, 3.5, 5, 8, 9, 10, 15, 16, 17, 20, 30, 50, 80, 86, 87, 88, 88.7, 88.8, 89, 100, 103.9,
        1e3, 1e4, 1e5, 16777217, 1e10, 1e20, 1e30, 3.4e38, INF,
    ]
)  # fmt: skip
POSITIVE = torch.cat([MAGNITUDES, torch.linspace(0, 20, 2003), torch.logspace(-37, 38, 777)])
FINITE = torch.cat([POSITIVE[POSITIVE.isfinite()], -POSITIVE[POSITIVE.isfinite()]])
VALUES = torch.cat([POSITIVE, -POSITIVE, torch.linspace(-1, 1, 2001), torch.tensor([NAN])])
DENORMAL = torch.tensor([1e-45, 1e-40, -1e-40, 1.1e-38])
FEW = torch.tensor([0, 1e-30, 1e-8, 1e-3, 0.3, 0.5, 1, 1.0000001, 1.5, 3, 7, 33.3, 1e5, 1e20, 3.4e38, INF])
FEW = torch.cat([FEW, -FEW, torch.tensor([NAN])])
LEFT, RIGHT = (grid.flatten().clone() for grid in torch.meshgrid(FEW, FEW, indexing="ij"))
WHOLE, BY = integers(-9, 10, 400), integers(-9, 10, 400)
BY = torch.where(BY == 0, 4, BY)
LARGE = torch.tensor([2**53 + 1, 2**31, 2**31 - 1, -(2**31), 2**62, -(2**62), 2**24 + 1, 0, 1, -1, 7])
FLAGS, OTHERS, BYTES = WHOLE > 0, BY > 2, integers(0, 256, 400, dtype=torch.uint8)
FLAG_PAIRS = ((FLAGS, OTHERS), (WHOLE, BY), (WHOLE, OTHERS))


def unary() -> Cases:
    for name in (
        "abs", "acos", "acosh", "asin", "asinh", "atan", "atanh", "ceil", "cos", "cosh", "exp", "expm1",
        "floor", "hardtanh", "isinf", "isnan", "leaky_relu", "elu", "log", "log10", "log1p", "log2",
        "logical_not", "neg", "reciprocal", "relu", "round", "sigmoid", "sin", "sinh", "tan", "tanh", "trunc",
        "clone", "detach_copy", "alias_copy", "lift_fresh_copy", "erf",
    ):  # fmt: skip
        yield case(getattr(aten, name).default, FINITE)
        yield case(getattr(aten, name).default, VALUES)
    for name in ("exp", "expm1", "log", "log1p", "sqrt", "rsqrt", "reciprocal", "tanh", "neg", "abs"):
        yield case(getattr(aten, name).default, DENORMAL)
    for name in ("neg", "abs", "relu", "sign", "logical_not", "bitwise_not", "exp", "sigmoid", "clone"):
        yield case(getattr(aten, name).default, WHOLE)
    for name in ("sqrt", "rsqrt"):
        # Of minus infinity powers and roots differ: one is NaN, the other infinity or zero.
        yield case(getattr(aten, name).default, torch.cat([POSITIVE, torch.tensor([-1.0, NAN])]))
    # torch's sign of NaN is zero, the runtimes' is NaN; so is the loss that it belongs to.
    yield case(aten.sign.default, FINITE)
    yield case(aten.logical_not.default, FLAGS)
    yield case(aten.bitwise_not.default, FLAGS)
    yield case(aten.leaky_relu.default, VALUES, 0.25)
    yield case(aten.hardtanh.default, VALUES, -0.5, 0.25)
    yield case(aten.elu.default, VALUES, 1.5, 2, 0.5)
    yield terms(aten.logit.default, torch.linspace(0.01, 0.49, 99))
    yield case(aten.logit.default, torch.tensor([0.0, 0.25, 1.0]), 0.125)
    yield case(aten._conj_physical.default, torch.complex(floats(5), floats(5)))
    yield case(aten.glu.default, floats(4, 6), 1)


def gelu() -> Cases:
    """x times a probability, which has an absolute error: relative to x."""
    for approximate in ("none", "tanh"):
        for value in (1e-6, 0.1, 0.5, 1.0, 2.0, 5.0, 6.0, 10.0, 100.0, 1e20):
            yield largest(aten.gelu.default, torch.tensor([-value, value]), approximate=approximate)
        yield case(aten.gelu.default, torch.tensor([0.0, INF, NAN]), approximate=approximate)


def arithmetic() -> Cases:
    for name in ("add", "sub", "mul", "div"):
        tensor, scalar = getattr(aten, name).Tensor, getattr(aten, name).Scalar
        for left, right in (
            (LEFT, RIGHT),
            (WHOLE, BY),
            (WHOLE.int(), BY.int()),
            (WHOLE, LEFT[:400]),
            (LEFT[:400], BY),
        ):
            yield case(tensor, left, right)
        yield case(tensor, LARGE, LARGE.flip(0) + 5)
        yield case(tensor, floats(2, 1), floats(1, 3))
        yield case(tensor, floats(2, 3), torch.tensor(3.0))
        for number in (2, 0.25, 3, 2.0**100, -3, INF):
            yield case(scalar, VALUES, number)
            yield case(scalar, WHOLE, number)
        yield case(scalar, torch.tensor(2.0), 4)
    for name in ("add", "sub"):
        tensor, scalar = getattr(aten, name).Tensor, getattr(aten, name).Scalar
        yield terms(tensor, floats(40), floats(40), alpha=0.25)
        yield case(tensor, WHOLE, BY, alpha=3)
        yield case(scalar, VALUES, 3, alpha=2)
    yield case(aten.mul.Tensor, WHOLE, FLAGS)
    yield case(aten.mul.Tensor, FLAGS, FLAGS)
    yield case(aten.add.Tensor, FLAGS, WHOLE)
    yield case(aten.div.Tensor, FEW, torch.zeros(33))
    yield case(aten.div.Scalar, torch.tensor([0.0, 1e-30, -1e-10, INF]), 2.0**-130)
    for number in (1, 0.25, -3):
        yield case(aten.rsub.Scalar, VALUES, number)
        yield case(aten.rsub.Scalar, WHOLE, number)
        yield case(aten.rsub.Scalar, VALUES, number, 2)


def remainders() -> Cases:
    """C's division rounds towards zero, torch's floor division and remainder towards minus infinity."""
    near = torch.tensor([7.5, -7.5, 33.0, -33.0, 0.75, -0.75, 1e6, 8, -8, 0.0])
    by = torch.tensor([2, -2, 2.5, 2.5, 0.25, 0.5, -3, -2, 4, 3.0])
    for mode in ("floor", "trunc", None):
        for left, right in ((near, by), (WHOLE, BY), (WHOLE.int(), BY.int()), (WHOLE, by.repeat(40))):
            yield case(aten.div.Tensor_mode, left, right, rounding_mode=mode)
        for left, right in ((near, 0.25), (near, -3), (WHOLE, 4), (WHOLE, -3), (WHOLE, 0.5)):
            yield case(aten.div.Scalar_mode, left, right, rounding_mode=mode)
    yield case(aten.div.Tensor_mode, torch.tensor([0.0, 1, -1, NAN]), torch.zeros(4), rounding_mode="floor")
    for left, right in ((near, by), (WHOLE, BY), (torch.tensor([0.0, 1, -1]), torch.zeros(3))):
        yield case(aten.floor_divide.default, left, right)
    for name in ("fmod", "remainder"):
        for left, right in ((LEFT, RIGHT), (WHOLE, BY), (WHOLE.int(), BY.int()), (WHOLE, by.repeat(40))):
            yield case(getattr(aten, name).Tensor, left, right)
        for number in (3, -3, 0.25, -0.75):
            yield case(getattr(aten, name).Scalar, VALUES, number)
            yield case(getattr(aten, name).Scalar, WHOLE, number)


def powers() -> Cases:
    for exponent in (2, 3, 4, 10, -1, -2, 0, 1, 100, -100):
        yield case(aten.pow.Tensor_Scalar, VALUES, exponent)
    for exponent in (0.5, -0.5, 1.5, 0.25):
        # Of minus infinity and minus zero powers and roots differ in sign or are NaN.
        yield case(aten.pow.Tensor_Scalar, torch.cat([POSITIVE, torch.tensor([-1.0, NAN])]), exponent)
    for exponent in (0, 1, 2, 3, 10):
        yield case(aten.pow.Tensor_Scalar, WHOLE, exponent)
    yield case(aten.pow.Tensor_Scalar, WHOLE.abs(), 0.5)
    for base in (2, 0.5, -2, 10, 0, 1):
        yield case(aten.pow.Scalar, base, VALUES)
        yield case(aten.pow.Scalar, base, WHOLE.abs())
    yield case(aten.pow.Tensor_Tensor, LEFT, RIGHT)
    yield case(aten.pow.Tensor_Tensor, WHOLE, BY.abs())
    yield case(aten.pow.Tensor_Tensor, torch.rand(50) + 0.5, BY[:50])
    yield case(aten.atan2.default, LEFT, RIGHT)


def comparisons() -> Cases:
    for name in ("eq", "ne", "lt", "le", "gt", "ge"):
        tensor, scalar = getattr(aten, name).Tensor, getattr(aten, name).Scalar
        for left, right in (
            (LEFT, RIGHT),
            (WHOLE, BY),
            (WHOLE, LEFT[:400]),
            (LARGE, LARGE - 1),
            (WHOLE, BY.int()),
        ):
            yield case(tensor, left, right)
        yield case(tensor, torch.tensor([0.1, 0.2]), torch.tensor(0.1, dtype=torch.float64))
        yield case(tensor, FLAGS, OTHERS)
        for number in (0.1, 0.3, 1, 16777217, -3, INF, -INF):
            yield case(scalar, VALUES, number)
        for number in (0.5, -3, 2**53 + 1, 2**62):
            yield case(scalar, torch.cat([WHOLE, LARGE]), number)
        yield case(scalar, FLAGS, True)
    for name in ("maximum", "minimum"):
        for left, right in ((LEFT, RIGHT), (WHOLE, BY), (LARGE, LARGE.flip(0)), (WHOLE, LEFT[:400])):
            yield case(getattr(aten, name).default, left, right)
    for low, high in ((-1, 2), (0.25, None), (None, 0.25), (-INF, 10), (2, 1)):
        yield case(aten.clamp.default, VALUES, low, high)
    for low, high in ((-1, 2), (1, None), (None, 3), (2, 1)):
        yield case(aten.clamp.default, WHOLE, low, high)
    yield case(aten.clamp.default, WHOLE, 0.5)
    yield case(aten.clamp.Tensor, LEFT, RIGHT, RIGHT + 1)
    yield case(aten.clamp.Tensor, LEFT, RIGHT)
    yield case(aten.clamp.Tensor, WHOLE, BY, BY + 2)


def logic() -> Cases:
    for name in ("logical_and", "logical_or", "logical_xor"):
        for left, right in (*FLAG_PAIRS, (LEFT, RIGHT)):
            yield case(getattr(aten, name).default, left, right)
    for name in ("and", "or", "xor"):
        for left, right in (*FLAG_PAIRS, (BYTES, BYTES.flip(0))):
            yield case(getattr(aten, f"bitwise_{name}").Tensor, left, right)
        for left, number in ((WHOLE, 6), (BYTES, 15), (FLAGS, True), (LARGE, 255)):
            yield case(getattr(aten, f"bitwise_{name}").Scalar, left, number)
    for name in ("left", "right"):
        shift = getattr(aten, f"bitwise_{name}_shift")
        yield case(shift.Tensor, WHOLE, BY.abs())
        yield case(shift.Tensor, WHOLE, torch.full_like(WHOLE, 62))
        yield case(shift.Tensor_Scalar, WHOLE, 3)
        yield case(shift.Tensor_Scalar, BYTES, 4)
    yield case(aten.where.self, FLAGS, LEFT[:400], torch.full((400,), NAN))
    yield case(aten.where.self, FLAGS, torch.tensor(-INF), LEFT[:400])
    yield case(aten.where.self, FLAGS, WHOLE, BY)
    yield case(aten.where.self, FLAGS, WHOLE, LEFT[:400])
    yield case(aten.where.self, torch.tensor([[True], [False]]), floats(1, 3), floats(3))
    yield case(aten.masked_fill.Scalar, LEFT[:400], FLAGS, -INF)
    yield case(aten.threshold_backward.default, LEFT, RIGHT, 0.0)
    yield case(aten.threshold_backward.default, LEFT, RIGHT, 0.5)


def casts() -> Cases:
    numbers = torch.tensor([0.0, 0.5, -2.7, 2.5, 100.5, -0.0])
    for dtype in (torch.float32, torch.int64, torch.int32, torch.bool, torch.float64):
        for source in (numbers, WHOLE, LARGE, FLAGS, BYTES, WHOLE.int()):
            yield case(aten._to_copy.default, source, dtype=dtype)
    for dtype in (torch.float16, torch.bfloat16):
        yield case(aten._to_copy.default, floats(50).to(dtype).float(), dtype=dtype)
        yield case(aten._to_copy.default, floats(50).to(dtype), dtype=torch.float32)
    yield case(aten.copy.default, LEFT, RIGHT)
    yield case(aten.fill.Scalar, LEFT, 0.25)
    yield case(aten.fill.Tensor, LEFT, torch.tensor(0.25))


def cases() -> Cases:
    for group in (unary, gelu, arithmetic, remainders, powers, comparisons, logic, casts):
        yield from group()
