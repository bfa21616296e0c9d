"""Rules on elementwise arithmetic.

x * 1, x + 0, x / 1, x ** 1        ->  x
x ** 2, x ** 3                     ->  x * x, x * x * x
mul.Tensor(x, 0.5), sub(1, x)      ->  mul.Scalar(x, 0.5), rsub.Scalar(x, 1)
f(expand(x))                       ->  expand(f(x))
f(expand(x), y)                    ->  f(x, y)             where y has the full shape
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import fx

from lowpeak_compiler.ir.graph import TrainGraph
from lowpeak_compiler.ir.nodes import call_args, dtype_of, function_of, operand, operands, shape_of
from lowpeak_compiler.passes.rewrite import Rewriter, Rule

aten = torch.ops.aten
expand = aten.expand.default

NEUTRAL: dict[object, int] = {
    aten.mul.Scalar: 1,
    aten.div.Scalar: 1,
    aten.add.Scalar: 0,
    aten.sub.Scalar: 0,
    aten.pow.Tensor_Scalar: 1,
}
SCALAR_FORM: dict[object, Callable[..., Any]] = {
    aten.mul.Tensor: aten.mul.Scalar,
    aten.div.Tensor: aten.div.Scalar,
    aten.add.Tensor: aten.add.Scalar,
    aten.sub.Tensor: aten.sub.Scalar,
}
COMMUTES = (aten.mul.Tensor, aten.add.Tensor)


def drop_neutral(graph: TrainGraph, node: fx.Node) -> bool:
    """x * 1, x + 0, x ** 1 ...  ->  x"""
    source, number, *_ = operands(node).values()
    if number != NEUTRAL[node.target] or dtype_of(source) != dtype_of(node):
        return False
    return Rewriter(graph, node).replace_with(source)


def drop_ones(graph: TrainGraph, node: fx.Node) -> bool:
    """x * full(1)  ->  x: the gradient of the loss by itself"""
    left, right = call_args(node)
    for one, other in ((left, right), (right, left)):
        same = isinstance(other, fx.Node) and (shape_of(other), dtype_of(other)) == (
            shape_of(node),
            dtype_of(node),
        )
        if same and _is_one(one):
            return Rewriter(graph, node).replace_with(other)
    return False


def to_scalar(graph: TrainGraph, node: fx.Node) -> bool:
    """mul.Tensor(x, 0.5)  ->  mul.Scalar(x, 0.5), also with a one-element constant made by full

    Refused where the type of the result would be another: an int64 tensor times a float32 constant is
    float32.
    """
    left, right = (_number(argument) for argument in node.args)
    new = Rewriter(graph, node)
    if isinstance(right, int | float) and isinstance(left, fx.Node):
        result = new.call(SCALAR_FORM[node.target], left, right, **node.kwargs)
    elif not isinstance(left, int | float) or not isinstance(right, fx.Node) or node.kwargs:
        return False
    elif node.target in COMMUTES:
        result = new.call(SCALAR_FORM[node.target], right, left)
    elif node.target is aten.sub.Tensor:
        result = new.call(aten.rsub.Scalar, right, left)
    else:
        return False
    if dtype_of(result) != dtype_of(node):
        graph.graph.erase_node(result)
        return False
    return new.replace_with(result)


def unroll_power(graph: TrainGraph, node: fx.Node) -> bool:
    """x ** 2  ->  x * x;  x ** 3  ->  x * x * x"""
    source, exponent = call_args(node)
    if exponent not in (2, 3) or dtype_of(source) != dtype_of(node):
        return False
    new = Rewriter(graph, node)
    result = new.call(aten.mul.Tensor, source, source)
    return new.replace_with(result if exponent == 2 else new.call(aten.mul.Tensor, result, source))


def sink_expand(graph: TrainGraph, node: fx.Node) -> bool:
    """f(expand(x))  ->  expand(f(x)) for a unary f, so that a binary user can broadcast instead"""
    source = operand(node)
    if not _is_expand(source):
        return False
    new = Rewriter(graph, node)
    inner = new.call(function_of(node), operand(source), *node.args[1:], **node.kwargs)
    return new.replace_with(new.call(expand, inner, list(shape_of(node))))


def broadcast_expand(graph: TrainGraph, node: fx.Node) -> bool:
    """f(expand(x), y)  ->  f(x, y), where the result still has the same shape and type

    A tensor without dimensions does not count in type promotion, an expanded one does.
    """
    for position, argument in enumerate(call_args(node)):
        if not _is_expand(argument):
            continue
        inner = operand(argument)
        others = [a for i, a in enumerate(call_args(node)) if isinstance(a, fx.Node) and i != position]
        if torch.broadcast_shapes(shape_of(inner), *map(shape_of, others)) != shape_of(node):
            continue
        if shape_of(inner) or all(dtype_of(other) == dtype_of(inner) for other in others):
            node.update_arg(position, inner)
            return True
    return False


def _is_expand(value: object) -> bool:
    return isinstance(value, fx.Node) and value.target is expand


def _is_one(value: object) -> bool:
    return isinstance(value, fx.Node) and value.target is aten.full.default and bool(value.args[1] == 1)


def _number(value: object) -> object:
    """The Python number after a full without dimensions, of its type; else the value itself."""
    if isinstance(value, fx.Node) and value.target is aten.full.default and shape_of(value) == ():
        number = call_args(value)[1]
        return float(number) if dtype_of(value).is_floating_point else int(number)
    return value


UNARY = (
    aten.neg.default, aten.exp.default, aten.log.default, aten.sigmoid.default, aten.rsqrt.default,
    aten.reciprocal.default, aten.tanh.default,
)  # fmt: skip
RULES: dict[object, tuple[Rule, ...]] = {
    **{op: (drop_neutral, sink_expand) for op in NEUTRAL},
    **{op: (sink_expand,) for op in UNARY},
    aten.rsub.Scalar: (sink_expand,),
    aten.pow.Tensor_Scalar: (drop_neutral, unroll_power, sink_expand),
    aten.mul.Tensor: (drop_ones, to_scalar, broadcast_expand),
    aten.add.Tensor: (to_scalar, broadcast_expand),
    aten.sub.Tensor: (to_scalar, broadcast_expand),
    aten.div.Tensor: (to_scalar, broadcast_expand),
}
