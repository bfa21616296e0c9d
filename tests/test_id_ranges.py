from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lowpeak_artifact.batch_input import Ids
from lowpeak_compiler.frontend.capture import capture
from lowpeak_compiler.ir.graph import Batch, TrainGraph
from lowpeak_compiler.ir.id_ranges import mark_id_ranges
from lowpeak_compiler.passes.loss.mask_logits import MaskLogits
from lowpeak_compiler.passes.loss.subset_softmax import SubsetSoftmax
from lowpeak_compiler.passes.lower.quantize import Quantize
from lowpeak_compiler.passes.runner import Runner
from tests.models import Function, language_model

ROWS, CLASSES, TOKENS = 7, 5, 4
IDS = torch.zeros(2, TOKENS, dtype=torch.int64)


def ranges(graph: TrainGraph) -> dict[str, Ids | None]:
    mark_id_ranges(graph)
    return {role.name: role.ids for _, role in graph.inputs() if isinstance(role, Batch)}


def of_module(loss: Callable[..., Tensor], **batch: Tensor) -> dict[str, Ids | None]:
    parts = {"table": nn.Embedding(ROWS, 8), "head": nn.Linear(8, CLASSES)}
    shapes = {name: (tuple(tensor.shape), tensor.dtype) for name, tensor in batch.items()}
    return ranges(capture(Function(loss, **parts), shapes))


def scores(m: Function, ids: Tensor) -> Tensor:
    return m.head(m.table(ids))


@pytest.mark.parametrize(
    ("loss", "expected"),
    [
        (lambda m, ids, y: F.cross_entropy(scores(m, ids).flatten(0, 1), y.flatten()), Ids(CLASSES, -100)),
        (
            lambda m, ids, y: F.cross_entropy(scores(m, ids).transpose(1, 2), y, ignore_index=3),
            Ids(CLASSES, 3),
        ),
        (
            lambda m, ids, y: F.cross_entropy(
                scores(m, ids).flatten(0, 1), F.pad(y, (0, 1), value=-100)[:, 1:].reshape(-1)
            ),
            Ids(CLASSES, -100),
        ),
        (
            lambda m, ids, y: F.nll_loss(F.log_softmax(scores(m, ids), -1).flatten(0, 1), y.view(-1)),
            Ids(CLASSES, -100),
        ),
        (lambda m, ids, y: scores(m, ids).gather(-1, y[..., None]).mean(), Ids(CLASSES)),
        (lambda m, ids, y: m.table.weight.index_select(0, y.flatten()).mean(), Ids(ROWS)),
        (lambda m, ids, y: (scores(m, ids).mean() + m.table.weight[y]).mean(), Ids(ROWS, least=-ROWS)),
        (lambda m, ids, y: F.cross_entropy(m.table(y).flatten(0, 1), y.flatten()), Ids(ROWS)),
        (lambda m, ids, y: (scores(m, ids).mean(-1) - y).square().mean(), None),
    ],
    ids=["head", "ignore", "shifted", "nll", "gather", "select", "python", "twice", "numbers"],
)
def test_what_an_operator_indexes_with(loss: Callable[..., Tensor], expected: Ids | None) -> None:
    actual = of_module(loss, ids=IDS, y=IDS)
    assert actual["y"] == expected
    if "scores" in loss.__code__.co_names:
        assert actual["ids"] == Ids(ROWS)


def test_floats_have_no_range() -> None:
    found = of_module(
        lambda m, ids, y: F.cross_entropy(scores(m, ids).flatten(0, 1), y), ids=IDS, y=torch.zeros(8, CLASSES)
    )
    assert found == {"ids": Ids(ROWS), "y": None}


def test_embedding_and_head_of_a_language_model() -> None:
    """After the passes: the embedding quantized, rows picked, the softmax over a subset."""
    forward = language_model(vocab_size=64).forward_graph()
    assert ranges(forward) == {"input_ids": Ids(64), "targets": Ids(64, -100)}
    Runner().run(forward, [Quantize(4, 32), MaskLogits(6), SubsetSoftmax(20)])
    assert ranges(forward) == {
        "input_ids": Ids(64),
        "rows": Ids(12),
        "targets": Ids(20, -100),
        "token_subset": Ids(64),
    }
