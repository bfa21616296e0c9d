from __future__ import annotations

import pytest
import torch

from lowpeak_compiler.passes.rules import elementwise
from tests.evaluate import GraphBuilder
from tests.passes.rules.apply import applied, operators

aten = torch.ops.aten


@pytest.mark.parametrize(
    ("target", "number", "dtype", "applies"),
    [
        (aten.mul.Scalar, 1, torch.float32, True),
        (aten.mul.Scalar, 1.0, torch.float32, True),
        (aten.add.Scalar, 0, torch.int64, True),
        (aten.pow.Tensor_Scalar, 1, torch.float32, True),
        (aten.mul.Scalar, 2, torch.float32, False),
        (aten.sub.Scalar, 1, torch.float32, False),
        (aten.mul.Scalar, 1.0, torch.int64, False),
        (aten.add.Scalar, 0.0, torch.int64, False),
        (aten.div.Scalar, 1, torch.int64, False),
        (aten.pow.Tensor_Scalar, 1.0, torch.int64, False),
    ],
)
def test_neutral_numbers(target, number, dtype, applies):
    build = GraphBuilder()
    graph = build.finish(build.call(target, build.input("x", 3, dtype=dtype), number))
    assert bool(applied(graph, elementwise.RULES)) is applies
    assert len(graph.operations()) == (not applies)


@pytest.mark.parametrize(
    ("shape", "value", "dtype", "applies"),
    [((), 1, torch.float32, True), ((3,), 1.0, torch.float32, True), ((2, 3), 1, torch.float32, False),
     ((3,), 2, torch.float32, False), ((3,), 1, torch.float64, False)],
)  # fmt: skip
def test_ones(shape, value, dtype, applies):
    build = GraphBuilder()
    ones = build.call(aten.full.default, list(shape), value, dtype=dtype)
    graph = build.finish(build.call(aten.mul.Tensor, ones, build.input("x", 3)))
    applied(graph, {aten.mul.Tensor: (elementwise.drop_ones,)})
    assert operators(graph) == ([] if applies else ["full", "mul.Tensor"])


@pytest.mark.parametrize(
    ("target", "kwargs", "constant_first", "expected"),
    [
        (aten.mul.Tensor, {}, False, ["mul.Scalar"]),
        (aten.mul.Tensor, {}, True, ["mul.Scalar"]),
        (aten.div.Tensor, {}, False, ["div.Scalar"]),
        (aten.div.Tensor, {}, True, ["full", "div.Tensor"]),
        (aten.add.Tensor, {}, True, ["add.Scalar"]),
        (aten.add.Tensor, {"alpha": 3}, False, ["add.Scalar"]),
        (aten.add.Tensor, {"alpha": 3}, True, ["full", "add.Tensor"]),
        (aten.sub.Tensor, {}, False, ["sub.Scalar"]),
        (aten.sub.Tensor, {}, True, ["rsub.Scalar"]),
        (aten.sub.Tensor, {"alpha": 2}, False, ["sub.Scalar"]),
        (aten.sub.Tensor, {"alpha": 2}, True, ["full", "sub.Tensor"]),
    ],
)
def test_constants_become_numbers(target, kwargs, constant_first, expected):
    build = GraphBuilder()
    x, constant = build.input("x", 3), build.call(aten.full.default, [], 0.5)
    pair = (constant, x) if constant_first else (x, constant)
    graph = build.finish(build.call(target, *pair, **kwargs))
    applied(graph, elementwise.RULES)
    assert operators(graph) == expected


def test_numbers_become_scalars():
    build = GraphBuilder()
    graph = build.finish(build.call(aten.add.Tensor, build.input("x", 3), 2.5, alpha=2))
    assert applied(graph, elementwise.RULES) == 1
    assert operators(graph) == ["add.Scalar"]


def test_a_constant_of_another_type_keeps_the_type_of_the_result():
    """int64 x a float32 constant that was written as 2 is float32; mul.Scalar(x, 2) would be int64."""
    build = GraphBuilder()
    constant = build.call(aten.full.default, [], 2, dtype=torch.float32)
    graph = build.finish(build.call(aten.mul.Tensor, build.input("x", 3, dtype=torch.int64), constant))
    applied(graph, elementwise.RULES)
    assert operators(graph) == ["mul.Scalar"]
    assert isinstance(graph.operations()[0].args[1], float)


def test_a_constant_that_promotes_stays():
    build = GraphBuilder()
    constant = build.call(aten.full.default, [], 2, dtype=torch.float64)
    graph = build.finish(build.call(aten.mul.Tensor, build.input("x", 3, dtype=torch.int64), constant))
    assert applied(graph, elementwise.RULES) == 0


@pytest.mark.parametrize(
    ("exponent", "dtype", "expected"),
    [
        (2, torch.float32, ["mul.Tensor"]),
        (3, torch.float32, ["mul.Tensor", "mul.Tensor"]),
        (2, torch.int64, ["mul.Tensor"]),
        (2.0, torch.int64, ["pow.Tensor_Scalar"]),
        (0.5, torch.float32, ["pow.Tensor_Scalar"]),
    ],
)
def test_powers(exponent, dtype, expected):
    build = GraphBuilder()
    graph = build.finish(build.call(aten.pow.Tensor_Scalar, build.input("x", 3, dtype=dtype), exponent))
    applied(graph, elementwise.RULES)
    assert operators(graph) == expected


def test_expand_sinks_below_a_unary_and_into_a_binary():
    build = GraphBuilder()
    wide = build.call(aten.expand.default, build.input("x", 2, 1), [2, 3])
    scaled = build.call(aten.mul.Scalar, build.call(aten.exp.default, wide), 2.0)
    graph = build.finish(build.call(aten.add.Tensor, scaled, build.input("y", 2, 3), alpha=2))
    assert applied(graph, elementwise.RULES) == 3
    assert operators(graph) == ["exp", "mul.Scalar", "add.Tensor"]
    assert [tuple(n.meta["val"].shape) for n in graph.operations()] == [(2, 1), (2, 1), (2, 3)]


def test_expand_stays_where_the_result_needs_it():
    build = GraphBuilder()
    wide = build.call(aten.expand.default, build.input("x", 2, 1), [2, 3])
    graph = build.finish(build.call(aten.add.Tensor, wide, build.input("y", 2, 1)))
    assert applied(graph, elementwise.RULES) == 0
    assert operators(graph) == ["expand", "add.Tensor"]


@pytest.mark.parametrize("narrow", [torch.float32, torch.int64])
def test_expand_of_a_tensor_without_dimensions_keeps_its_weight_in_promotion(narrow):
    build = GraphBuilder()
    wide = build.call(aten.expand.default, build.input("x", dtype=torch.float64), [3])
    graph = build.finish(build.call(aten.add.Tensor, wide, build.input("y", 3, dtype=narrow)))
    assert applied(graph, elementwise.RULES) == 0


def test_expand_of_a_tensor_without_dimensions_of_the_same_type_goes():
    build = GraphBuilder()
    wide = build.call(aten.expand.default, build.input("x"), [3])
    graph = build.finish(build.call(aten.mul.Tensor, wide, build.input("y", 3)))
    assert applied(graph, elementwise.RULES) == 1
    assert operators(graph) == ["mul.Tensor"]
