"""Parts of a forward within torch.no_grad() have no gradient in the compiled step either."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import lowpeak
from lowpeak_artifact.errors import UnsupportedOperator


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


def detached_in_place(hidden: Tensor) -> Tensor:
    doubled = hidden * 2
    doubled.detach_()
    return hidden + doubled * hidden


def detached_and_kept(hidden: Tensor) -> Tensor:
    kept = (hidden * 1).detach_()
    return hidden * kept


def written_within(hidden: Tensor) -> Tensor:
    with torch.no_grad():
        other = torch.zeros_like(hidden)
        other[:2] = hidden[:2] * 2
    return hidden * other


def constant_written_into(hidden: Tensor) -> Tensor:
    other = (hidden * 2).detach()
    other[:2] = 3.0
    return hidden * other


@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize(
    "middle",
    [
        detached_in_place,
        detached_and_kept,
        written_within,
        constant_written_into,
        factor,
        several_results,
        with_gradient_within,
        straight_through,
    ],
)
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


def into_a_part(hidden: Tensor) -> Tensor:
    with torch.no_grad():
        other = torch.zeros_like(hidden)
    other[0] = hidden[0] * 2
    return other + hidden


def onto_all(hidden: Tensor) -> Tensor:
    with torch.no_grad():
        other = hidden * 1.0
    other.add_(hidden)
    return hidden * other


def onto_a_view_of_detached(hidden: Tensor) -> Tensor:
    other = (hidden * 2).detach()
    other.view(-1).sub_(hidden.reshape(-1))
    return other * hidden


@pytest.mark.parametrize("middle", [into_a_part, onto_all, onto_a_view_of_detached])
def test_a_gradient_written_into_a_tensor_without_one(middle: Callable[[Tensor], Tensor]) -> None:
    with pytest.raises(UnsupportedOperator, match="writes a value with a gradient into a tensor without one"):
        lowpeak.compile_for_device(
            Model(middle, False), 30, example_batch={"x": torch.randn(4, 8)}, target="simulator"
        )
