"""Gradients that a model sets itself are refused: the compiled step would have others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import lowpeak
from lowpeak_artifact.errors import ModelError
from lowpeak_compiler.frontend.autograd_only import refusing_own_gradients
from lowpeak_compiler.frontend.capture import capture


class Rounded(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.round()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return grad


class Model(nn.Module):
    def __init__(self, middle: Callable[[Tensor], Tensor] = lambda x: x) -> None:
        super().__init__()
        self.first, self.middle = nn.Linear(8, 8), middle

    def forward(self, x: Tensor) -> Tensor:
        return self.middle(self.first(x)).square().mean()


def compile_it(model: nn.Module) -> None:
    lowpeak.compile_for_device(model, 30, example_batch={"x": torch.randn(2, 8)}, target="simulator")


def hooked(x: Tensor) -> Tensor:
    doubled = x * 2
    doubled.register_hook(lambda grad: grad * 3)
    return doubled


def test_a_function_with_its_own_backward() -> None:
    with pytest.raises(ModelError, match="Rounded of the model has a backward of its own"):
        compile_it(Model(Rounded.apply))


@torch.library.custom_op("lowpeak_test::cube", mutates_args=())
def cube(x: Tensor) -> Tensor:
    return x**3


@cube.register_fake
def _(x: Tensor) -> Tensor:
    return torch.empty_like(x)


cube.register_autograd(
    lambda ctx, grad: grad * 3 * ctx.saved_tensors[0] ** 2,
    setup_context=lambda ctx, inputs, output: ctx.save_for_backward(*inputs),
)


def test_an_operator_brings_its_gradient_along() -> None:
    graph = capture(Model(lambda x: cube(x)), {"x": ((2, 8), torch.float32)})
    assert torch.ops.lowpeak_test.cube.default in {node.target for node in graph.operations()}


def test_a_hook_on_a_tensor() -> None:
    with pytest.raises(ModelError, match=r"hooks into the gradient of a tensor \[2, 8\]"):
        compile_it(Model(hooked))


def test_a_hook_on_a_module() -> None:
    model = Model()
    model.first.register_full_backward_hook(lambda module, grads, outputs: (grads[0] * 2,))
    with pytest.raises(ModelError, match="has a backward of its own"):
        compile_it(model)


def test_hooks_on_parameters() -> None:
    for register in (nn.Parameter.register_hook, nn.Parameter.register_post_accumulate_grad_hook):
        model = Model()
        register(model.first.weight, lambda tensor: None)
        with pytest.raises(ModelError, match=r"first\.weight has a hook that sees its gradient"):
            compile_it(model)


def test_torch_is_as_before_afterwards() -> None:
    register = Tensor.register_hook
    with pytest.raises(ZeroDivisionError), refusing_own_gradients():
        raise ZeroDivisionError
    assert Tensor.register_hook is register
    assert Rounded.apply(torch.tensor(1.6)) == 2
