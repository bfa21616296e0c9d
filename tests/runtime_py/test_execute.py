"""A scheduled graph of a few operations, run in its arena: what comes out, and which wrong plans are seen."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from torch import Tensor

from lowpeak_artifact.errors import ArtifactError, DataError
from lowpeak_artifact.scheduled import GraphInput, NodeRef, Operation, ScheduledGraph, TensorPlace
from lowpeak_runtime.simulate.execute import Execution, execute


def _place(offset: int | None, *shape: int, dtype: torch.dtype = torch.float32) -> TensorPlace:
    return TensorPlace(shape, dtype, offset, "activation")


def _offloading(offset: int) -> ScheduledGraph:
    """x is stored, its bytes are taken by another value, and it is loaded back elsewhere."""
    token, dtype = _place(0, 0, dtype=torch.uint8), torch.float32
    operations = [
        Operation("double", "aten.mul.Scalar", (NodeRef("x"), 2), {}, (_place(16, 4),), False, 0.0),
        Operation("token", "lowpeak.store.default", (NodeRef("double"), 3), {}, (token,), False, 0.0),
        Operation("other", "aten.neg.default", (NodeRef("x"),), {}, (_place(16, 4),), False, 0.0),
        Operation(
            "again",
            "lowpeak.load.default",
            (NodeRef("token"), offset, [4], dtype),
            {},
            (_place(32, 4),),
            False,
            0.0,
        ),
        Operation(
            "both", "aten.mul.Tensor", (NodeRef("again"), NodeRef("other")), {}, (_place(0, 4),), False, 0.0
        ),
        Operation("loss", "aten.sum.default", (NodeRef("both"),), {}, (_place(16),), False, 0.0),
    ]
    inputs = (GraphInput("x", "batch", "x", _place(0, 4)),)
    return ScheduledGraph(inputs, tuple(operations), ("loss",), (), 48)


def test_offloaded_values_come_back_from_a_file() -> None:
    batch = {"x": torch.tensor([1.0, 2.0, 3.0, 4.0])}
    run = execute(_offloading(3), batch, {}, batch.__getitem__, {})
    assert run.loss == -2.0 * (1 + 4 + 9 + 16)
    assert run.touched_bytes == 48
    with pytest.raises(ArtifactError, match="at 2 of the offload file, where 0 were"):
        execute(_offloading(2), batch, {}, batch.__getitem__, {})


def test_operations_that_cannot_run_are_named() -> None:
    graph = _offloading(3)
    wrong = dataclasses.replace(graph.operations[0], args=(NodeRef("x"), "2"))
    broken = dataclasses.replace(graph, operations=(wrong, *graph.operations[1:]))
    batch = {"x": torch.zeros(4)}
    with pytest.raises(ArtifactError, match=r"aten\.mul\.Scalar at double cannot be run"):
        execute(broken, batch, {}, batch.__getitem__, {})
    wrong = dataclasses.replace(graph.operations[0], tensors=(_place(16, 2),))
    broken = dataclasses.replace(graph, operations=(wrong, *graph.operations[1:]))
    with pytest.raises(ArtifactError, match="the graph says"):
        execute(broken, batch, {}, batch.__getitem__, {})


X = torch.tensor([1.0, 2.0, 3.0, 4.0])
A = torch.tensor([0.5, 0.25, 0.0, -1.0])
PLACES = {"x": 0, "a": 16, "scaled": 32, "loss": 48, "gradient": 32}


def _call(node: str, operator: str, *args: object, shape: tuple[int, ...] = (4,), **places: int) -> Operation:
    place = _place(places.get(node, PLACES[node]), *shape)
    return Operation(node, operator, args, {}, (place,), False, 0.0)


def _scaling(gradients_taken: bool = False, arena: int = 52, **places: int) -> ScheduledGraph:
    """loss = sum of x a, whose gradient is x, negated twice: it takes over the bytes of x a."""
    operations = (
        _call("scaled", "aten.mul.Tensor", NodeRef("x"), NodeRef("a"), **places),
        _call("loss", "aten.sum.default", NodeRef("scaled"), shape=(), **places),
        _call("gradient", "aten.mul.Scalar", NodeRef("x"), 1, **places),
    )
    inputs = (
        GraphInput("x", "batch", "x", _place(places.get("x", 0), 4)),
        GraphInput("a", "adapter", "the.a", dataclasses.replace(_place(16, 4), category="adapter")),
    )
    return ScheduledGraph(inputs, operations, ("loss", "gradient"), ("the.a",), arena, gradients_taken)


def _run(graph: ScheduledGraph, x: Tensor = X) -> Execution:
    return execute(graph, {"x": x}, {"the.a": A}, {}.__getitem__, {})


@pytest.mark.parametrize("taken", [False, True])
def test_loss_and_gradients_by_the_adapters_names(taken: bool) -> None:
    run = _run(_scaling(taken))
    assert run.loss == float((X * A).sum())
    assert run.gradients.keys() == {"the.a"} and torch.equal(run.gradients["the.a"], X)


def test_what_is_live_while_an_operation_runs() -> None:
    """Operands that die with it count, and its results; a value that nobody reads any more does not."""
    run = _run(_scaling())
    assert [(step.step, step.name, step.live_bytes) for step in run.timeline] == [
        (0, "scaled", 48),
        (1, "loss", 52),
        (2, "gradient", 52),
    ]
    assert run.timeline[0].live == {"activation": 32, "adapter": 16}
    assert run.touched_bytes == 52


def test_a_result_over_an_operand_that_dies_counts_once() -> None:
    run = _run(_scaling(gradient=0))
    assert torch.equal(run.gradients["the.a"], X)
    assert run.timeline[-1].live_bytes == 36


@pytest.mark.parametrize("places", [{"scaled": 0}, {"loss": 0}, {"loss": 8}])
def test_a_value_over_one_that_is_still_read_is_seen(places: dict[str, int]) -> None:
    """x is read by the last operation."""
    assert not torch.equal(_run(_scaling(**places)).gradients["the.a"], X)


def test_a_step_that_overwrites_the_adapter_is_refused() -> None:
    with pytest.raises(ArtifactError, match=r"overwrites the adapter tensor the\.a"):
        _run(_scaling(gradient=16))


def test_the_bytes_of_a_dead_value_are_poison() -> None:
    """x a dies with the loss: a gradient that is looked for in its bytes is no number."""
    graph = _scaling()
    dead = Operation("gradient", "aten.view.default", (NodeRef("x"), [4]), {}, (_place(32, 4),), True, 0.0)
    run = _run(dataclasses.replace(graph, operations=(*graph.operations[:2], dead)))
    assert run.gradients["the.a"].isnan().all()


@pytest.mark.parametrize("x", [torch.zeros(3), torch.zeros(4, dtype=torch.int64)])
def test_a_batch_of_another_shape_or_type(x: Tensor) -> None:
    with pytest.raises(DataError, match=r"takes batch x of shape \[4\] and type torch.float32, it is"):
        _run(_scaling(), x)
    with pytest.raises(DataError, match=r"batch x of shape .* it is missing"):
        execute(_scaling(), {}, {"the.a": A}, {}.__getitem__, {})
    with pytest.raises(ArtifactError, match=r"adapter the\.a of shape .* it is missing"):
        execute(_scaling(), {"x": X}, {}, {}.__getitem__, {})


def test_progress_is_told_after_each_operation() -> None:
    told: list[tuple[int, int]] = []
    execute(_scaling(), {"x": X}, {"the.a": A}, {}.__getitem__, {}, lambda *done: told.append(done))
    assert told == [(1, 3), (2, 3), (3, 3)]
