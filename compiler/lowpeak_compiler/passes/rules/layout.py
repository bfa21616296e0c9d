"""Rules on the order and shape of elements. A permute is a copy on every target, a view never is.

permute(permute(x))          ->  permute(x)               permute(x), order kept   ->  view(x)
view(view(x))                ->  view(x)                  view(x), same shape      ->  x
unsqueeze, squeeze, reshape, flatten, transpose, t        ->  view or permute
getitem(split(x), i), getitem(unbind(x), i)               ->  slice(x), select(x)
mm(x, permute(w))            ->  linear(x, w)
mm(permute(a), b)            ->  permute(mm(permute(b), a))    where that copies fewer bytes
"""

from __future__ import annotations

import math
from operator import getitem

import torch
from torch import fx

from lowpeak_compiler.ir.graph import TrainGraph
from lowpeak_compiler.ir.nodes import call_args, operand, operands, shape_of
from lowpeak_compiler.passes.rewrite import Rewriter, Rule

aten = torch.ops.aten
permute = aten.permute.default
view = aten.view.default
PIECES = (aten.split.Tensor, aten.split_with_sizes.default, aten.unbind.int)


def order_of(node: fx.Node) -> list[int]:
    """Of a permute: axes of its operand, none negative."""
    rank = len(shape_of(node))
    return [axis % rank for axis in call_args(node)[1]]


def to_view(graph: TrainGraph, node: fx.Node) -> bool:
    """unsqueeze / squeeze / reshape / _unsafe_view ... (x)  ->  view(x, shape)"""
    new = Rewriter(graph, node)
    return new.replace_with(new.call(view, operand(node), list(shape_of(node))))


def to_permute(graph: TrainGraph, node: fx.Node) -> bool:
    """transpose(x, i, j), t(x)  ->  permute(x, order)"""
    source, *axes = operands(node).values()
    order = list(range(len(shape_of(source))))
    if len(order) > 1:
        i, j = axes or (0, 1)
        order[i], order[j] = order[j], order[i]
    return _permute(Rewriter(graph, node), source, order)


def fold_view(graph: TrainGraph, node: fx.Node) -> bool:
    """view(view(x))  ->  view(x);  view(x) of the same shape  ->  x"""
    source = operand(node)
    if shape_of(source) == shape_of(node):
        return Rewriter(graph, node).replace_with(source)
    if source.target is view:
        new = Rewriter(graph, node)
        return new.replace_with(new.call(view, operand(source), list(shape_of(node))))
    return False


def fold_permute(graph: TrainGraph, node: fx.Node) -> bool:
    """permute(permute(x))  ->  permute(x);  a permute that moves only axes of size 1  ->  view(x)"""
    source, order = operand(node), order_of(node)
    if source.target is not permute and not _keeps_order(source, order):
        return False
    return _permute(Rewriter(graph, node), source, order)


def _permute(new: Rewriter, source: fx.Node, order: list[int]) -> bool:
    """In one step, because a rule that sees the outer of two permutes takes it for the whole transpose."""
    if source.target is permute:
        inner = order_of(source)
        source, order = operand(source), [inner[axis] for axis in order]
    if _keeps_order(source, order):
        return new.replace_with(new.call(view, source, list(shape_of(new.node))))
    return new.replace_with(new.call(permute, source, order))


def _keeps_order(source: fx.Node, order: list[int]) -> bool:
    moved = [axis for axis in order if shape_of(source)[axis] != 1]
    return moved == sorted(moved)


def piece_to_slice(graph: TrainGraph, node: fx.Node) -> bool:
    """getitem(split(x, sizes), i)  ->  slice(x);  getitem(unbind(x), i)  ->  select(x, i)"""
    pieces, index = call_args(node)
    if pieces.target not in PIECES:
        return False
    arguments = operands(pieces)
    source, axis = arguments["self"], arguments["dim"] % len(shape_of(arguments["self"]))
    new = Rewriter(graph, node)
    if pieces.target is aten.unbind.int:
        return new.replace_with(new.call(aten.select.int, source, axis, index))
    sizes = [piece.shape[axis] for piece in pieces.meta["val"]]
    start = sum(sizes[:index])
    return new.replace_with(new.call(aten.slice.Tensor, source, axis, start, start + sizes[index]))


def mm_to_linear(graph: TrainGraph, node: fx.Node) -> bool:
    """mm(x, permute(w))  ->  linear(x, w)"""
    left, right = call_args(node)
    if not _is_transpose(right):
        return False
    new = Rewriter(graph, node)
    return new.replace_with(new.call(aten.linear.default, left, right.args[0]))


def addmm_to_linear(graph: TrainGraph, node: fx.Node) -> bool:
    """addmm(bias, x, permute(w))  ->  linear(x, w, bias);  addmm(bias, x, w)  ->  mm(x, w) + bias"""
    bias, left, right = call_args(node)
    if any(factor != 1 for factor in node.kwargs.values()):
        return False
    new = Rewriter(graph, node)
    if _is_transpose(right) and shape_of(bias) == shape_of(node)[1:]:
        return new.replace_with(new.call(aten.linear.default, left, right.args[0], bias))
    return new.replace_with(new.call(aten.add.Tensor, new.call(aten.mm.default, left, right), bias))


def transpose_the_smaller(graph: TrainGraph, node: fx.Node) -> bool:
    """mm(permute(a), b)  ->  permute(mm(permute(b), a)), when b and the result are smaller than a"""
    left, right = call_args(node)
    if not _is_transpose(left):
        return False
    source = left.args[0]
    if math.prod(shape_of(right)) + math.prod(shape_of(node)) >= math.prod(shape_of(source)):
        return False
    new = Rewriter(graph, node)
    swapped = new.call(aten.mm.default, new.call(permute, right, [1, 0]), source)
    return new.replace_with(new.call(permute, swapped, [1, 0]))


def _is_transpose(node: fx.Node) -> bool:
    return node.target is permute and order_of(node) == [1, 0]


RULES: dict[object, tuple[Rule, ...]] = {
    aten.unsqueeze.default: (to_view,),
    aten.squeeze.dim: (to_view,),
    aten.squeeze.dims: (to_view,),
    aten.squeeze.default: (to_view,),
    aten.reshape.default: (to_view,),
    aten.flatten.using_ints: (to_view,),
    aten._unsafe_view.default: (to_view,),
    aten.transpose.int: (to_permute,),
    aten.t.default: (to_permute,),
    getitem: (piece_to_slice,),
    view: (fold_view,),
    permute: (fold_permute,),
    aten.mm.default: (mm_to_linear, transpose_the_smaller),
    aten.addmm.default: (addmm_to_linear,),
}
