from __future__ import annotations

import pytest
import torch
from expecttest import assert_expected_inline

from lowpeak_compiler.ir.graph import Adapter, Batch, Constant, Frozen, TrainGraph, operator_name, place_of
from tests.evaluate import GraphBuilder

aten = torch.ops.aten


def small() -> TrainGraph:
    build = GraphBuilder()
    a, x = build.input("a", 2, 3), build.input("x", 2, 3, role=Batch("x"))
    build.input("unused", 4, role=Frozen("unused"))
    graph = build.finish(build.call(aten.sum.default, build.call(aten.add.Tensor, a, x, alpha=2)), a)
    graph.gradients = ("a",)
    return graph


def test_dump():
    assert_expected_inline(
        small().dump(),
        """\
a: float32[2, 3] = adapter a
x: float32[2, 3] = batch x
unused: float32[4] = frozen unused
add_tensor: float32[2, 3] = aten.add.Tensor(a, x, alpha=2)
sum_default: float32[] = aten.sum.default(add_tensor)
return sum_default, a""",
    )


def test_a_whole_graph_is_valid():
    small().verify()


def test_inputs_stand_before_operations():
    graph = small()
    first = graph.operations()[0]
    with graph.graph.inserting_after(first):
        late = graph.graph.placeholder("late")
    late.meta["val"] = first.meta["val"]
    graph.roles["late"] = Frozen("late")
    with pytest.raises(AssertionError, match="late stands after an operation"):
        graph.verify()


def test_operations_do_not_change_their_operands():
    graph = small()
    graph.operations()[0].target = aten.add_.Tensor
    with pytest.raises(AssertionError, match="changes its operand"):
        graph.verify()


def test_every_operation_has_a_value():
    graph = small()
    del graph.operations()[0].meta["val"]
    with pytest.raises(AssertionError, match="has no value"):
        graph.verify()


def test_a_gradient_has_the_shape_of_its_tensor():
    graph = small()
    graph.output.args = ((graph.results[0], graph.results[0]),)
    with pytest.raises(AssertionError, match="gradient of a"):
        graph.verify()


def test_a_loss_is_one_number():
    graph = small()
    graph.output.args = ((graph.results[1], graph.results[1]),)
    with pytest.raises(AssertionError, match="loss has shape"):
        graph.verify()


def test_an_input_has_a_role():
    graph = small()
    del graph.roles["unused"]
    with pytest.raises((AssertionError, KeyError), match="unused"):
        graph.verify()


def test_equal_constants_are_one_input():
    graph = small()
    value = next(graph.inputs())[0].meta["val"]
    first = graph.add_input(Constant("c", torch.zeros(2)), value, "c")
    assert graph.add_input(Constant("c", torch.zeros(2)), value, "c") is first
    assert graph.add_input(Constant("d", torch.zeros(2)), value, "d") is not first
    assert [node.name for node, _ in graph.inputs()] == ["a", "x", "unused", "c", "d"]


def test_unused_frozen_inputs_go_and_batch_and_adapter_stay():
    graph = small()
    graph.output.args = ((graph.results[0],),)
    graph.drop_unused_inputs()
    assert list(graph.roles.values()) == [Adapter("a"), Batch("x")]


def test_names_and_places():
    node = small().operations()[0]
    assert operator_name(node) == "aten.add.Tensor"
    assert place_of(node) == "the backward of the model"
    node.meta["nn_module_stack"] = {"outer": ("model", object), "inner": ("model.layers.0", object)}
    assert place_of(node) == "model.layers.0"
