"""What each operator does with the token axis: keep it, sum over it, or need operands whole.

kept      y = op(x)                     ->  y[t] = op(x[t])                     for every tile t
summed    g = matmul(x', dy)            ->  g = matmul_add(g, x[t]', dy[t])
whole     o = attention(q, K, V)        ->  o[t] = attention(q[t], K, V)
carried   dq, dK, dV = backward(...)    ->  dq[t], dK, dV = backward_add(dK, dV, ...[t])
gathered  h = index_select(x, rows)     ->  the same, of x as a whole

An operator's record names its rule. A rule gets a node of which an operand has a token axis. It returns the
node's split, or None if the node reads and makes whole values; it raises CannotTile for what has no such
form.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping
from operator import getitem
from typing import Any

import torch
from torch import fx

from lowpeak_artifact.ops.record import OPERATORS
from lowpeak_compiler.ir.graph import operator_name, place_of, tensors_of
from lowpeak_compiler.ir.nodes import argument, function_of, operands, shape_of
from lowpeak_compiler.passes.tiling.split import Call, CannotTile, Piece, Split

aten = torch.ops.aten
lowpeak = torch.ops.lowpeak
Axes = Mapping[fx.Node, int]
Rule = Callable[[fx.Node, Axes], Split | None]


def refusal(node: fx.Node, why: str) -> CannotTile:
    return CannotTile(f"{operator_name(node)} in {place_of(node)!r} {why}")


def whole(node: fx.Node, axes: Axes) -> None:
    """Reads rows of any token."""


def elementwise(node: fx.Node, axes: Axes) -> Split:
    """Every element depends on those at its place; operands may repeat along an axis (broadcasting)."""
    shape = tensors_of(node)[0].shape
    missing = {x: len(shape) - len(shape_of(x)) for x in node.all_input_nodes}
    axis = _only({missing[x] + axes[x] for x in missing if x in axes}, node)
    needs = {
        x: axis - missing[x]
        for x in missing
        if axis >= missing[x] and shape_of(x)[axis - missing[x]] == shape[axis]
    }
    return Split(tuple(axis for _ in tensors_of(node)), needs)


def rows(*names: str) -> Rule:
    """Result i is made of row i of these operands and of others without tokens; the last axis is no row."""

    def rule(node: fx.Node, axes: Axes) -> Split:
        arguments = [argument(node, name) for name in names]
        row_operands = [operand for operand in arguments if operand is not None]
        axis = _only({axes[x] for x in row_operands if x in axes}, node)
        others = set(node.all_input_nodes) - set(row_operands)
        if axes.keys() & others or any(axis == len(shape_of(x)) - 1 for x in row_operands):
            raise refusal(node, "mixes tokens")
        return Split(tuple(axis for _ in tensors_of(node)), dict.fromkeys(row_operands, axis))

    return rule


def lookup(node: fx.Node, axes: Axes) -> Split:
    """Rows of a table by ids."""
    arguments: dict[str, Any] = operands(node)
    ids: Any = arguments.get("ids", arguments.get("indices"))
    if axes.keys() & set(node.all_input_nodes) != {ids}:
        raise refusal(node, "looks up in a table of tokens")
    return Split((axes[ids],), {ids: axes[ids]})


def view(node: fx.Node, axes: Axes) -> Split:
    """The tokens' axis is the one of their number after as many elements as before."""
    x: Any = node.args[0]
    shape = shape_of(node)
    before, tokens = math.prod(shape_of(x)[: axes[x]]), shape_of(x)[axes[x]]
    matching = [i for i, size in enumerate(shape) if size == tokens and math.prod(shape[:i]) == before]
    if not matching:
        raise refusal(node, f"takes the tokens apart: {list(shape_of(x))} -> {list(shape)}")
    axis = matching[0]

    def call(node: fx.Node, piece: Piece) -> Call:
        return function_of(node), (piece.args[0], [*shape[:axis], piece.rows, *shape[axis + 1 :]])

    return Split((axis,), {x: axes[x]}, call)


def permute(node: fx.Node, axes: Axes) -> Split:
    arguments: dict[str, Any] = operands(node)
    x, order = arguments["self"], arguments["dims"]
    rank = len(order)
    return Split(([axis % rank for axis in order].index(axes[x]),), {x: axes[x]})


def parts(node: fx.Node, axes: Axes) -> Split:
    """Takes each token apart, or puts it together, along another axis than theirs."""
    axis = _only({axes[x] for x in node.all_input_nodes if x in axes}, node)
    if operands(node)["dim"] % len(shape_of(node)) == axis:
        raise refusal(node, "takes the tokens apart, or puts them together")
    return Split((axis,), dict.fromkeys(node.all_input_nodes, axis))


