"""The softmax over a subset of the vocabulary (paper, softmax approximation):
K rows of the head instead of V.

    cross_entropy(linear(hidden, w [V, width]), targets)
    ->  cross_entropy(linear(hidden, w[token_subset]), targets)

`token_subset` (int64 [K]) becomes an input of the batch; targets are positions in it.
lowpeak_runtime/data/subset.py chooses it. This changes the numbers: the gradient is that of the loss over the
subset.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from lowpeak_artifact.errors import ModelError
from lowpeak_compiler.ir.graph import Batch, TrainGraph
from lowpeak_compiler.ir.nodes import shape_of
from lowpeak_compiler.passes.loss.head import find_head
from lowpeak_compiler.passes.properties import FORWARD, HEAD
from lowpeak_compiler.passes.rewrite import Rewriter
from lowpeak_compiler.passes.stage import Pass

aten = torch.ops.aten
dequantize = torch.ops.lowpeak.dequantize.default


@dataclass(frozen=True)
class SubsetSoftmax(Pass):
    """Takes the softmax over `size` tokens of the vocabulary.

    Raises ModelError without a head or when `size` is not below its rows.
    """

    requires = frozenset({FORWARD, HEAD})

    size: int

    def run(self, graph: TrainGraph) -> int:
        head = find_head(graph)
        if head is None:
            raise ModelError(
                "loss='subset' needs a frozen output layer under a mean cross-entropy; use loss='exact'"
            )
        vocabulary = shape_of(head.weight)[0]
        if not 1 <= self.size < vocabulary:
            raise ModelError(
                f"the softmax subset has {self.size} tokens; it must be from 1 to {vocabulary - 1} "
                f"(vocabulary {vocabulary})",
                subset_size=self.size,
                vocabulary=vocabulary,
            )
        value = head.labels.meta["val"].detach()
        ids = graph.add_input(Batch("token_subset"), value.new_empty((self.size,)), "token_subset")
        new = Rewriter(graph, head.linear)
        if head.weight.target is dequantize:
            weight = new.call(torch.ops.lowpeak.dequantize_rows.default, *head.weight.args, ids)
        else:
            weight = new.call(aten.embedding.default, head.weight, ids)
        bias = [new.call(aten.index_select.default, head.bias, 0, ids)] if head.bias else []
        logits = new.call(aten.linear.default, head.hidden, weight, *bias)
        logits = new.call(aten.view.default, logits, [-1, self.size])
        loss = Rewriter(graph, head.loss)
        loss.replace_with(
            loss.call(aten.cross_entropy_loss.default, logits, head.labels, None, 1, head.ignore_index)
        )
        return 1
