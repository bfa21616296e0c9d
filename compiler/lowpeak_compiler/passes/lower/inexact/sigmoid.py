"""sigmoid(x)  ->  1 / (exp(-x) + 1)

Relative errors are those of exp, for every x; far below zero the result is 0, as it should be.
"""

from __future__ import annotations

import torch
from torch import fx

from lowpeak_compiler.ir.graph import TrainGraph
from lowpeak_compiler.passes.lower.inexact.replaces import replaces
from lowpeak_compiler.passes.rewrite import Rewriter

aten = torch.ops.aten


@replaces(aten.sigmoid.default)
def sigmoid_by_exp(graph: TrainGraph, node: fx.Node) -> bool:
    new = Rewriter(graph, node)
    exponential = new.call(aten.exp.default, new.call(aten.neg.default, node.args[0]))
    return new.replace_with(new.call(aten.reciprocal.default, new.call(aten.add.Scalar, exponential, 1)))
