"""Exact cross-entropy without a vocabulary-sized tensor that outlives its chunk.

    cross_entropy(linear(hidden, w), targets)  ->  lowpeak::linear_cross_entropy(hidden, w, targets)[0]

The operator gives the loss and its gradient by `hidden` together. A target without a kernel for it has it
lowered by passes/loss/lower_loss.py to chunks of tokens and tiles of the vocabulary, whose sizes the planner
chooses.
"""

from __future__ import annotations

from dataclasses import dataclass
from operator import getitem

import torch

from lowpeak_compiler.ir.graph import TrainGraph
from lowpeak_compiler.passes.loss.head import Head, find_head, head_or_problem
from lowpeak_compiler.passes.properties import FORWARD, HEAD
from lowpeak_compiler.passes.rewrite import Rewriter
from lowpeak_compiler.passes.stage import Miss, Pass

aten = torch.ops.aten


@dataclass(frozen=True)
class ChunkedLoss(Pass):
    """Makes output matrix and cross-entropy one operator, without logits.

    Applies to a frozen head under a mean cross-entropy; any other loss stays as the model computes it.
    """

    requires = frozenset({FORWARD, HEAD})
    ends = frozenset({HEAD})

    def run(self, graph: TrainGraph) -> int:
        head = find_head(graph)
        if head is None:
            return 0
        rewriter = Rewriter(graph, head.loss)
        width = head.hidden.meta["val"].shape[-1]
        hidden = rewriter.call(aten.view.default, head.hidden, [-1, width])
        pair = rewriter.call(
            torch.ops.lowpeak.linear_cross_entropy.default,
            hidden, head.weight, head.bias, head.labels, head.ignore_index,
        )  # fmt: skip
        rewriter.replace_with(rewriter.call(getitem, pair, 0))
        return 1

    def misses(self, graph: TrainGraph) -> list[Miss]:
        losses = [node for node in graph.operations() if node.target is aten.cross_entropy_loss.default]
        problem = head_or_problem(graph)
        if isinstance(problem, Head):
            return []
        return [Miss.of(node, problem) for node in losses]
