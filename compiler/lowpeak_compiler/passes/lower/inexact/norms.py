"""Norms and variances whose kernels take E[x^2] - E[x]^2, which loses every digit where the mean is large
against the spread, and may be negative.

layer_norm(x), group_norm(x), batch_norm of the batch  ->  c * rsqrt(mean(c * c) + eps) * weight + bias
var(x, correction)                                     ->  sum(c * c) / (n - correction)
var_mean(x, correction)                                ->  var(x, correction), mean(x)

with c = d - mean(d), d = x - mean(x): a sum of many float32 terms has an error of its own, which is as large
as the spread where the mean is 1e6 times that. The second mean takes it off.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from operator import getitem

import torch
from torch import fx

from lowpeak_compiler.ir.graph import TrainGraph
from lowpeak_compiler.ir.nodes import call_args, operands, shape_of
from lowpeak_compiler.passes.lower.inexact.replaces import replaces
from lowpeak_compiler.passes.rewrite import Rewriter

aten = torch.ops.aten


@replaces(aten.native_layer_norm.default)
def layer_norm(graph: TrainGraph, node: fx.Node) -> bool:
    arguments, new = operands(node), Rewriter(graph, node)
    source = arguments["input"]
    axes = list(range(-len(arguments["normalized_shape"]), 0))
    normal, mean, scale = _normalized(new, source, axes, arguments["eps"])
    return _replace_outputs(new, (_affine(new, normal, arguments["weight"], arguments["bias"]), mean, scale))


@replaces(aten.native_group_norm.default)
def group_norm(graph: TrainGraph, node: fx.Node) -> bool:
    """Groups of channels: the rows of view(x, [batch, groups, -1])."""
    arguments, new = operands(node), Rewriter(graph, node)
    shape, (batch, groups) = shape_of(arguments["input"]), (arguments["N"], arguments["group"])
    rows = new.call(
        aten.view.default, arguments["input"], [batch, groups, math.prod(shape) // (batch * groups)]
    )
    normal, mean, scale = _normalized(new, rows, [-1], arguments["eps"])
    weight, bias = (_by_channel(new, arguments[name], len(shape)) for name in ("weight", "bias"))
    result = _affine(new, new.call(aten.view.default, normal, list(shape)), weight, bias)
    return _replace_outputs(
        new, (result, *(new.call(aten.view.default, value, [batch, groups]) for value in (mean, scale)))
    )


@replaces(aten._native_batch_norm_legit.no_stats, aten.native_batch_norm.default)
def batch_norm(graph: TrainGraph, node: fx.Node) -> bool:
    """Without running statistics: over every axis but the channels'."""
    arguments, new = operands(node), Rewriter(graph, node)
    if arguments.get("running_mean") is not None or not arguments["training"]:
        return False
    source = arguments["input"]
    rank, channels = len(shape_of(source)), shape_of(source)[1]
    axes = [axis for axis in range(rank) if axis != 1]
    normal, mean, scale = _normalized(new, source, axes, arguments["eps"])
    weight, bias = (_by_channel(new, arguments[name], rank) for name in ("weight", "bias"))
    statistics = (new.call(aten.view.default, value, [channels]) for value in (mean, scale))
    return _replace_outputs(new, (_affine(new, normal, weight, bias), *statistics))


@replaces(aten.var.correction, aten.var.dim)
def var(graph: TrainGraph, node: fx.Node) -> bool:
    new = Rewriter(graph, node)
    return new.replace_with(_variance(new)[0])


@replaces(aten.var_mean.correction)
def var_mean(graph: TrainGraph, node: fx.Node) -> bool:
    new = Rewriter(graph, node)
    return _replace_outputs(new, _variance(new))


def _variance(new: Rewriter) -> tuple[fx.Node, fx.Node]:
    """Of a var or var_mean: variance and mean."""
    arguments = operands(new.node)
    shape, correction = (
        shape_of(arguments["self"]),
        arguments.get("correction", int(arguments.get("unbiased", True))),
    )
    axes = [axis % len(shape) for axis in arguments["dim"] or range(len(shape))]
    centred, mean = _centred(new, arguments["self"], axes)
    squares = new.call(aten.sum.dim_IntList, new.call(aten.mul.Tensor, centred, centred), axes, True)
    free = max(0, math.prod(shape[axis] for axis in axes) - (1 if correction is None else correction))
    results = new.call(aten.div.Scalar, squares, free), mean
    if arguments["keepdim"]:
        return results
    left = [size for axis, size in enumerate(shape) if axis not in axes]
    variance, mean = (new.call(aten.view.default, value, left) for value in results)
    return variance, mean


def _centred(new: Rewriter, source: fx.Node, axes: Sequence[int]) -> tuple[fx.Node, fx.Node]:
    """The values less their mean, and the mean, the axes kept."""
    rough = new.call(aten.mean.dim, source, axes, True)
    shifted = new.call(aten.sub.Tensor, source, rough)
    rest = new.call(aten.mean.dim, shifted, axes, True)
    return new.call(aten.sub.Tensor, shifted, rest), new.call(aten.add.Tensor, rough, rest)


def _normalized(
    new: Rewriter, source: fx.Node, axes: Sequence[int], eps: float
) -> tuple[fx.Node, fx.Node, fx.Node]:
    """Values of mean 0 and variance 1, the mean and one over the standard deviation, the axes kept."""
    centred, mean = _centred(new, source, axes)
    variance = new.call(aten.mean.dim, new.call(aten.mul.Tensor, centred, centred), axes, True)
    scale = new.call(aten.rsqrt.default, new.call(aten.add.Scalar, variance, eps))
    return new.call(aten.mul.Tensor, centred, scale), mean, scale


def _by_channel(new: Rewriter, values: fx.Node | None, rank: int) -> fx.Node | None:
    """In the shape that multiplies the channels, axis 1 of `rank`."""
    if values is None:
        return None
    return new.call(aten.view.default, values, [shape_of(values)[0], *[1] * (rank - 2)])


def _affine(new: Rewriter, value: fx.Node, weight: fx.Node | None, bias: fx.Node | None) -> fx.Node:
    if weight is not None:
        value = new.call(aten.mul.Tensor, value, weight)
    return value if bias is None else new.call(aten.add.Tensor, value, bias)


def _replace_outputs(new: Rewriter, results: Sequence[fx.Node]) -> bool:
    for user in list(new.node.users):
        assert user.target is getitem
        user.replace_all_uses_with(results[call_args(user)[1]])
        new.graph.graph.erase_node(user)
    new.graph.graph.erase_node(new.node)
    return True
