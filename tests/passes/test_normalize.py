from __future__ import annotations

import pytest
import torch
from expecttest import assert_expected_inline
from torch import nn
from torch.nn import functional as F

from lowpeak_compiler.ir.graph import Batch
from lowpeak_compiler.passes.fuse.attention import Attention
from lowpeak_compiler.passes.normalize import Normalize, drop_no_ops
from lowpeak_compiler.passes.runner import Runner
from lowpeak_export.executorch.kernels import check_operators
from tests.evaluate import GraphBuilder
from tests.models import Function, joint, language_model, train
from tests.passes.rules.apply import operators

aten = torch.ops.aten
X = torch.randn(2, 4, 5, generator=torch.Generator().manual_seed(3))
IDS = torch.tensor([[0, 3, 3, 1], [2, 0, 4, 1]])


def test_golden():
    build = GraphBuilder()
    x = build.input("x", 3, 4, role=Batch("x"))
    w = build.input("w", 2, 4)
    build.call(aten._assert_tensor_metadata.default, x)
    out = build.call(aten.mm.default, build.call(aten.clone.default, x), build.call(aten.t.default, w))
    shifted = build.call(aten.sub.Tensor, out, build.call(aten.full.default, [], 1.0))
    one = build.call(aten.mul.Tensor, shifted, build.call(aten.full.default, [3, 2], 1.0))
    loss = build.call(aten.sum.default, build.call(aten.pow.Tensor_Scalar, one, 2))
    graph = build.finish(build.call(aten.alias.default, loss))
    Runner().run(graph, [Normalize()])
    assert_expected_inline(
        graph.dump(),
        """\
x: float32[3, 4] = batch x
w: float32[2, 4] = adapter w
linear_default: float32[3, 2] = aten.linear.default(x, w)
sub_scalar: float32[3, 2] = aten.sub.Scalar(linear_default, 1.0)
mul_tensor_1: float32[3, 2] = aten.mul.Tensor(sub_scalar, sub_scalar)
sum_default: float32[] = aten.sum.default(mul_tensor_1)
return sum_default""",
    )


@pytest.mark.parametrize(
    ("target", "args", "expected"),
    [
        (aten.clone.default, (), []),
        (aten._to_copy.default, (), []),
        (aten.to.dtype, (torch.float32,), []),
        (aten.to.dtype, (torch.float64,), ["to.dtype"]),
        (aten.dropout.default, (0.5, False), []),
        (aten.dropout.default, (0.5, True), ["dropout"]),
        (aten.detach.default, (), ["detach"]),
    ],
)
def test_identities_of_the_forward(target, args, expected):
    build = GraphBuilder()
    graph = build.finish(build.call(target, build.input("x", 3), *args))
    drop_no_ops(graph)
    assert operators(graph) == expected


def test_every_value_is_contiguous():
    build = GraphBuilder()
    x = build.input("x", 3, 4)
    graph = build.finish(
        build.call(aten.sum.default, build.call(aten.exp.default, build.call(aten.t.default, x)))
    )
    graph.operations()[0].meta["val"] = x.meta["val"].t()
    Normalize().run(graph)
    assert all(node.meta["val"].is_contiguous() for node in graph.operations())


def mlp(head: int, norm: bool = True) -> dict[str, nn.Module]:
    torch.manual_seed(0)
    middle = nn.LayerNorm(8) if norm else nn.Identity()
    return {"a": nn.Linear(5, 8), "norm": middle, "b": nn.Linear(8, head)}


def body(m: nn.Module, x: torch.Tensor) -> torch.Tensor:
    return m.b(m.norm(F.gelu(m.a(x))))  # type: ignore[operator,union-attr]


LOSSES = {
    "layer norm, gelu, cross entropy": (
        lambda m, x, y: F.cross_entropy(body(m, x).flatten(0, 1), y.flatten()), mlp(6),
    ),
    "tanh gelu, smoothed cross entropy": (
        lambda m, x, y: F.cross_entropy(
            m.b(F.gelu(m.a(x), approximate="tanh")).flatten(0, 1), y.flatten(), label_smoothing=0.1
        ), mlp(6, norm=False),
    ),
    "tanh, mean squared error": (lambda m, x, y: F.mse_loss(torch.tanh(body(m, x)), x), mlp(5)),
    "softmax, absolute error": (
        lambda m, x, y: F.l1_loss(torch.softmax(body(m, x), -1).mean(1), x[:, 0, :]), mlp(5),
    ),
    "relu, binary cross entropy": (
        lambda m, x, y: F.binary_cross_entropy_with_logits(F.relu(body(m, x)), (x > 0).float()), mlp(5),
    ),
    "several losses": (
        lambda m, x, y: F.mse_loss(body(m, x), x) + 0.1 * m.a.weight.pow(2).sum() + body(m, x).mean(), mlp(5),
    ),
    "split and chunks": (
        lambda m, x, y: sum((p * (i + 1)).mean() for i, p in enumerate(body(m, x).split(2, -1))), mlp(6),
    ),
    "rotation": (
        lambda m, x, y: (torch.cat((-body(m, x)[..., 3:], body(m, x)[..., :3]), -1) * torch.arange(6)).sum(),
        mlp(6),
    ),
    "embedding with padding": (
        lambda m, x, y: F.mse_loss(m.b(m.e(y)), x),
        {"e": nn.Embedding(6, 5, padding_idx=0), "b": nn.Linear(5, 5)},
    ),
    "detached factor": (lambda m, x, y: (body(m, x).detach() * body(m, x)).sum(), mlp(5)),
    "in place": (lambda m, x, y: m.b(m.norm(m.a(x).contiguous().add_(1).mul_(2))).pow(2).sum(), mlp(5)),
    "type changes": (lambda m, x, y: (body(m, x).double() * y[..., None]).float().mean(), mlp(5)),
}  # fmt: skip


@pytest.mark.parametrize("name", LOSSES)
def test_parity_and_stock_operators(name):
    loss, parts = LOSSES[name]
    trained, graph = train(Function(loss, **parts), (), [Normalize()], x=X, y=IDS)
    trained.check(graph)
    check_operators(graph.operations(), frozenset())


@pytest.mark.parametrize("kind", ["llama", "qwen2"])
def test_parity_of_language_models(kind):
    model = language_model(kind, num_hidden_layers=2 if kind == "llama" else 1)
    graph = joint(model.forward_graph(), [Attention()], [Normalize()])
    model.check(graph)
    assert Normalize().run(graph) == 0
