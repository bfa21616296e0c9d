from __future__ import annotations

import pytest
import torch
from expecttest import assert_expected_inline
from torch import Tensor, nn

from lowpeak_compiler.frontend.capture import capture
from lowpeak_compiler.ir.graph import TrainGraph
from lowpeak_compiler.passes.fuse.attention import Attention
from lowpeak_compiler.passes.fuse.rms_norm import RmsNorm
from lowpeak_compiler.passes.normalize import Normalize
from tests.models import joint, language_model, train

norm = torch.ops.lowpeak.rms_norm.default


class Norm(nn.Module):
    """A loss of an RMSNorm of a learned x; `weight_learns` and `axis` are what the pass looks at."""

    def __init__(self, weight_learns: bool = False, axis: int = -1) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.x = nn.Parameter(torch.randn(3, 4))
        self.weight = nn.Parameter(torch.rand(4) + 0.5, requires_grad=weight_learns)
        self.axis = axis

    def forward(self, y: Tensor) -> Tensor:
        x = self.x * y
        root = torch.rsqrt(x.pow(2).mean(self.axis, keepdim=True) + 1e-6)
        return (self.weight * (x * root)).sin().sum()


def forward(module: nn.Module) -> TrainGraph:
    return capture(module, {"y": ((3, 4), torch.float32)})


def test_golden():
    graph = forward(Norm())
    assert RmsNorm().run(graph) == 1
    graph.graph.eliminate_dead_code()
    assert_expected_inline(
        graph.dump(),
        """\
p_x: float32[3, 4] = adapter x
p_weight: float32[4] = frozen weight
y: float32[3, 4] = batch y
mul: float32[3, 4] = aten.mul.Tensor(p_x, y)
rms_norm_default: float32[3, 4], float32[3, 1] = lowpeak.rms_norm.default(mul, p_weight, 1e-06)
getitem: float32[3, 4] = getitem(rms_norm_default, 0)
sin: float32[3, 4] = aten.sin.default(getitem)
sum_1: float32[] = aten.sum.default(sin)
return sum_1""",
    )


@pytest.mark.parametrize("module", [Norm(weight_learns=True), Norm(axis=0)], ids=["weight", "axis"])
def test_other_norms_stay(module):
    assert RmsNorm().run(forward(module)) == 0


def test_loss_and_gradient():
    trained, graph = train(Norm(), [RmsNorm()], [Normalize()], y=torch.randn(3, 4))
    assert any(node.target is norm for node in graph.operations())
    trained.check(graph)


@pytest.mark.parametrize("kind", ["llama", "qwen2"])
def test_parity(kind):
    model = language_model(kind, batch=2)
    graph = joint(model.forward_graph(), [Attention(), RmsNorm()], [Normalize()])
    left = [node.target for node in graph.operations()]
    assert left.count(norm) == 3 and torch.ops.aten.rsqrt.default not in left
    model.check(graph)
