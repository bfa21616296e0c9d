"""RMSNorm with a frozen weight becomes one operator with its own gradient, which needs x and a root a row.

x * rsqrt(mean(x^2) + epsilon) * weight  ->  lowpeak::rms_norm(x, weight, epsilon)[0]
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import getitem

import torch
from torch import fx

from lowpeak_compiler.ir.graph import TrainGraph, operator_name
from lowpeak_compiler.ir.nodes import depends_on_adapter, dtype_of, operands, shape_of
from lowpeak_compiler.passes.properties import FORWARD
from lowpeak_compiler.passes.rewrite import Rewriter
from lowpeak_compiler.passes.stage import Miss, Pass

aten = torch.ops.aten


@dataclass(frozen=True)
class RmsNorm(Pass):
    """Makes an RMSNorm with a frozen weight one operator.

    A norm with a trainable weight stays.
    """

    requires = frozenset({FORWARD})

    def run(self, graph: TrainGraph) -> int:
        return sum(_replace(graph, node) for node in graph.operations() if node.target is aten.mul.Tensor)

    def misses(self, graph: TrainGraph) -> list[Miss]:
        roots = [node for node in graph.operations() if node.target is aten.rsqrt.default]
        return [Miss.of(root, reason) for root in roots if (reason := _problem_of_root(graph, root))]


def _replace(graph: TrainGraph, node: fx.Node) -> bool:
    for normed, weight in _both_ways(node):
        if normed.target is not aten.mul.Tensor:
            continue
        for x, root in _both_ways(normed):
            if root.target is not aten.rsqrt.default or _root_problem(root, x) is not None:
                continue
            if _weight_problem(graph, node, x, weight) is None:
                new = Rewriter(graph, node)
                pair = new.call(torch.ops.lowpeak.rms_norm.default, x, weight, _epsilon(root))
                return new.replace_with(new.call(getitem, pair, 0))
    return False


def _both_ways(product: fx.Node) -> list[tuple[fx.Node, fx.Node]]:
    a, b = product.args
    return [(a, b), (b, a)] if isinstance(a, fx.Node) and isinstance(b, fx.Node) else []


def _epsilon(root: fx.Node) -> float:
    return float(root.args[0].args[1])


def _root_problem(root: fx.Node, x: fx.Node) -> str | None:
    """None if `root` is rsqrt(mean(x^2) + epsilon) over the last axis."""
    total = root.args[0]
    assert isinstance(total, fx.Node)
    if total.target not in (aten.add.Tensor, aten.add.Scalar) or not isinstance(total.args[1], float | int):
        return f"no constant epsilon is added under the root: {operator_name(total)}"
    mean = total.args[0]
    assert isinstance(mean, fx.Node)
    if mean.target is not aten.mean.dim:
        return f"the root is not of a mean: {operator_name(mean)}"
    arguments = operands(mean)
    square = arguments["self"]
    last = len(shape_of(square)) - 1
    if [axis % (last + 1) for axis in arguments["dim"]] != [last]:
        return f"the mean is over the axes {list(arguments['dim'])}, not over the last"
    if not arguments["keepdim"]:
        return "the mean drops its axis"
    squared = square.target is aten.pow.Tensor_Scalar and square.args == (x, 2)
    multiplied = square.target is aten.mul.Tensor and square.args == (x, x)
    if not squared and not multiplied:
        return "the mean is not of the squares of what the root multiplies"
    return None


def _weight_problem(graph: TrainGraph, product: fx.Node, x: fx.Node, weight: fx.Node) -> str | None:
    """None if `weight` is frozen, one float32 number for each column of the product."""
    if shape_of(weight) != shape_of(product)[-1:]:
        return f"the weight is {list(shape_of(weight))}, not [{shape_of(product)[-1]}]"
    for what, node in (("its input", x), ("its weight", weight)):
        if dtype_of(node) != torch.float32:
            return f"{what} is {str(dtype_of(node)).removeprefix('torch.')}, not float32"
    return "its weight is trained" if depends_on_adapter(graph, weight) else None


def _problem_of_root(graph: TrainGraph, root: fx.Node) -> str | None:
    """Why a root that multiplies something is not that of an RMSNorm."""
    products = [user for user in root.users if user.target is aten.mul.Tensor and _both_ways(user)]
    for normed in products:
        x = next(a for a, b in _both_ways(normed) if b is root)
        if problem := _root_problem(root, x):
            return problem
        for product in normed.users:
            if product.target is aten.mul.Tensor and _both_ways(product):
                weight = next(b for a, b in _both_ways(product) if a is normed)
                return _weight_problem(graph, product, x, weight)
        readers = ", ".join(sorted({operator_name(user) for user in normed.users})) or "nothing"
        return f"no weight multiplies what is normalized; it is read by {readers}"
    return None
