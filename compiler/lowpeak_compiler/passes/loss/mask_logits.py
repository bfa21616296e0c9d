"""Logits only for the tokens that count: their rows are gathered before the head (paper, logits masking).

    cross_entropy(linear(hidden [tokens, width], w), targets [tokens])
    ->  cross_entropy(linear(hidden[rows] [R, width], w), targets [R])

`rows` (int64 [R]) becomes an input of the batch and `targets` shrinks to R: positions of the tokens with a
label and their labels, padded with row 0 and the label ignore_index. Loss and gradients are those of the
whole batch.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from lowpeak_artifact.errors import ModelError
from lowpeak_compiler.ir.graph import Batch, TrainGraph
from lowpeak_compiler.passes.loss.head import find_head, through_shapes
from lowpeak_compiler.passes.properties import FORWARD, HEAD
from lowpeak_compiler.passes.rewrite import Rewriter
from lowpeak_compiler.passes.stage import Pass

aten = torch.ops.aten


@dataclass(frozen=True)
class MaskLogits(Pass):
    """Computes logits for the tokens with a label only, `rows` of them at most.

    Raises ModelError when the loss is not a token loss.
    """

    requires = frozenset({FORWARD, HEAD})

    rows: int

    def run(self, graph: TrainGraph) -> int:
        head = find_head(graph)
        labels = through_shapes(head.labels) if head else None
        if head is None or labels is None or not isinstance(graph.roles.get(labels.name), Batch):
            raise ModelError(
                "trainable_ratio below 1 needs a frozen output layer under a mean cross-entropy whose labels "
                "are an input of the module; this model has no such head, use trainable_ratio=1"
            )
        width = head.hidden.meta["val"].shape[-1]
        name = graph.roles[labels.name].name
        value = labels.meta["val"].detach()
        rows = graph.add_input(Batch("rows"), value.new_empty((self.rows,)), "rows")
        picked = graph.add_input(Batch(name), value.new_empty((self.rows,)), f"{name}_picked")
        rewriter = Rewriter(graph, head.linear)
        flat = rewriter.call(aten.view.default, head.hidden, [-1, width])
        hidden = rewriter.call(aten.index_select.default, flat, 0, rows)
        logits = rewriter.call(aten.linear.default, hidden, *head.linear.args[1:])
        loss = Rewriter(graph, head.loss)
        loss.replace_with(
            loss.call(aten.cross_entropy_loss.default, logits, picked, None, 1, head.ignore_index)
        )
        graph.graph.eliminate_dead_code()
        graph.graph.erase_node(labels)
        del graph.roles[labels.name]
        return 1
