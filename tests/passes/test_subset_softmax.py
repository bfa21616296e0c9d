from __future__ import annotations

import pytest
import torch
from expecttest import assert_expected_inline
from torch import Tensor, nn
from torch.nn import functional as F

from lowpeak_artifact.batch import BatchSpec
from lowpeak_artifact.errors import DataError, ModelError
from lowpeak_compiler.budget.targets import EXECUTORCH_LOWPEAK
from lowpeak_compiler.frontend.causal_lm import IGNORE_INDEX
from lowpeak_compiler.ir.graph import Batch, Frozen
from lowpeak_compiler.passes.fuse.attention import Attention
from lowpeak_compiler.passes.fuse.fuse_quantized import FuseQuantized
from lowpeak_compiler.passes.loss.chunked_loss import ChunkedLoss
from lowpeak_compiler.passes.loss.mask_logits import MaskLogits
from lowpeak_compiler.passes.loss.subset_softmax import SubsetSoftmax
from lowpeak_compiler.passes.lower.quantize import Quantize
from lowpeak_compiler.passes.normalize import Normalize
from lowpeak_compiler.passes.runner import Runner
from tests.evaluate import GraphBuilder
from tests.models import TOKENS, Function, LanguageModel, joint, language_model, train

aten = torch.ops.aten
SUBSET = torch.tensor([90, 3, 17, 44, 5, 61, 2, 8])


def test_golden():
    build = GraphBuilder()
    weight, bias = build.input("w", 5, 4, role=Frozen("w")), build.input("b", 5, role=Frozen("b"))
    labels = build.input("labels", 3, dtype=torch.int64, role=Batch("labels"))
    logits = build.call(aten.linear.default, build.input("hidden", 3, 4), weight, bias)
    graph = build.finish(build.call(aten.cross_entropy_loss.default, logits, labels, None, 1, -100))
    Runner().run(graph, [SubsetSoftmax(2)])
    assert_expected_inline(
        graph.dump(),
        """\
w: float32[5, 4] = frozen w
b: float32[5] = frozen b
labels: int64[3] = batch labels
hidden: float32[3, 4] = adapter hidden
token_subset: int64[2] = batch token_subset
embedding_default: float32[2, 4] = aten.embedding.default(w, token_subset)
index_select_default: float32[2] = aten.index_select.default(b, 0, token_subset)
linear_default_1: float32[3, 2] = aten.linear.default(hidden, embedding_default, index_select_default)
view_default: float32[3, 2] = aten.view.default(linear_default_1, [-1, 2])
cross_entropy_loss_default_1: float32[] = aten.cross_entropy_loss.default(view_default, labels, None, 1, -100)
return cross_entropy_loss_default_1""",
    )


class SubsetLoss(nn.Module):
    """Cross-entropy over the columns of the subset only, written in torch."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, targets: Tensor) -> Tensor:
        logits = self.model(input_ids=input_ids).logits.flatten(0, 1)[:, SUBSET]
        found = (targets.flatten()[:, None] == SUBSET).float().argmax(1)
        positions = torch.where(targets.flatten() == IGNORE_INDEX, IGNORE_INDEX, found)
        return F.cross_entropy(logits, positions, ignore_index=IGNORE_INDEX)


def model_with_labels_in_the_subset() -> tuple[LanguageModel, dict[str, Tensor]]:
    """The model, and the batch as a user has it."""
    model = language_model("llama", counted=[])
    labels = torch.full((1, TOKENS), IGNORE_INDEX)
    labels[0, 4:9] = SUBSET[torch.tensor([0, 7, 2, 0, 5])]
    return model, {"input_ids": model.batch["input_ids"], "labels": labels}


@pytest.mark.parametrize("after", [[], [FuseQuantized(EXECUTORCH_LOWPEAK.fused)]], ids=["plain", "fused"])
@pytest.mark.parametrize("quantized", [True, False])
@pytest.mark.parametrize("rows", [None, 6])
def test_the_loss_is_that_over_the_subset(quantized, rows, after):
    model, batch = model_with_labels_in_the_subset()
    before = [
        Attention(),
        *([Quantize()] if quantized else []),
        *([MaskLogits(rows)] if rows else []),
        SubsetSoftmax(len(SUBSET)),
        ChunkedLoss(),
    ]
    graph = joint(model.forward_graph(), before, [Normalize(), *after])
    inputs = BatchSpec(True, 1, TOKENS, rows, len(SUBSET)).graph_inputs(batch, SUBSET)
    if rows is None:
        inputs["targets"] = inputs["targets"].view(1, TOKENS)
    targets = torch.full((1, TOKENS), IGNORE_INDEX)
    targets[:, :-1] = batch["labels"][:, 1:]
    reference = LanguageModel(
        SubsetLoss(model.module.model), {"input_ids": batch["input_ids"], "targets": targets}, "model."
    )
    reference.check(graph, inputs)


def test_labels_become_positions_in_the_subset():
    _, batch = model_with_labels_in_the_subset()
    inputs = BatchSpec(True, 1, TOKENS, subset_size=len(SUBSET)).graph_inputs(batch, SUBSET)
    assert inputs["targets"][0, 3:8].tolist() == [0, 7, 2, 0, 5]
    assert inputs["token_subset"] is SUBSET


@pytest.mark.parametrize(
    ("label", "subset", "message"),
    [
        (4, SUBSET, "not in the softmax subset"),
        (3, SUBSET[:4], "needs a softmax subset of 8"),
        (3, None, "subset of 8"),
    ],
)
def test_batches_that_do_not_fit(label, subset, message):
    _, batch = model_with_labels_in_the_subset()
    batch["labels"][0, 5] = label
    with pytest.raises(DataError, match=message):
        BatchSpec(True, 1, TOKENS, subset_size=len(SUBSET)).graph_inputs(batch, subset)


@pytest.mark.parametrize("size", [0, 6, 7])
def test_sizes_that_are_no_subset(size):
    module = Function(
        lambda m, x, y: F.cross_entropy(m.head(m.body(x)), y),
        body=nn.Linear(5, 4),
        head=nn.Linear(4, 6).requires_grad_(False),
    )
    with pytest.raises(ModelError, match="from 1 to 5") as caught:
        train(module, [SubsetSoftmax(size)], x=torch.randn(3, 5), y=torch.tensor([0, 1, 2]))
    assert caught.value.numbers == {"subset_size": size, "vocabulary": 6}


def test_a_model_without_a_head_is_refused():
    module = Function(lambda m, x: m.body(x).pow(2).mean(), body=nn.Linear(3, 2))
    with pytest.raises(ModelError, match="loss='exact'"):
        train(module, [SubsetSoftmax(1)], x=torch.randn(4, 3))
