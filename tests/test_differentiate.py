from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lowpeak_artifact.errors import ModelError, UnsupportedOperator
from lowpeak_compiler.ir.graph import TrainGraph
from lowpeak_compiler.passes.fuse.attention import Attention
from lowpeak_compiler.passes.normalize import Normalize
from tests.models import Function, train

X = torch.randn(2, 6, 8, generator=torch.Generator().manual_seed(5))
MASK = torch.rand(6, 6, generator=torch.Generator().manual_seed(6)) > 0.5
MASK.fill_diagonal_(True)


def projections() -> dict[str, nn.Module]:
    torch.manual_seed(0)
    # A bias of the keys has no gradient: softmax does not see it.
    return {name: nn.Linear(8, 8 if name in "qo" else 4, bias=name != "k") for name in "qkvo"}


def attend(m: nn.Module, x: Tensor, **options: object) -> Tensor:
    """Two query heads that share a key head, or with enable_gqa off a copy of it."""
    q, k, v = (getattr(m, n)(x).view(2, 6, -1, 4).transpose(1, 2) for n in "qkv")
    if not options.get("enable_gqa"):
        k, v = k.expand(-1, 2, -1, -1), v.expand(-1, 2, -1, -1)
    out = F.scaled_dot_product_attention(q, k, v, **options)  # type: ignore[arg-type]
    return m.o(out.transpose(1, 2).flatten(2)).pow(2).mean()  # type: ignore[operator]


def targets_of(graph: TrainGraph) -> set[str]:
    return {str(node.target) for node in graph.operations()}


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"is_causal": True}, id="causal"),
        pytest.param({"is_causal": True, "enable_gqa": True}, id="causal, shared heads"),
        pytest.param({}, id="every key"),
        pytest.param({"attn_mask": MASK}, id="mask"),
        pytest.param({"scale": 0.2}, id="scale"),
    ],
)
def test_gradients_of_attention_are_right(options, fused):
    module = Function(lambda m, x: attend(m, x, **options), **projections())
    trained, graph = train(module, [Attention()] if fused else [], [Normalize()], x=X)
    trained.check(graph)
    assert not any("flash" in target for target in targets_of(graph))
    is_fused = "lowpeak.causal_attention.default" in targets_of(graph)
    assert is_fused is (fused and "is_causal" in options)


def test_only_trainable_parameters_get_gradients():
    torch.manual_seed(0)
    frozen = nn.Linear(8, 8).requires_grad_(False)
    module = Function(
        lambda m, x: m.b(torch.tanh(m.a(m.frozen(x)))).sum(),
        frozen=frozen,
        a=nn.Linear(8, 4),
        b=nn.Linear(4, 1),
    )
    trained, graph = train(module, (), [Normalize()], x=X)
    assert graph.gradients == ("a.weight", "a.bias", "b.weight", "b.bias")
    trained.check(graph)


def test_a_parameter_used_twice_gets_the_sum():
    torch.manual_seed(0)
    module = Function(lambda m, x: m.a(torch.tanh(m.a(x))).pow(2).mean(), a=nn.Linear(8, 8))
    trained, graph = train(module, (), [Normalize()], x=X)
    trained.check(graph)


def test_tied_trainable_parameters_are_one():
    torch.manual_seed(0)
    a, b = nn.Linear(8, 8), nn.Linear(8, 8)
    b.weight = a.weight
    module = Function(lambda m, x: m.b(torch.tanh(m.a(x))).pow(2).mean(), a=a, b=b)
    trained, graph = train(module, (), [Normalize()], x=X)
    weights = [name for name in graph.gradients if name.endswith("weight")]
    assert weights == ["a.weight"]
    loss, *gradients = trained.evaluate(graph)
    module(x=X).backward()
    found = dict(zip(graph.gradients, gradients, strict=True))
    assert torch.allclose(found["a.weight"], module.a.weight.grad, rtol=1e-5)
    assert loss.shape == ()


def test_a_parameter_without_gradient_is_named():
    module = Function(lambda m, x: m.a(x).sum(), a=nn.Linear(8, 8), unused=nn.Linear(2, 2))
    with pytest.raises(
        ModelError, match=r"2 trainable parameter\(s\) get no gradient, first 'unused.weight'"
    ) as caught:
        train(module, x=X)
    assert caught.value.numbers == {"parameters_without_gradient": 2}


def test_a_loss_without_any_gradient_is_refused():
    module = Function(lambda m, x: m.a(x).detach().sum(), a=nn.Linear(8, 8))
    with pytest.raises(ModelError, match=r"first 'a.weight'"):
        train(module, x=X)


def test_a_loss_with_one_element_is_a_scalar():
    module = Function(lambda m, x: m.a(x).sum()[None], a=nn.Linear(8, 8))
    trained, graph = train(module, (), [Normalize()], x=X)
    trained.check(graph)


def test_a_view_of_fused_attention():
    """The in-place operator lets the strides of attention's flash kernel into the graph."""

    def loss(m: nn.Module, x: Tensor) -> Tensor:
        heads = m.a(x).view(2, 6, 2, 4).transpose(1, 2)
        out = nn.functional.scaled_dot_product_attention(heads, heads, heads, is_causal=True)
        return (out.transpose(1, 2).reshape(2, 6, 8) * m.a(x).clone().add_(1)).mean()

    trained, graph = train(Function(loss, a=nn.Linear(8, 8)), [Attention()], x=torch.randn(2, 6, 8))
    trained.check(graph)


def test_a_part_that_is_written_in_place():
    def loss(m: nn.Module, x: Tensor) -> Tensor:
        y = m.a(x).clone()
        y[:, 1] = y[:, 0] * 3
        return (y**2).mean()

    trained, graph = train(Function(loss, a=nn.Linear(8, 8)), x=torch.randn(2, 6, 8))
    trained.check(graph)


def test_convolutions_of_frozen_weights():
    def loss(m: nn.Module, x: Tensor) -> Tensor:
        return (m.last(m.first(m.a(x).transpose(1, 2))[..., :9]) ** 2).mean()

    first = nn.Conv1d(4, 4, 3, padding=2, groups=4).requires_grad_(False)
    last = nn.Conv1d(4, 6, 3, stride=2, padding=1, dilation=2).requires_grad_(False)
    module = Function(loss, a=nn.Linear(4, 4), first=first, last=last)
    trained, graph = train(module, x=torch.randn(2, 9, 4))
    trained.check(graph)
    assert not any("backward" in str(node.target) for node in graph.operations())


def test_a_convolution_whose_bias_alone_is_trained_is_refused():
    convolution = nn.Conv1d(4, 4, 3)
    convolution.weight.requires_grad_(False)
    module = Function(lambda m, x: (m.c(m.a(x)) ** 2).mean(), c=convolution, a=nn.Linear(9, 9))
    with pytest.raises(UnsupportedOperator, match=r"convolution_backward.*2 of its 3 results"):
        train(module, x=torch.randn(2, 4, 9))


def test_an_operator_without_a_derivative_is_told_in_one_line():
    module = Function(lambda m, x: torch.igamma(m.a(x).abs(), x.abs()).sum(), a=nn.Linear(8, 8))
    with pytest.raises(ModelError, match=r"backward cannot be computed: .*igamma") as caught:
        train(module, x=torch.randn(2, 8))
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is not None
