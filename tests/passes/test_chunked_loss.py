from __future__ import annotations

import pytest
import torch
from expecttest import assert_expected_inline
from torch import nn
from torch.nn import functional as F

from lowpeak_compiler.ir.graph import Batch, Frozen
from lowpeak_compiler.passes.fuse.attention import Attention
from lowpeak_compiler.passes.loss.chunked_loss import ChunkedLoss
from lowpeak_compiler.passes.lower.quantize import Quantize
from lowpeak_compiler.passes.normalize import Normalize
from lowpeak_compiler.passes.runner import Runner
from tests.evaluate import GraphBuilder
from tests.models import Function, joint, language_model, train

aten = torch.ops.aten


def test_golden():
    build = GraphBuilder()
    hidden = build.input("hidden", 1, 3, 4)
    weight = build.input("w", 5, 4, role=Frozen("w"))
    labels = build.input("labels", 3, dtype=torch.int64, role=Batch("labels"))
    logits = build.call(aten.view.default, build.call(aten.linear.default, hidden, weight), [3, 5])
    graph = build.finish(build.call(aten.cross_entropy_loss.default, logits, labels, None, 1, -100))
    Runner().run(graph, [ChunkedLoss()])
    assert_expected_inline(
        graph.dump(),
        """\
hidden: float32[1, 3, 4] = adapter hidden
w: float32[5, 4] = frozen w
labels: int64[3] = batch labels
view_default_1: float32[3, 4] = aten.view.default(hidden, [-1, 4])
linear_cross_entropy_default: float32[], float32[3, 4] = lowpeak.linear_cross_entropy.default(view_default_1, w, None, labels, -100)
getitem: float32[] = getitem(linear_cross_entropy_default, 0)
return getitem""",
    )


@pytest.mark.parametrize("kind", ["llama", "qwen2"])
def test_parity(kind):
    model = language_model(kind, batch=2, counted=range(3, 9))
    graph = joint(model.forward_graph(), [Attention(), Quantize(), ChunkedLoss()], [Normalize()])
    assert any("linear_cross_entropy" in str(node.target) for node in graph.operations())
    model.check(graph)


def head_of(frozen: bool, **options: object) -> Function:
    """Cross-entropy of a linear head with bias over a trainable layer."""
    torch.manual_seed(0)
    head = nn.Linear(4, 6).requires_grad_(not frozen)
    return Function(
        lambda m, x, y: F.cross_entropy(m.head(torch.tanh(m.body(x))), y, **options),  # type: ignore[arg-type]
        body=nn.Linear(5, 4),
        head=head,
    )


X, Y = torch.randn(7, 5, generator=torch.Generator().manual_seed(3)), torch.tensor([0, 5, -1, 2, 2, 4, -1])


def test_parity_of_a_plain_module_with_a_bias():
    trained, graph = train(head_of(True, ignore_index=-1), [ChunkedLoss()], [Normalize()], x=X, y=Y)
    (node,) = (n for n in graph.operations() if "linear_cross_entropy" in str(n.target))
    assert node.args[2] is not None
    trained.check(graph)


@pytest.mark.parametrize(
    ("frozen", "options"),
    [
        pytest.param(False, {}, id="trainable head"),
        pytest.param(True, {"label_smoothing": 0.1}, id="smoothing"),
        pytest.param(True, {"reduction": "sum"}, id="sum"),
        pytest.param(True, {"weight": torch.rand(6)}, id="class weights"),
    ],
)
def test_other_losses_stay_as_they_are(frozen, options):
    y = Y.clamp(min=0)
    trained, graph = train(head_of(frozen, **options), [ChunkedLoss()], [Normalize()], x=X, y=y)
    assert not any("linear_cross_entropy" in str(node.target) for node in graph.operations())
    trained.check(graph)
