"""The rules, each on a graph of a few nodes, and what contradicts them."""

from __future__ import annotations

from collections.abc import Callable
from operator import getitem
from typing import Any

import pytest
import torch
from torch import fx

from lowpeak_compiler.ir.graph import Batch, Frozen, TrainGraph
from lowpeak_compiler.passes.tiling.axes import find_token_axes
from lowpeak_compiler.passes.tiling.split import CannotTile
from lowpeak_compiler.passes.tiling.tile import Tile
from tests.evaluate import GraphBuilder, distance, evaluate

aten = torch.ops.aten
lowpeak = torch.ops.lowpeak
TOKENS, WIDTH = 6, 4


class Tokens(GraphBuilder):
    """`x`: rows [1, tokens, width] of a table by ids; `flat` without the first axis."""

    def __init__(self) -> None:
        super().__init__()
        ids = self.input("ids", 1, TOKENS, dtype=torch.int64, role=Batch("ids"))
        self.table = self.input("table", 9, WIDTH, role=Frozen("table"))
        self.x = self.call(aten.embedding.default, self.table, ids)
        self.flat = self.call(aten.view.default, self.x, [TOKENS, WIDTH])

    def total(self, *values: fx.Node) -> TrainGraph:
        """The sum of all squares in the values."""
        total = self.square(values[0])
        for other in values[1:]:
            total = self.call(aten.add.Tensor, total, self.square(other))
        return self.finish(total)

    def square(self, value: fx.Node) -> fx.Node:
        axes = list(range(value.meta["val"].dim()))
        return self.call(aten.sum.dim_IntList, self.call(aten.mul.Tensor, value, value), axes)


Build = Callable[[Tokens], tuple[fx.Node, ...]]


def broadcast(b: Tokens) -> tuple[fx.Node, ...]:
    column = b.call(aten.mean.dim, b.x, [-1], True)
    mask = b.input("mask", TOKENS, 1, role=Frozen("mask"))
    return (b.call(aten.mul.Tensor, b.call(aten.sub.Tensor, b.x, column), mask),)


def gathered(b: Tokens) -> tuple[fx.Node, ...]:
    rows = b.input("rows", 3, dtype=torch.int64, role=Batch("rows"))
    return (b.call(aten.index_select.default, b.call(aten.exp.default, b.flat), 0, rows),)


def weight_gradient(b: Tokens) -> tuple[fx.Node, ...]:
    dy = b.input("dy", TOKENS, 3)
    first = b.call(lowpeak.matmul.default, dy, b.flat, True, False, 2.0)
    return (b.call(lowpeak.matmul_add.default, first, dy, b.flat, True, False, 1.0),)


def columns(b: Tokens) -> tuple[fx.Node, ...]:
    a = b.input("a", 3, WIDTH)
    product = b.call(lowpeak.matmul.default, a, b.flat, False, True, 1.0)
    return (b.call(aten.exp.default, b.call(aten.permute.default, product, [1, 0])),)


def norms(b: Tokens) -> tuple[fx.Node, ...]:
    weight = b.input("weight", WIDTH, role=Frozen("weight"))
    pair = b.call(lowpeak.rms_norm.default, b.x, weight, 1e-6)
    normed, root = (b.call(getitem, pair, i) for i in (0, 1))
    return (b.call(lowpeak.rms_norm_backward.default, normed, b.x, weight, root, b.x),)


def attention(b: Tokens) -> tuple[fx.Node, ...]:
    key, value = (b.input(name, 1, TOKENS, 1, WIDTH) for name in ("key", "value"))
    query = b.call(aten.view.default, b.x, [1, TOKENS, 1, WIDTH])
    key = b.call(aten.mul.Tensor, query, key)
    pair = b.call(lowpeak.causal_attention.default, query, key, value, 0.5, 2)
    out, logsumexp = (b.call(getitem, pair, i) for i in (0, 1))
    given = (query, query, key, value, out, logsumexp, 0.5, 2)
    back = b.call(lowpeak.causal_attention_backward.default, *given)
    grads = [b.call(getitem, back, i) for i in range(3)]
    return (grads[0], b.call(aten.mul.Tensor, grads[1], query), grads[2])


