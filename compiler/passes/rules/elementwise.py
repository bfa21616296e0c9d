"""Rules on elementwise arithmetic.

    x * 1, x + 0, x / 1, x ** 1        ->  x
    x ** 2, x ** 3                     ->  x * x, x * x * x
    mul.Tensor(x, 0.5), sub(1, x)      ->  mul.Scalar(x, 0.5), rsub.Scalar(x, 1)
    f(expand(x))                       ->  expand(f(x))
    f(expand(x), y)                    ->  f(x, y)             where y has the full shape
"""

from __future__ import annotations

import torch
from torch import fx

from compiler.graph import TrainGraph
from compiler.passes.rewrite import Rewriter, Rule, shape_of

aten = torch.ops.aten
expand = aten.expand.default

NEUTRAL = {
    aten.mul.Scalar: 1,
    aten.div.Scalar: 1,
    aten.add.Scalar: 0,
    aten.sub.Scalar: 0,
    aten.pow.Tensor_Scalar: 1,
}
SCALAR_FORM = {
    aten.mul.Tensor: aten.mul.Scalar,
    aten.div.Tensor: aten.div.Scalar,
    aten.add.Tensor: aten.add.Scalar,
    aten.sub.Tensor: aten.sub.Scalar,
}
COMMUTES = (aten.mul.Tensor, aten.add.Tensor)


def drop_neutral(graph: TrainGraph, node: fx.Node) -> bool:
    """x * 1, x + 0, x ** 1 ...  ->  x"""
    source = node.args[0]
    if node.args[1] != NEUTRAL[node.target] or source.meta["val"].dtype != node.meta["val"].dtype:  # type: ignore[index]
        return False
    return Rewriter(graph, node).replace_with(source)


def drop_ones(graph: TrainGraph, node: fx.Node) -> bool:
    """x * full(1)  ->  x: the gradient of the loss by itself"""
    for one, other in (node.args, node.args[::-1]):
        if _is_one(one) and isinstance(other, fx.Node) and shape_of(other) == shape_of(node):
            return Rewriter(graph, node).replace_with(other)
    return False


def to_scalar(graph: TrainGraph, node: fx.Node) -> bool:
    """mul.Tensor(x, 0.5)  ->  mul.Scalar(x, 0.5), also with a one-element constant made by full"""
    left, right = (_number(argument) for argument in node.args)
    new = Rewriter(graph, node)
    if isinstance(right, int | float) and isinstance(left, fx.Node):
        return new.replace_with(new.call(SCALAR_FORM[node.target], left, right, **node.kwargs))  # type: ignore[index]
    if isinstance(left, int | float) and isinstance(right, fx.Node) and not node.kwargs:
        if node.target in COMMUTES:
            return new.replace_with(new.call(SCALAR_FORM[node.target], right, left))  # type: ignore[index]
        if node.target is aten.sub.Tensor:
            return new.replace_with(new.call(aten.rsub.Scalar, right, left))
    return False


def unroll_power(graph: TrainGraph, node: fx.Node) -> bool:
    """x ** 2  ->  x * x;  x ** 3  ->  x * x * x"""
    source, exponent = node.args
    if exponent not in (2, 3):
        return False
    new = Rewriter(graph, node)
    result = new.call(aten.mul.Tensor, source, source)
    return new.replace_with(result if exponent == 2 else new.call(aten.mul.Tensor, result, source))


def sink_expand(graph: TrainGraph, node: fx.Node) -> bool:
    """f(expand(x))  ->  expand(f(x)) for a unary f, so that a binary user can broadcast instead"""
    source = node.args[0]
    if not _is_expand(source):
        return False
    new = Rewriter(graph, node)
    inner = new.call(node.target, source.args[0], *node.args[1:], **node.kwargs)
    return new.replace_with(new.call(expand, inner, list(shape_of(node))))


def broadcast_expand(graph: TrainGraph, node: fx.Node) -> bool:
    """f(expand(x), y)  ->  f(x, y), where the shapes still broadcast to the same result"""
    for position, argument in enumerate(node.args):
        if not _is_expand(argument):
            continue
        others = [shape_of(a) for i, a in enumerate(node.args) if isinstance(a, fx.Node) and i != position]
        inner = argument.args[0]
        if torch.broadcast_shapes(shape_of(inner), *others) == shape_of(node):
            node.update_arg(position, inner)
            return True
    return False


def _is_expand(value: object) -> bool:
    return isinstance(value, fx.Node) and value.target is expand


def _is_one(value: object) -> bool:
    return isinstance(value, fx.Node) and value.target is aten.full.default and value.args[1] == 1


def _number(value: object) -> object:
    """The Python number behind a one-element full, else the value itself."""
    if isinstance(value, fx.Node) and value.target is aten.full.default and shape_of(value) == ():
        return value.args[1]
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
