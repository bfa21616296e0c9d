from __future__ import annotations

import pytest
import torch
from expecttest import assert_expected_inline
from torch import nn

from lowpeak_artifact.batch import IGNORE_INDEX, BatchSpec
from lowpeak_artifact.errors import DataError, ModelError
from lowpeak_compiler.ir.graph import Batch, Frozen
from lowpeak_compiler.passes.fuse.attention import Attention
from lowpeak_compiler.passes.loss.chunked_loss import ChunkedLoss
from lowpeak_compiler.passes.loss.mask_logits import MaskLogits
from lowpeak_compiler.passes.normalize import Normalize
from lowpeak_compiler.passes.runner import Runner
from tests.evaluate import GraphBuilder
from tests.models import TOKENS, Function, joint, language_model, train

aten = torch.ops.aten


def test_golden():
    build = GraphBuilder()
    hidden = build.input("hidden", 1, 3, 4)
    weight = build.input("w", 5, 4, role=Frozen("w"))
    labels = build.input("labels", 3, dtype=torch.int64, role=Batch("labels"))
    logits = build.call(aten.view.default, build.call(aten.linear.default, hidden, weight), [3, 5])
    graph = build.finish(build.call(aten.cross_entropy_loss.default, logits, labels, None, 1, -100))
    Runner().run(graph, [MaskLogits(2)])
    assert_expected_inline(
        graph.dump(),
        """\
hidden: float32[1, 3, 4] = adapter hidden
w: float32[5, 4] = frozen w
rows: int64[2] = batch rows
labels_picked: int64[2] = batch labels
view_default_1: float32[3, 4] = aten.view.default(hidden, [-1, 4])
index_select_default: float32[2, 4] = aten.index_select.default(view_default_1, 0, rows)
linear_default_1: float32[2, 5] = aten.linear.default(index_select_default, w)
cross_entropy_loss_default_1: float32[] = aten.cross_entropy_loss.default(linear_default_1, labels_picked, None, 1, -100)
return cross_entropy_loss_default_1""",
    )


def unshifted(targets: torch.Tensor) -> torch.Tensor:
    """Labels as Hugging Face has them, whose shift gives `targets`."""
    labels = torch.full_like(targets, IGNORE_INDEX)
    labels[:, 1:] = targets[:, :-1]
    return labels


@pytest.mark.parametrize("exact", [True, False])
def test_three_tokens_in_ten_give_the_loss_of_the_whole_batch(exact):
    model = language_model("llama", batch=2, counted=[2, 3, 7])
    rows = round(0.3 * 2 * TOKENS)
    before = [Attention(), MaskLogits(rows), *([ChunkedLoss()] if exact else [])]
    graph = joint(model.forward_graph(), before, [Normalize()])
    batch = {"input_ids": model.batch["input_ids"], "labels": unshifted(model.batch["targets"])}
    inputs = BatchSpec(True, 2, TOKENS, rows=rows).graph_inputs(batch)
    assert inputs["rows"].shape == inputs["targets"].shape == (rows,)
    assert (inputs["targets"] != IGNORE_INDEX).sum() == 6
    model.check(graph, inputs)


def test_too_many_labels_are_refused_with_the_ratio_that_fits():
    labels = torch.full((1, 10), IGNORE_INDEX)
    labels[0, 4:8] = 1
    batch = {"input_ids": torch.zeros(1, 10, dtype=torch.int64), "labels": labels}
    with pytest.raises(
        DataError, match=r"4 tokens with a label, the artifact has room for 3.*0.40"
    ) as caught:
        BatchSpec(True, 1, 10, rows=3).graph_inputs(batch)
    assert caught.value.numbers == {"trainable_tokens": 4, "rows": 3}


def test_a_model_without_a_head_is_refused():
    module = Function(lambda m, x: m.body(x).pow(2).mean(), body=nn.Linear(3, 2))
    with pytest.raises(ModelError, match=r"no such head"):
        train(module, [MaskLogits(2)], x=torch.randn(4, 3))
