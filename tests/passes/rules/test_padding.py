from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import fx

from lowpeak_compiler.passes.rules import padding
from tests.evaluate import GraphBuilder
from tests.passes.rules.apply import applied, operators

aten = torch.ops.aten


def padded(
    build: GraphBuilder, name: str, width: int, *place: Any, fill: float = 0.0, rows: int = 2
) -> fx.Node:
    """A [rows, width] input in columns `place` of a [rows, 8] tensor of `fill`."""
    background = build.call(aten.full.default, [rows, 8], fill)
    return build.call(aten.slice_scatter.default, background, build.input(name, rows, width), *place)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ((3, 1, 0, 3), (5, 1, 3, 8)),
        ((5, 1, 3, 2**63 - 1), (3, 1, 0, 3)),
        ((3, -1, None, 3), (5, 1, 3, None)),
        ((3, 1, 0, -5), (5, 1, -5, 8)),
    ],
)
def test_two_halves_are_joined(first, second):
    build = GraphBuilder()
    graph = build.finish(build.call(aten.add.Tensor, padded(build, "a", *first), padded(build, "b", *second)))
    assert applied(graph, padding.RULES) == 1
    assert operators(graph) == ["cat"]


@pytest.mark.parametrize(
    ("first", "second", "options"),
    [
        pytest.param((4, 1, 0, 4), (5, 1, 3, 8), {}, id="overlap"),
        pytest.param((2, 1, 0, 2), (5, 1, 3, 8), {}, id="gap"),
        pytest.param((4, 1, 0, 8, 2), (4, 1, 4, 8), {}, id="step"),
        pytest.param((3, 1, 0, 3), (5, 1, 3, 8), {"fill": 1.0}, id="not zeros"),
        pytest.param((3, 1, 0, 3), (5, 1, 3, 8), {"fill": 0}, id="integers"),
    ],
)
def test_other_pairs_stay(first, second, options):
    build = GraphBuilder()
    graph = build.finish(
        build.call(aten.add.Tensor, padded(build, "a", *first, **options), padded(build, "b", *second))
    )
    assert applied(graph, padding.RULES) == 0


def test_a_broadcast_pair_stays():
    build = GraphBuilder()
    parts = padded(build, "a", 3, 1, 0, 3, rows=1), padded(build, "b", 5, 1, 3, 8)
    graph = build.finish(build.call(aten.add.Tensor, *parts))
    assert applied(graph, padding.RULES) == 0


def test_a_weighted_sum_stays():
    build = GraphBuilder()
    parts = padded(build, "a", 3, 1, 0, 3), padded(build, "b", 5, 1, 3, 8)
    graph = build.finish(build.call(aten.add.Tensor, *parts, alpha=2))
    assert applied(graph, padding.RULES) == 0


def test_a_sum_with_a_number_stays():
    build = GraphBuilder()
    graph = build.finish(build.call(aten.add.Tensor, padded(build, "a", 3, 1, 0, 3), 1.0))
    assert applied(graph, padding.RULES) == 0
