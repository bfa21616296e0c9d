"""Every operator with a mapping, run by ONNX Runtime and by torch on the same tensors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from operator import getitem
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from lowpeak_artifact.errors import UnsupportedOperator
from lowpeak_artifact.quantize import quantize
from lowpeak_artifact.quantized import QuantFormat
from lowpeak_compiler.ir.graph import TrainGraph
from lowpeak_export.onnx.nodes import DTYPES
from lowpeak_export.onnx.operators import MAPPINGS, check_operators
from tests.evaluate import GraphBuilder
from tests.export.numerics.case import Case, case
from tests.export.onnx.run import run

aten = torch.ops.aten
lowpeak = torch.ops.lowpeak
GENERATOR = torch.Generator().manual_seed(0)
INF = float("inf")


def floats(*shape: int) -> Tensor:
    return torch.randn(shape, generator=GENERATOR)


def positive(*shape: int) -> Tensor:
    return torch.rand(shape, generator=GENERATOR) + 0.5


def integers(*shape: int, dtype: torch.dtype = torch.int64, low: int = -5, high: int = 6) -> Tensor:
    return torch.randint(low, high, shape, generator=GENERATOR).to(dtype)


def bools(*shape: int) -> Tensor:
    return torch.randint(0, 2, shape, generator=GENERATOR).bool()


def bytes_(*shape: int) -> Tensor:
    return integers(*shape, dtype=torch.uint8, low=0, high=256)


X, N, B, U = floats(2, 3), integers(2, 3), bools(2, 3), bytes_(2, 3)
CUBE, NCUBE = floats(2, 3, 4), integers(2, 3, 4)
HALVES = torch.tensor([-2.5, -1.5, -0.5, 0.0, 0.5, 1.5, 2.5, 0.4, -0.6])
NEAR = torch.tensor([[1.0, 2.0, 0.5], [-1.0, 0.0, 2.0]])


def _unary() -> Iterator[Case]:
    for name in (
        "neg",
        "exp",
        "tanh",
        "sin",
        "cos",
        "erf",
        "sigmoid",
        "relu",
        "abs",
        "floor",
        "ceil",
        "sign",
    ):
        yield case(getattr(aten, name).default, X)
    for name in ("log", "sqrt", "reciprocal", "rsqrt"):
        yield case(getattr(aten, name).default, positive(2, 3))
    for name in ("round", "floor", "ceil", "sign", "relu"):
        yield case(getattr(aten, name).default, HALVES)
    for name in ("neg", "abs", "sign"):
        yield case(getattr(aten, name).default, N)
    yield case(aten.exp.default, N)
    yield case(aten.sigmoid.default, B)
    yield case(aten.reciprocal.default, integers(2, 3, low=1, high=5))
    yield case(aten.exp.default, torch.tensor(0.5))
    yield case(aten.tanh.default, torch.tensor([-100.0, 100.0, 0.0]))


def _arithmetic() -> Iterator[Case]:
    for name in ("add", "sub", "mul", "div"):
        tensor, scalar = getattr(aten, name).Tensor, getattr(aten, name).Scalar
        yield case(tensor, X, floats(2, 3))
        yield case(tensor, X, floats(3))
        yield case(tensor, floats(2, 1), floats(1, 3))
        yield case(tensor, X, N)
        yield case(tensor, N, X)
        yield case(tensor, N, integers(2, 3, low=1))
        yield case(tensor, X, torch.tensor(3))
        yield case(tensor, X, torch.tensor(3.0, dtype=torch.float64))
        yield case(tensor, N, torch.tensor(1.5))
        yield case(scalar, X, 2)
        yield case(scalar, X, 0.3)
        yield case(scalar, N, 3)
        yield case(scalar, N, 1.5)
        yield case(scalar, torch.tensor(2.0), 4)
    for name in ("add", "sub"):
        for alpha in (2, -0.5):
            yield case(getattr(aten, name).Tensor, X, floats(3), alpha=alpha)
            yield case(getattr(aten, name).Scalar, X, 3, alpha=alpha)
        yield case(getattr(aten, name).Tensor, N, integers(3), alpha=3)
    yield case(aten.mul.Tensor, N, B)
    yield case(aten.mul.Tensor, B, X)
    yield case(aten.add.Tensor, N, B)
    yield case(aten.add.Tensor, B, N)
    yield case(aten.sub.Tensor, N, integers(2, 3, dtype=torch.int32))
    yield case(aten.mul.Tensor, floats(2, 3).double(), X)
    yield case(aten.mul.Tensor, floats(2, 3).half(), X)
    yield case(aten.div.Tensor, N, integers(2, 3, low=1, dtype=torch.int32))
    yield case(aten.div.Tensor, X, torch.zeros(3))
    yield case(aten.rsub.Scalar, X, 1)
    yield case(aten.rsub.Scalar, N, 1.5)
    yield case(aten.rsub.Scalar, N, 2)
    yield case(aten.rsub.Scalar, X, 1.5, 2)
    for name in ("maximum", "minimum"):
        yield case(getattr(aten, name).default, X, floats(3))
        yield case(getattr(aten, name).default, N, integers(2, 3))
        yield case(getattr(aten, name).default, N, X)
        yield case(getattr(aten, name).default, X, torch.tensor([INF, -INF, 0.0]))
    yield case(aten.pow.Tensor_Scalar, X, 2)
    yield case(aten.pow.Tensor_Scalar, positive(2, 3), -0.5)
    yield case(aten.pow.Tensor_Scalar, N, 3)
    yield case(aten.pow.Tensor_Scalar, integers(2, 3, low=1), 0.5)
    yield case(aten.pow.Tensor_Tensor, positive(2, 3), floats(3))
    yield case(aten.pow.Tensor_Tensor, positive(2, 3), integers(3))
    yield case(aten.pow.Tensor_Tensor, N, integers(3, low=0, high=4))
    yield case(aten.clamp.default, X, -0.5, 0.5)
    yield case(aten.clamp.default, X, 0)
    yield case(aten.clamp.default, X, None, 0.25)
    yield case(aten.clamp.default, X, max=1)
    yield case(aten.clamp.default, N, 1)
    yield case(aten.clamp.default, N, -1, 2)


def _comparisons() -> Iterator[Case]:
    for name in ("eq", "ne", "lt", "le", "gt", "ge"):
        tensor, scalar = getattr(aten, name).Tensor, getattr(aten, name).Scalar
        yield case(tensor, NEAR, torch.tensor([1.0, 0.0, 2.0]))
        yield case(tensor, integers(2, 3, low=0, high=3), integers(3, low=0, high=3))
        yield case(tensor, NEAR, integers(2, 3, low=0, high=3))
        yield case(tensor, integers(2, 3, low=0, high=3), NEAR)
        yield case(tensor, integers(4, 1), torch.arange(-2, 3, dtype=torch.int32))
        yield case(tensor, torch.tensor([0.1, 0.2]), torch.tensor(0.1, dtype=torch.float64))
        yield case(scalar, NEAR, 2)
        yield case(scalar, NEAR, 0.5)
        yield case(scalar, integers(2, 3, low=-2, high=2), -1)
        yield case(scalar, integers(2, 3, low=-2, high=2), 0.5)
        yield case(scalar, torch.tensor([-100, -1, 3]), -100)
        yield case(scalar, torch.tensor([1.0, INF, float("nan")]), 1.0)
    for name in ("eq", "ne"):
        yield case(getattr(aten, name).Tensor, B, bools(3))
        yield case(getattr(aten, name).Scalar, B, True)


def _logic() -> Iterator[Case]:
    for name in ("logical_and", "logical_or"):
        yield case(getattr(aten, name).default, B, bools(3))
        yield case(getattr(aten, name).default, B, N)
        yield case(getattr(aten, name).default, X.round(), N)
    yield case(aten.logical_not.default, B)
    yield case(aten.logical_not.default, N)
    yield case(aten.bitwise_not.default, B)
    yield case(aten.bitwise_not.default, N)
    for name in ("and", "or", "xor"):
        tensor, scalar = getattr(aten, f"bitwise_{name}").Tensor, getattr(aten, f"bitwise_{name}").Scalar
        yield case(tensor, B, bools(3))
        yield case(tensor, N, integers(3))
        yield case(tensor, B, N)
        yield case(tensor, U, bytes_(3))
        yield case(scalar, U, 15)
        yield case(scalar, U, 0x88)
        yield case(scalar, N, 6)
        yield case(scalar, B, True)
    yield case(aten.bitwise_right_shift.Tensor_Scalar, U, 4)
    yield case(aten.where.self, B, X, floats(3))
    yield case(aten.where.self, bools(2, 1), N, integers(3))
    yield case(aten.where.self, B, X, N)
    yield case(aten.where.self, B, X, torch.tensor(-INF))
    yield case(aten.where.self, bools(3), torch.tensor(1.0), torch.tensor(0))
    yield case(aten.threshold_backward.default, X, floats(2, 3), 0)
    yield case(aten.threshold_backward.default, X, NEAR, 0.5)


def _reductions() -> Iterator[Case]:
    for name in ("_softmax", "_log_softmax"):
        for axis in (-1, 1, 0):
            yield case(getattr(aten, name).default, CUBE, axis, False)
    masked = floats(3, 3).masked_fill(torch.ones(3, 3).triu(1).bool(), -INF)
    yield case(aten._softmax.default, masked, -1, False)
    for operator in (aten.sum.dim_IntList, aten.mean.dim, aten.amax.default, aten.amin.default):
        yield case(operator, CUBE, [1])
        yield case(operator, CUBE, [-1], True)
        yield case(operator, CUBE, [0, -1])
        yield case(operator, CUBE, [0, 2], True)
        yield case(operator, floats(4), [0])
    yield case(aten.sum.dim_IntList, CUBE, [])
    yield case(aten.sum.dim_IntList, CUBE, None)
    yield case(aten.sum.dim_IntList, CUBE, None, True)
    yield case(aten.mean.dim, CUBE, None, True)
    yield case(aten.sum.dim_IntList, NCUBE, [1])
    yield case(aten.sum.dim_IntList, B, [1])
    yield case(aten.sum.dim_IntList, integers(2, 3, dtype=torch.int32), [0], True)
    yield case(aten.sum.dim_IntList, N, [0], True, dtype=torch.float32)
    yield case(aten.mean.dim, N, [0], dtype=torch.float32)
    yield case(aten.sum.default, CUBE)
    yield case(aten.sum.default, B)
    yield case(aten.sum.default, N)
    yield case(aten.sum.default, N, dtype=torch.float32)
    yield case(aten.mean.default, CUBE)
    for name in ("amax", "amin"):
        yield case(getattr(aten, name).default, CUBE)
        yield case(getattr(aten, name).default, CUBE, [], True)
        yield case(getattr(aten, name).default, NCUBE, [-2], True)


def _layout() -> Iterator[Case]:
    for shape in ([6, 4], [-1], [2, -1, 2], [1, 24], [2, 3, 4, 1]):
        yield case(aten.view.default, CUBE, shape)
    yield case(aten.view.default, torch.ones(1, 1), [])
    yield case(aten.view.default, torch.tensor(2.0), [1, 1])
    yield case(aten.view.default, U, [3, 2])
    yield case(aten.permute.default, CUBE, [2, 0, 1])
    yield case(aten.permute.default, CUBE, [0, -1, -2])
    yield case(aten.permute.default, N, [1, 0])
    for args in (
        (0, 0, 1), (1, 1, 3), (-1, 1, 3), (2, -3, -1), (1, None, 2), (1, 1, None), (2, 1, 99),
        (2, 0, 2**63 - 1), (-1, 0, 4, 2), (2, 1, None, 3), (1, 2, 2),
    ):  # fmt: skip
        yield case(aten.slice.Tensor, CUBE, *args)
    yield case(aten.slice.Tensor, CUBE)
    yield case(aten.slice.Tensor, NCUBE, 1, 0, 2)
    for axis, index in ((0, 1), (1, 2), (-1, 0), (2, -1), (-2, -3)):
        yield case(aten.select.int, CUBE, axis, index)
    yield case(aten.select.int, torch.arange(4), 0, 2)
    yield case(aten.cat.default, [X, floats(4, 3)])
    yield case(aten.cat.default, [X, floats(2, 1), floats(2, 4)], 1)
    yield case(aten.cat.default, [CUBE, floats(2, 3, 1)], -1)
    yield case(aten.cat.default, [torch.zeros(0), X, torch.zeros(0, 3)])
    yield case(aten.cat.default, [X, N])
    yield case(aten.cat.default, [N, bools(1, 3)])
    yield case(aten.cat.default, [U, bytes_(2, 3)], -1)
    yield case(aten.expand.default, floats(2, 1), [2, 3])
    yield case(aten.expand.default, floats(3), [2, -1])
    yield case(aten.expand.default, floats(1, 3), [4, 2, 3])
    yield case(aten.expand.default, torch.tensor(2), [2, 2])
    yield case(aten.expand.default, bools(1, 3), [2, 3])
    yield case(aten.constant_pad_nd.default, CUBE, [1, 2])
    yield case(aten.constant_pad_nd.default, CUBE, [0, 0, 0, 3], 0.0)
    yield case(aten.constant_pad_nd.default, CUBE, [1, 0, 0, 2, 3, 0], -1.5)
    yield case(aten.constant_pad_nd.default, CUBE, [-1, 0, 1, -1])
    yield case(aten.constant_pad_nd.default, N, [1, 1], -100)
    yield case(aten.constant_pad_nd.default, X, [0, 1], -INF)


def _rows() -> Iterator[Case]:
    table, ids = floats(7, 4), integers(2, 3, low=0, high=7)
    yield case(aten.embedding.default, table, ids)
    yield case(aten.embedding.default, table, ids, 3)
    yield case(aten.embedding.default, table, torch.tensor(2))
    yield case(aten.embedding.default, table, ids.int())
    yield case(aten.index_select.default, table, 0, torch.tensor([3, 3, 0]))
    yield case(aten.index_select.default, table, -1, torch.tensor([3, 1]))
    yield case(aten.index_select.default, bytes_(5, 2), 0, torch.tensor([4, 1]))
    yield case(aten.index_select.default, floats(5), 0, torch.tensor([4]))
    rows = torch.tensor([3, 3, 0])
    yield case(aten.scatter_add.default, table, 0, rows[:, None].expand(-1, 4).contiguous(), floats(3, 4))
    yield case(aten.index_put.default, table, [rows[1:]], floats(2, 4))
    yield case(aten.index_put.default, table, [rows[1:]], torch.tensor(2.0))
    yield case(aten.gather.default, table, 1, integers(7, 1, low=0, high=4))
    yield case(aten.gather.default, table, -1, integers(3, 2, low=0, high=4))
    yield case(aten.gather.default, table, 0, integers(2, 4, low=0, high=7))


def _made() -> Iterator[Case]:
    for dtype in (
        torch.float32,
        torch.float64,
        torch.float16,
        torch.int64,
        torch.int32,
        torch.bool,
        torch.uint8,
    ):
        yield case(aten._to_copy.default, bytes_(2, 3), dtype=dtype)
    yield case(aten._to_copy.default, floats(2, 3) * 4, dtype=torch.int64)
    yield case(aten._to_copy.default, torch.tensor([0.0, 0.5, -2.0]), dtype=torch.bool)
    yield case(aten._to_copy.default, B, dtype=torch.float32)
    yield case(aten._to_copy.default, floats(2, 3).half(), dtype=torch.float32)
    yield case(aten._to_copy.default, floats(2, 3), dtype=torch.bfloat16)
    yield case(aten._to_copy.default, integers(2, 3, dtype=torch.int8), dtype=torch.float32)
    yield case(aten.full.default, [2, 3], 1.5)
    yield case(aten.full.default, [2], -INF)
    yield case(aten.full.default, [], 3)
    yield case(aten.full.default, [2], True)
    yield case(aten.full.default, [2, 0], 1.0)
    yield case(aten.full.default, [2], 7, dtype=torch.int32)
    yield case(aten.full_like.default, N, 3)
    yield case(aten.full_like.default, N, 2, dtype=torch.float32)
    yield case(aten.scalar_tensor.default, 2.5)
    yield case(aten.scalar_tensor.default, 3, dtype=torch.int64)
    for name in ("zeros", "ones"):
        yield case(getattr(aten, name).default, [2, 3])
        yield case(getattr(aten, name).default, [3], dtype=torch.int64)
        yield case(getattr(aten, name).default, [2], dtype=torch.bool)
        yield case(getattr(aten, f"{name}_like").default, X)
        yield case(getattr(aten, f"{name}_like").default, N)
        yield case(getattr(aten, f"{name}_like").default, X, dtype=torch.int64)
    yield case(aten.arange.default, 5)
    yield case(aten.arange.default, 4, dtype=torch.float32)
    yield case(aten.arange.start, 2, 6)
    yield case(aten.arange.start, 2, 6, dtype=torch.int32)
    yield case(aten.arange.start_step, 1, 8, 3)
    yield case(aten.arange.start_step, 5, 0, -2)
    yield case(aten.arange.start_step, 0, 1, 0.25)
    yield case(aten.arange.start_step, 2, 5)


def _products() -> Iterator[Case]:
    weight, bias = floats(5, 4), floats(5)
    for shape in ((3, 4), (2, 3, 4), (4,), (1, 2, 3, 4)):
        yield case(aten.linear.default, floats(*shape), weight)
        yield case(aten.linear.default, floats(*shape), weight, bias)
    yield case(aten.mm.default, floats(3, 4), floats(4, 5))
    yield case(aten.bmm.default, floats(2, 3, 4), floats(2, 4, 5))
    for batch in ((), (2,), (2, 3)):
        for swap_a, swap_b, alpha in (
            (False, False, 1.0), (True, False, 0.5), (False, True, -2.0), (True, True, 0.125),
        ):  # fmt: skip
            a = floats(*batch, *((4, 3) if swap_a else (3, 4)))
            b = floats(*batch, *((5, 4) if swap_b else (4, 5)))
            yield case(lowpeak.matmul.default, a, b, swap_a, swap_b, alpha)
    for bits in (4, 8):
        for group in (16, 32):
            stored = quantize(floats(6, 64), QuantFormat(bits, group, False, "low_first"))
            yield case(lowpeak.dequantize.default, stored.data, stored.scale, None, bits, "low_first")


CASES = [
    made
    for group in (
        _unary, _arithmetic, _comparisons, _logic, _reductions, _layout, _rows, _made, _products,
    )
    for made in group()
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_equals_torch(case: Case, tmp_path: Path) -> None:
    expected = case.operator(*case.args, **case.kwargs)
    ((actual,),) = run([case], tmp_path)
    assert (list(actual.shape), actual.dtype) == (list(expected.shape), expected.dtype)
    if expected.is_floating_point():
        tolerance = {torch.float16: 1e-3, torch.bfloat16: 1e-2}.get(expected.dtype, 1e-6)
        torch.testing.assert_close(actual, expected, rtol=tolerance, atol=tolerance, equal_nan=True)
    else:
        assert torch.equal(actual, expected)


def test_every_operator_with_a_mapping_is_tested() -> None:
    assert {str(each.operator) for each in CASES} == {str(operator) for operator in MAPPINGS}


def graph_with(*operators: Callable[..., Any]) -> TrainGraph:
    build = GraphBuilder()
    x = build.input("x", 2, 3)
    for operator in operators:
        x = build.call(operator, x, 1)
    return build.finish(x)


def test_an_operator_without_a_mapping_is_named_with_its_place() -> None:
    graph = graph_with(aten.cumsum.default, aten.cumprod.default)
    first, _ = graph.operations()
    first.meta["nn_module_stack"] = {
        "outer": ("model.layers.0", object),
        "inner": ("model.layers.0.mlp", object),
    }
    with pytest.raises(
        UnsupportedOperator, match=r"aten\.cumsum\.default.*'model\.layers\.0\.mlp'"
    ) as refused:
        check_operators(graph.operations())
    assert refused.value.numbers == {"operator": "aten.cumsum.default", "place": "model.layers.0.mlp"}


def test_an_operator_of_the_backward_without_a_mapping() -> None:
    with pytest.raises(UnsupportedOperator, match=r"aten\.cumsum\.default.*the backward of the model"):
        check_operators(graph_with(aten.cumsum.default).operations())


def test_operators_with_a_mapping_pass() -> None:
    build = GraphBuilder()
    x = build.input("x", 2, 3)
    pair = build.call(aten.split.Tensor, x, 1)
    picked = build.call(getitem, pair, 0)
    graph = build.finish(build.call(aten.relu.default, picked))
    check_operators(node for node in graph.operations() if node is not pair)
    assert {str(dtype)[6:] for dtype in DTYPES} >= {"float32", "int64", "uint8", "bool"}
