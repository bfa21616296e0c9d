"""Parts of a forward within torch.no_grad() have no gradient in the compiled step either."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import lowpeak
from compiler.errors import UnsupportedOperator


class Model(nn.Module):
    """`middle` is between two layers; `in_place` makes torch.export's decompositions run."""

    def __init__(self, middle: Callable[[Tensor], Tensor], in_place: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = nn.Linear(8, 8), nn.Linear(8, 1)
        self.register_buffer("scale", torch.full((8,), 1.5))
        self.middle, self.in_place = middle, in_place

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.first(x) * self.scale
        if self.in_place:
            hidden.add_(1.0)
        return self.last(self.middle(hidden)).square().mean()


def factor(hidden: Tensor) -> Tensor:
    with torch.no_grad():
        other = hidden.tanh() * torch.tensor(2.0)
    return hidden * other


def several_results(hidden: Tensor) -> Tensor:
    with torch.no_grad():
        left, right = (hidden + 1).split(4, -1)
        right.mul_(2.0)
    return hidden * torch.cat((right, left), -1)


def with_gradient_within(hidden: Tensor) -> Tensor:
    with torch.no_grad():
        other = hidden.exp()
        with torch.enable_grad():
            inner = hidden.sin()
        other = other + inner
    return hidden * other + inner


def straight_through(hidden: Tensor) -> Tensor:
    return hidden + (hidden.round() - hidden).detach()


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("middle", [factor, several_results, with_gradient_within, straight_through])
def test_gradients_are_those_of_eager(middle: Callable[[Tensor], Tensor], in_place: bool) -> None:
    model, batch = Model(middle, in_place), {"x": torch.randn(4, 8)}
    report = lowpeak.simulate(
        lowpeak.compile_for_device(model, 30, example_batch=batch, target="simulator"), reference=model
    )
    assert report.gradient_relative_error_max is not None and report.gradient_relative_error_max < 1e-5
    assert report.loss_relative_error is not None and report.loss_relative_error < 1e-5


def test_what_writes_into_a_tensor_from_outside() -> None:
    def middle(hidden: Tensor) -> Tensor:
        with torch.no_grad():
            hidden[:, :2].mul_(2.0)
        return hidden

    with pytest.raises(UnsupportedOperator, match=r"mul_.* changes a tensor within torch.no_grad"):
        lowpeak.compile_for_device(
            Model(middle, False), 30, example_batch={"x": torch.randn(4, 8)}, target="simulator"
        )
