from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from lowpeak_artifact.errors import ModelError, UnsupportedOperator
from lowpeak_compiler.frontend.capture import capture
from lowpeak_compiler.ir.graph import Adapter, Batch, Frozen, TrainGraph
from tests.models import Function

SHAPES = {"x": ((3, 4), torch.float32)}


def captured(loss: Any, shapes: Any = None, **parts: nn.Module) -> TrainGraph:
    return capture(Function(loss, **parts), shapes or SHAPES)


def test_roles_and_loss():
    frozen = nn.Linear(4, 4).requires_grad_(False)
    graph = captured(lambda m, x: m.a(m.frozen(x)).mean(), frozen=frozen, a=nn.Linear(4, 2))
    assert set(graph.roles.values()) == {
        Batch("x"), Adapter("a.weight"), Adapter("a.bias"), Frozen("frozen.weight"), Frozen("frozen.bias"),
    }  # fmt: skip
    assert [tuple(node.meta["val"].shape) for node in graph.results] == [()]


def test_outputs_behind_the_loss_go():
    graph = captured(lambda m, x: (m.a(x).mean(), m.a(x) * 2), a=nn.Linear(4, 2))
    assert len(graph.results) == 1


def test_frozen_tensors_that_the_loss_does_not_read_go():
    unused = nn.Linear(4, 4).requires_grad_(False)
    graph = captured(lambda m, x: m.a(x).mean(), unused=unused, a=nn.Linear(4, 2))
    assert not any(isinstance(role, Frozen) for role in graph.roles.values())


def test_the_prefix_is_taken_off():
    graph = capture(Function(lambda m, x: m.a(x).mean(), a=nn.Linear(4, 2)), SHAPES, prefix="a.")
    assert {role.name for role in graph.roles.values()} == {"x", "weight", "bias"}


def test_half_precision_weights_are_captured_as_float32():
    graph = captured(lambda m, x: m.a(x).mean(), a=nn.Linear(4, 2).bfloat16())
    assert {node.meta["val"].dtype for node, _ in graph.inputs()} == {torch.float32}


def test_nothing_to_train():
    with pytest.raises(ModelError, match=r"no trainable parameter") as caught:
        captured(lambda m, x: m.a(x).mean(), a=nn.Linear(4, 2).requires_grad_(False))
    assert caught.value.numbers == {"trainable_parameters": 0}


def test_a_loss_that_is_no_scalar():
    with pytest.raises(ModelError, match=r"scalar loss.*\(3, 2\)"):
        captured(lambda m, x: m.a(x), a=nn.Linear(4, 2))


def test_batch_norm_in_train_mode():
    with pytest.raises(ModelError, match=r"changes 3 buffer.*norm.*eval mode"):
        captured(lambda m, x: m.norm(m.a(x)).mean(), a=nn.Linear(4, 2), norm=nn.BatchNorm1d(2))


def test_batch_norm_in_eval_mode():
    captured(lambda m, x: m.norm(m.a(x)).mean(), a=nn.Linear(4, 2), norm=nn.BatchNorm1d(2).eval())


def test_control_flow_that_depends_on_data():
    with pytest.raises(ModelError, match=r"torch.export cannot follow.*Data-dependent"):
        captured(lambda m, x: m.a(x).mean() if x.sum() > 0 else m.a(-x).mean(), a=nn.Linear(4, 2))


def test_a_forward_that_does_not_take_the_batch():
    with pytest.raises(ModelError, match=r"cannot follow"):
        captured(lambda m, y: m.a(y).mean(), a=nn.Linear(4, 2))


@pytest.mark.parametrize("in_place", [False, True])
def test_an_operator_that_is_no_operator_says_where(in_place: bool) -> None:
    def loss(m: nn.Module, x: torch.Tensor) -> torch.Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            y = m.a(x)
        return (y.float() * 2).add_(1).mean() if in_place else y.float().mean()

    with pytest.raises(UnsupportedOperator, match=r"autocast.*in 'the model itself' is no operator"):
        captured(loss, a=nn.Linear(4, 2))


def test_values_taken_out_of_the_computation() -> None:
    with pytest.raises(UnsupportedOperator, match=r"takes a tensor \[3, 2\] out of its computation.*detach"):
        captured(lambda m, x: (m.a(x) * m.a(x).data).mean(), a=nn.Linear(4, 2))


def test_detach_stays_in_the_forward():
    graph = captured(lambda m, x: (m.a(x).detach() * m.a(x)).mean(), a=nn.Linear(4, 2))
    assert any("detach" in str(node.target) for node in graph.operations())


def test_nothing_writes_into_an_operand():
    graph = captured(lambda m, x: m.a(x).contiguous().add_(1).mean(), a=nn.Linear(4, 2))
    assert [str(node.target) for node in graph.operations()][1:2] == ["aten.add.Tensor"]


def test_a_number_that_the_data_decide():
    def loss(m: nn.Module, x: torch.Tensor) -> torch.Tensor:
        return m.a(x)[(x > 0).nonzero()[:, 0]].mean()

    with pytest.raises(UnsupportedOperator, match=r"nonzero.* depends on the data"):
        captured(loss, a=nn.Linear(4, 2))


def test_a_loop_without_end_is_stopped() -> None:
    def loss(m: nn.Module, x: torch.Tensor) -> torch.Tensor:
        for _ in range(10**9):
            x = m.a(x)
        return x.mean()

    with pytest.raises(ModelError, match=r"the forward calls its 2 modules over 2040 times: a number of"):
        captured(loss, a=nn.Linear(4, 4))
