"""Arithmetic that a kernel does otherwise than torch, for some operands.

remainder(i, j) of integers     ->  fmod(fmod(i, j) + j, j)    the kernel's sign is the dividend's, as C's
add(i, 0.5) of integers         ->  add(to_float(i), 0.5)      fails at run time
sum(i, one axis) of int64       ->  sum(i, two axes)           terms are rounded to float32
div(x, 1e-40)                   ->  div(div(x, 1e-20), 1e-20)  multiplies by one over it, which is infinite
floor(x / y) of floats          ->  round(floor(x / y))        gives 2.9999998, and infinity for 0 / 0
addmm(c, a, b, beta=0)          ->  mm(a, b)                   NaN and infinity of c come through
addmm(c, a, b, alpha=0)         ->  c                          NaN and infinity of a and b come through
constant_pad_nd(x, negative)    ->  constant_pad_nd(slice(x))  fails at run time
"""

from __future__ import annotations

import torch
from torch import fx

from lowpeak_compiler.ir.graph import TrainGraph
from lowpeak_compiler.ir.nodes import dtype_of, operands, shape_of
from lowpeak_compiler.passes.lower.inexact.replaces import replaces
from lowpeak_compiler.passes.rewrite import Rewriter

aten = torch.ops.aten
LEAST_DIVISOR = 1 / torch.finfo(torch.float32).max
EXACT_FACTOR = 2.0**64


@replaces(aten.remainder.Tensor, aten.remainder.Scalar)
def integer_remainder(graph: TrainGraph, node: fx.Node) -> bool:
    if dtype_of(node).is_floating_point:
        return False
    source, divisor = operands(node).values()
    tensor = isinstance(divisor, fx.Node)
    new = Rewriter(graph, node)
    fmod = aten.fmod.Tensor if tensor else aten.fmod.Scalar
    first = new.call(fmod, source, divisor)
    moved = new.call(aten.add.Tensor if tensor else aten.add.Scalar, first, divisor)
    return new.replace_with(new.call(fmod, moved, divisor))


@replaces(aten.add.Scalar)
def float_added_to_integers(graph: TrainGraph, node: fx.Node) -> bool:
    source, *numbers = operands(node).values()
    if dtype_of(source) == dtype_of(node):
        return False
    new = Rewriter(graph, node)
    source = new.call(aten._to_copy.default, source, dtype=dtype_of(node))
    return new.replace_with(new.call(aten.add.Scalar, source, *numbers))


@replaces(aten.sum.dim_IntList)
def integer_sum(graph: TrainGraph, node: fx.Node) -> bool:
    """A second axis, of length 1, makes the kernel take its other way."""
    arguments = operands(node)
    source, axes, shape = arguments["self"], arguments["dim"], shape_of(arguments["self"])
    if dtype_of(source) != torch.int64 or len(axes or shape) != 1:
        return False
    axis = axes[0] % len(shape) if axes else 0
    new = Rewriter(graph, node)
    source = new.call(aten.view.default, source, [*shape[: axis + 1], 1, *shape[axis + 1 :]])
    total = new.call(aten.sum.dim_IntList, source, [axis, axis + 1], dtype=arguments["dtype"])
    return new.replace_with(new.call(aten.view.default, total, list(shape_of(node))))


@replaces(aten.div.Scalar)
def tiny_divisor(graph: TrainGraph, node: fx.Node) -> bool:
    source, divisor = operands(node).values()
    if not 0 < abs(divisor) < LEAST_DIVISOR:
        return False
    new = Rewriter(graph, node)
    part = new.call(aten.div.Scalar, source, divisor * EXACT_FACTOR)
    return new.replace_with(new.call(aten.div.Scalar, part, 1 / EXACT_FACTOR))


@replaces(aten.div.Tensor_mode, aten.div.Scalar_mode, aten.floor_divide.default)
def float_floor_division(graph: TrainGraph, node: fx.Node) -> bool:
    source, divisor, mode = (*operands(node).values(), "floor")[:3]
    rounded = any(user.target is aten.round.default for user in node.users)
    if mode != "floor" or rounded or not dtype_of(node).is_floating_point:
        return False
    new, tensor = Rewriter(graph, node), isinstance(divisor, fx.Node)
    divide = aten.div.Tensor_mode if tensor else aten.div.Scalar_mode
    whole = new.call(aten.round.default, new.call(divide, source, divisor, rounding_mode="floor"))
    if tensor:
        by_zero = new.call(aten.eq.Scalar, divisor, 0)
        whole = new.call(aten.where.self, by_zero, new.call(aten.div.Tensor, source, divisor), whole)
    return new.replace_with(whole)


@replaces(aten.addmm.default)
def addmm_without_a_term(graph: TrainGraph, node: fx.Node) -> bool:
    arguments, new = operands(node), Rewriter(graph, node)
    if arguments["beta"] == 0:
        product = new.call(aten.mm.default, arguments["mat1"], arguments["mat2"])
        scaled = (
            product if arguments["alpha"] == 1 else new.call(aten.mul.Scalar, product, arguments["alpha"])
        )
        return new.replace_with(scaled)
    if arguments["alpha"] == 0:
        added = new.call(aten.mul.Scalar, arguments["self"], arguments["beta"])
        return new.replace_with(new.call(aten.expand.default, added, list(shape_of(node))))
    return False


@replaces(aten.constant_pad_nd.default)
def negative_pad(graph: TrainGraph, node: fx.Node) -> bool:
    """Pads run from the last axis, pairs of before and after."""
    arguments, new = operands(node), Rewriter(graph, node)
    source, pads, rank = arguments["self"], arguments["pad"], len(shape_of(arguments["self"]))
    if min(pads, default=0) >= 0:
        return False
    for number in range(len(pads) // 2):
        before, after = (max(0, -pad) for pad in pads[2 * number : 2 * number + 2])
        axis = rank - 1 - number
        if before or after:
            end = shape_of(source)[axis] - after
            source = new.call(aten.slice.Tensor, source, axis, before, end)
    left = [max(0, pad) for pad in pads]
    return new.replace_with(new.call(aten.constant_pad_nd.default, source, left, arguments["value"]))