def matmul(node: fx.Node, axes: Axes) -> Split:
    """Tokens among the rows or columns of the product are kept; a sum over tokens is one over tiles."""
    addend: tuple[Any, ...] = node.args[:-5]
    product: tuple[Any, ...] = node.args[-5:]
    a, b, transpose_a, transpose_b, _ = product
    rank = len(shape_of(a))
    summed_a, kept_a = (rank - 2, rank - 1) if transpose_a else (rank - 1, rank - 2)
    summed_b, kept_b = (rank - 1, rank - 2) if transpose_b else (rank - 2, rank - 1)
    if axes.get(a) == summed_a or axes.get(b) == summed_b:
        if {axes.get(a, summed_a), axes.get(b, summed_b)} != {summed_a, summed_b} or axes.keys() & {*addend}:
            raise refusal(node, "multiplies tokens with tokens")
        return Split((None,), {a: summed_a, b: summed_b}, _added_product, carried=(0,))
    by_operand = [(a, rank - 2)] * (a in axes) + [(b, rank - 1)] * (b in axes)
    result = {axis for _, axis in by_operand} | {axes[x] for x in addend if x in axes}
    if result == {rank - 2} and b not in axes:
        return Split((rank - 2,), {a: kept_a, **dict.fromkeys(addend, rank - 2)})
    if result == {rank - 1} and a not in axes:
        return Split((rank - 1,), {b: kept_b, **dict.fromkeys(addend, rank - 1)})
    raise refusal(node, "multiplies tokens with tokens")


def _added_product(node: fx.Node, piece: Piece) -> Call:
    if piece.previous is None:
        return function_of(node), piece.args
    return lowpeak.matmul_add.default, (piece.previous, *piece.args[-5:])


def reduction(node: fx.Node, axes: Axes) -> Split:
    """Along other axes the tokens are kept; a sum over them is one over tiles."""
    arguments: dict[str, Any] = operands(node)
    x = arguments["self"]
    axis, rank = axes[x], len(shape_of(x))
    reduced = {other % rank for other in arguments["dim"] or range(rank)}
    if axis not in reduced:
        gone = 0 if arguments["keepdim"] else sum(other < axis for other in reduced)
        return Split((axis - gone,), {x: axis})
    if node.target is aten.sum.dim_IntList:
        return Split((None,), {x: axis}, _added_sum, carried=(0,))
    raise refusal(node, "reduces the tokens")


def _added_sum(node: fx.Node, piece: Piece) -> Call:
    if piece.previous is None:
        return function_of(node), piece.args
    return aten.add.Tensor, (piece.previous, piece.call(node.target, *piece.args))


def rotary(node: fx.Node, axes: Axes) -> Split:
    arguments: dict[str, Any] = operands(node)
    tokens = 3 - arguments["heads_axis"]
    needs = {arguments["x"]: tokens, arguments["cos"]: 1, arguments["sin"]: 1}
    _require_axes(node, axes, needs)
    return Split((tokens,), needs)


def attention(node: fx.Node, axes: Axes) -> Split:
    """Queries by tiles, keys and values whole."""
    arguments: dict[str, Any] = operands(node)
    tokens = 3 - arguments["heads_axis"]
    _require_axes(node, axes, {arguments[name]: tokens for name in ("query", "key", "value")})

    def call(node: fx.Node, piece: Piece) -> Call:
        return function_of(node), (*piece.args[:4], arguments["heads_axis"], piece.start)

    return Split((tokens, 2), {arguments["query"]: tokens}, call)


def attention_backward(node: fx.Node, axes: Axes) -> Split:
    """What belongs to queries by tiles; the gradients of keys and values are carried."""
    arguments: dict[str, Any] = operands(node)
    tokens = 3 - arguments["heads_axis"]
    needs = {**{arguments[name]: tokens for name in ("grad", "query", "out")}, arguments["logsumexp"]: 2}
    _require_axes(node, axes, {**needs, arguments["key"]: tokens, arguments["value"]: tokens})

    def call(node: fx.Node, piece: Piece) -> Call:
        args = (*piece.args[:7], arguments["heads_axis"], piece.start)
        if piece.previous is None:
            return function_of(node), args
        grads = [piece.call(getitem, piece.previous, output) for output in (1, 2)]
        return lowpeak.causal_attention_backward_add.default, (*grads, *args)

    return Split((tokens,) * 3, needs, call, carried=(1, 2))


def _require_axes(node: fx.Node, axes: Axes, expected: Mapping[fx.Node, int]) -> None:
    if any(axes.get(x, axis) != axis for x, axis in expected.items()):
        raise refusal(node, "has the tokens along an axis that is none of tokens")


def _only(axes: set[int], node: fx.Node) -> int:
    if len(axes) != 1:
        raise refusal(node, "has the tokens along different axes")
    return axes.pop()


RULES: dict[str, Callable[..., Any]] = {
    "attention": attention,
    "attention_backward": attention_backward,
    "elementwise": elementwise,
    "lookup": lookup,
    "matmul": matmul,
    "parts": parts,
    "permute": permute,
    "reduction": reduction,
    "rotary": rotary,
    "rows": rows,
    "view": view,
    "whole": whole,
}
"""By the name that operators' records have for them; one with operands makes a rule of these."""


@functools.cache
def rule_of(operator: object) -> Rule | None:
    """The rule of an operator, None if its record states none."""
    record = OPERATORS.get(operator)
    if record is None or not record.tile:
        return None
    name, *of_operands = record.tile.split()
    rule: Rule = RULES[name](*of_operands) if of_operands else RULES[name]
    return rule
