"""Rules on the order and shape of elements. A permute is a copy on every target, a view never is.

    permute(permute(x))          ->  permute(x)               permute(x), order kept   ->  view(x)
    view(view(x))                ->  view(x)                  view(x), same shape      ->  x
    unsqueeze, squeeze, reshape, flatten, transpose, t        ->  view or permute
    mm(x, permute(w))            ->  linear(x, w)
    mm(permute(a), b)            ->  permute(mm(permute(b), a))    where that copies fewer bytes
"""

from __future__ import annotations

import math

import torch
from torch import fx

from compiler.graph import TrainGraph
from compiler.passes.rewrite import Rewriter, Rule, shape_of

aten = torch.ops.aten
permute = aten.permute.default
view = aten.view.default


def to_view(graph: TrainGraph, node: fx.Node) -> bool:
    """unsqueeze / squeeze / reshape / _unsafe_view ... (x)  ->  view(x, shape)"""
    new = Rewriter(graph, node)
    return new.replace_with(new.call(view, node.args[0], list(shape_of(node))))


def to_permute(graph: TrainGraph, node: fx.Node) -> bool:
    """transpose(x, i, j), t(x)  ->  permute(x, order)"""
    source = node.args[0]
    order = list(range(len(shape_of(source))))
    i, j = (node.args[1], node.args[2]) if node.target is aten.transpose.int else (0, -1)
    order[i], order[j] = order[j], order[i]
    new = Rewriter(graph, node)
    return new.replace_with(new.call(permute, source, order))


def fold_view(graph: TrainGraph, node: fx.Node) -> bool:
    """view(view(x))  ->  view(x);  view(x) of the same shape  ->  x"""
    source = node.args[0]
    if shape_of(source) == shape_of(node):
        return Rewriter(graph, node).replace_with(source)
    if source.target is view:
        new = Rewriter(graph, node)
        return new.replace_with(new.call(view, source.args[0], list(shape_of(node))))
    return False


def fold_permute(graph: TrainGraph, node: fx.Node) -> bool:
    """permute(permute(x))  ->  permute(x);  a permute that moves only axes of size 1  ->  view(x)"""
    source, order = node.args[0], [axis % len(shape_of(node)) for axis in node.args[1]]
    new = Rewriter(graph, node)
    if source.target is permute:
        inner = source.args[1]
        source, order = source.args[0], [inner[axis] for axis in order]
    moved = [axis for axis in order if shape_of(source)[axis] != 1]
    if moved == sorted(moved):
        return new.replace_with(new.call(view, source, list(shape_of(node))))
    if source is node.args[0]:
        return False
    return new.replace_with(new.call(permute, source, order))


def mm_to_linear(graph: TrainGraph, node: fx.Node) -> bool:
    """mm(x, permute(w))  ->  linear(x, w)"""
    left, right = node.args
    if not _is_transpose(right):
        return False
    new = Rewriter(graph, node)
    return new.replace_with(new.call(aten.linear.default, left, right.args[0]))


def addmm_to_linear(graph: TrainGraph, node: fx.Node) -> bool:
    """addmm(bias, x, permute(w))  ->  linear(x, w, bias);  addmm(bias, x, w)  ->  mm(x, w) + bias"""
    bias, left, right = node.args
    if node.kwargs:
        return False
    new = Rewriter(graph, node)
    if _is_transpose(right) and len(shape_of(bias)) == 1:
        return new.replace_with(new.call(aten.linear.default, left, right.args[0], bias))
    return new.replace_with(new.call(aten.add.Tensor, new.call(aten.mm.default, left, right), bias))


def transpose_the_smaller(graph: TrainGraph, node: fx.Node) -> bool:
    """mm(permute(a), b)  ->  permute(mm(permute(b), a)), when b and the result are smaller than a"""
    left, right = node.args
    if not _is_transpose(left):
        return False
    source = left.args[0]
    if math.prod(shape_of(right)) + math.prod(shape_of(node)) >= math.prod(shape_of(source)):
        return False
    new = Rewriter(graph, node)
    swapped = new.call(aten.mm.default, new.call(permute, right, [1, 0]), source)
    return new.replace_with(new.call(permute, swapped, [1, 0]))


def _is_transpose(node: fx.Node) -> bool:
    return node.target is permute and list(node.args[1]) == [1, 0]


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
    view: (fold_view,),
    permute: (fold_permute,),
    aten.mm.default: (mm_to_linear, transpose_the_smaller),
    aten.addmm.default: (addmm_to_linear,),
}