def parts(b: Tokens) -> tuple[fx.Node, ...]:
    left, right = (b.call(aten.slice.Tensor, b.x, -1, *half) for half in ((0, 2), (2, 4)))
    joined = b.call(aten.cat.default, [b.call(aten.gelu.default, right, approximate="tanh"), left], -1)
    zeros = b.input("zeros", 1, TOKENS, WIDTH, role=Frozen("zeros"))
    return joined, b.call(aten.slice_scatter.default, zeros, left, 2, 1, 3)


@pytest.mark.parametrize("build", [broadcast, gathered, weight_gradient, columns, norms, attention, parts])
@pytest.mark.parametrize("rows", [4, 3, 1])
@pytest.mark.parametrize("backward", [True, False])
def test_the_tiles_give_what_the_whole_gives(build: Build, rows: int, backward: bool):
    """In the backward, whose values are results that are put together; and in the forward."""
    if build is attention and not backward:
        return

    def graph() -> TrainGraph:
        b = Tokens()
        values = build(b)
        return b.finish(b.square(b.x), *values) if backward else b.total(*values)

    whole, tiled = graph(), graph()
    torch.manual_seed(0)
    values = [
        torch.randint(0, TOKENS, tuple(n.meta["val"].shape))
        if n.meta["val"].dtype == torch.int64
        else torch.randn(n.meta["val"].shape)
        for n, _ in whole.inputs()
    ]
    assert Tile(rows).run(tiled) > 0
    tiled.graph.lint()
    for actual, expected in zip(evaluate(tiled, values), evaluate(whole, values), strict=True):
        assert distance(actual, expected) < 1e-5


def tokens_by_tokens(b: Tokens) -> Any:
    return b.call(lowpeak.matmul.default, b.flat, b.flat, False, True, 1.0)


def taken_apart(b: Tokens) -> Any:
    return b.call(aten.view.default, b.x, [3, 2, WIDTH])


def two_axes(b: Tokens) -> Any:
    square = b.input("square", TOKENS, WIDTH)
    turned = b.call(aten.permute.default, b.call(aten.view.default, b.x, [TOKENS, WIDTH]), [1, 0])
    product = b.call(lowpeak.matmul.default, square, turned, False, False, 1.0)
    return b.call(aten.add.Tensor, product, b.call(aten.mean.dim, b.flat, [1], True))


def first_tokens(b: Tokens) -> Any:
    return b.call(aten.slice.Tensor, b.flat, 0, 0, 3)


def largest_token(b: Tokens) -> Any:
    return b.call(aten.amax.default, b.flat, [0])


def gradients_in_the_forward(b: Tokens) -> Any:
    return attention(b)[1]


def scattered_whole(b: Tokens) -> Any:
    rows = b.input("rows", 3, dtype=torch.int64, role=Batch("rows"))
    return b.call(aten.index_select.default, b.call(aten.permute.default, b.flat, [1, 0]), 1, rows)


@pytest.mark.parametrize(
    ("build", "reason"),
    [
        (tokens_by_tokens, "multiplies tokens with tokens"),
        (taken_apart, r"takes the tokens apart: \[1, 6, 4\] -> \[3, 2, 4\]"),
        (two_axes, "along different axes"),
        (first_tokens, "takes the tokens apart, or puts them together"),
        (largest_token, "reduces the tokens"),
        (gradients_in_the_forward, "adds up gradients of tokens in the forward"),
        (scattered_whole, "needed whole, but its rows do not lie together"),
    ],
)
def test_contradictions(build: Callable[[Tokens], fx.Node], reason: str):
    b = Tokens()
    graph = b.total(build(b))
    with pytest.raises(CannotTile, match=reason):
        find_token_axes(graph)


def test_a_graph_without_token_ids():
    b = GraphBuilder()
    graph = b.finish(b.call(aten.sum.dim_IntList, b.input("x", 3, 4), [0, 1]))
    with pytest.raises(CannotTile, match="no input of the batch"):
        find_token_axes(graph)
