from __future__ import annotations

from collections.abc import Callable
from operator import getitem
from typing import Any

import pytest
import torch

from lowpeak_compiler.passes.rules import layout
from tests.evaluate import GraphBuilder
from tests.passes.rules.apply import applied, operators

aten = torch.ops.aten


def rewritten(target: Callable[..., Any], *args: Any, shape: tuple[int, ...] = (2, 3, 4)) -> list[str]:
    """The operators that a call on one input becomes; none: the input itself."""
    build = GraphBuilder()
    graph = build.finish(build.call(target, build.input("x", *shape), *args))
    applied(graph, layout.RULES)
    return operators(graph)


@pytest.mark.parametrize(
    ("target", "args", "shape"),
    [
        (aten.unsqueeze.default, (1,), (2, 3)),
        (aten.squeeze.dim, (-1,), (2, 3, 1)),
        (aten.squeeze.dims, ([0, 2],), (1, 3, 1)),
        (aten.squeeze.default, (), (1, 3, 1)),
        (aten.reshape.default, ([4, -1],), (2, 3, 4)),
        (aten.flatten.using_ints, (1,), (2, 3, 4)),
        (aten.flatten.using_ints, (), ()),
        (aten._unsafe_view.default, ([6, 4],), (2, 3, 4)),
    ],
)
def test_what_keeps_the_order_of_elements_is_a_view(target, args, shape):
    assert rewritten(target, *args, shape=shape) == ["view"]


def test_a_view_of_the_same_shape_is_nothing():
    assert rewritten(aten.view.default, [2, 3, 4]) == []
    assert rewritten(aten.squeeze.dim, 0) == []


def test_a_view_of_a_view_is_one():
    build = GraphBuilder()
    inner = build.call(aten.view.default, build.input("x", 2, 6), [3, 4])
    graph = build.finish(build.call(aten.view.default, inner, [4, 3]))
    assert applied(graph, layout.RULES) == 1
    assert operators(graph) == ["view"]


@pytest.mark.parametrize("axes", [(0, 1), (-1, -2), (2, 0)])
def test_transpose_is_a_permute(axes):
    assert rewritten(aten.transpose.int, *axes) == ["permute"]


def test_t_is_a_permute_of_a_matrix_only():
    assert rewritten(aten.t.default, shape=(2, 3)) == ["permute"]
    assert rewritten(aten.t.default, shape=(3,)) == []
    assert rewritten(aten.t.default, shape=()) == []


def test_a_permute_that_moves_axes_of_size_one_is_a_view():
    assert rewritten(aten.permute.default, [1, 0, 2], shape=(1, 3, 4)) == ["view"]
    assert rewritten(aten.permute.default, [-2, -1, 0], shape=(1, 3, 4)) == ["view"]
    assert rewritten(aten.permute.default, [1, 0, 2], shape=(2, 3, 4)) == ["permute"]


@pytest.mark.parametrize("outer", [[2, 0, 1], [-1, -3, -2]])
def test_permutes_compose(outer):
    build = GraphBuilder()
    inner = build.call(aten.permute.default, build.input("x", 2, 3, 4), [-1, 0, 1])
    graph = build.finish(build.call(aten.permute.default, inner, outer))
    assert applied(graph, layout.RULES) >= 1
    assert operators(graph) == ["permute"]


def test_a_permute_and_back_is_nothing():
    build = GraphBuilder()
    x = build.input("x", 2, 3)
    twice = build.call(aten.t.default, build.call(aten.permute.default, x, [-1, -2]))
    graph = build.finish(build.call(aten.mm.default, build.input("y", 5, 2), twice))
    applied(graph, layout.RULES)
    assert operators(graph) == ["mm"]


@pytest.mark.parametrize(
    ("target", "sizes", "operator"),
    [(aten.split.Tensor, 3, "slice.Tensor"), (aten.split_with_sizes.default, [1, 4, 3], "slice.Tensor")],
)
def test_pieces_of_a_split_are_slices(target, sizes, operator):
    build = GraphBuilder()
    pieces = build.call(target, build.input("x", 2, 8), sizes, -1)
    graph = build.finish(*(build.call(getitem, pieces, i) for i in range(3)))
    assert applied(graph, layout.RULES) == 3
    assert operators(graph) == [operator] * 3


def test_pieces_of_unbind_are_selects():
    build = GraphBuilder()
    pieces = build.call(aten.unbind.int, build.input("x", 2, 3), 1)
    graph = build.finish(build.call(getitem, pieces, 2))
    assert applied(graph, layout.RULES) == 1
    assert operators(graph) == ["select.int"]


def test_results_of_other_operators_stay():
    build = GraphBuilder()
    both = build.call(aten.max.dim, build.input("x", 2, 3), 1)
    graph = build.finish(build.call(getitem, both, 0))
    assert applied(graph, layout.RULES) == 0


@pytest.mark.parametrize("order", [[1, 0], [-1, 0]])
def test_a_product_with_a_transpose_is_a_linear(order):
    build = GraphBuilder()
    transposed = build.call(aten.permute.default, build.input("w", 5, 3), order)
    graph = build.finish(build.call(aten.mm.default, build.input("x", 2, 3), transposed))
    assert applied(graph, layout.RULES) == 1
    assert operators(graph) == ["linear"]


def test_a_product_without_a_transpose_stays():
    build = GraphBuilder()
    graph = build.finish(build.call(aten.mm.default, build.input("x", 2, 3), build.input("w", 3, 5)))
    assert applied(graph, layout.RULES) == 0


@pytest.mark.parametrize(
    ("bias", "transposed", "factors", "expected"),
    [
        ((5,), True, {}, ["linear"]),
        ((5,), True, {"beta": 1, "alpha": 1}, ["linear"]),
        ((1,), True, {}, ["linear", "add.Tensor"]),
        ((2, 5), True, {}, ["linear", "add.Tensor"]),
        ((5,), False, {}, ["mm", "add.Tensor"]),
        ((5,), True, {"alpha": 2}, ["permute", "addmm"]),
    ],
)
def test_addmm(bias, transposed, factors, expected):
    build = GraphBuilder()
    b, x = build.input("b", *bias), build.input("x", 2, 3)
    w = build.input("w", *((5, 3) if transposed else (3, 5)))
    right = build.call(aten.permute.default, w, [1, 0]) if transposed else w
    graph = build.finish(build.call(aten.addmm.default, b, x, right, **factors))
    applied(graph, layout.RULES)
    assert operators(graph) == expected


@pytest.mark.parametrize(("rows", "applies"), [(64, True), (2, False)])
def test_the_smaller_operand_is_transposed(rows, applies):
    """permute(a) [64, 3] x b [3, 5]: a is larger than b and the result only when its rows are many and k is
    not.
    """
    build = GraphBuilder()
    left = build.call(aten.permute.default, build.input("a", rows, 4), [1, 0])
    graph = build.finish(build.call(aten.mm.default, left, build.input("b", rows, 2)))
    assert (applied(graph, layout.RULES) > 0) is applies
    assert operators(graph) == (["permute", "mm", "permute"] if applies else ["permute", "mm"])
