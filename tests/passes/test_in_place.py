from __future__ import annotations

import pytest
import torch

from lowpeak_artifact.errors import UnsupportedOperator
from lowpeak_compiler.passes.in_place import make_functional
from tests.evaluate import GraphBuilder
from tests.passes.rules.apply import operators

aten = torch.ops.aten


def test_the_result_is_a_new_value():
    build = GraphBuilder()
    x = build.call(aten.exp.default, build.input("x", 3))
    graph = build.finish(build.call(aten.sum.default, build.call(aten.div_.Scalar, x, 2.0)))
    assert make_functional(graph) == 1
    assert operators(graph) == ["exp", "div.Scalar", "sum"]


def test_an_input_that_is_written_is_refused():
    build = GraphBuilder()
    graph = build.finish(build.call(aten.add_.Tensor, build.input("x", 3), 1))
    with pytest.raises(UnsupportedOperator, match=r"aten.add_.Tensor.*another name"):
        make_functional(graph)


@pytest.mark.parametrize("written_is_view", [True, False])
def test_memory_with_two_names_is_refused(written_is_view):
    build = GraphBuilder()
    x = build.call(aten.exp.default, build.input("x", 3))
    view = build.call(aten.view.default, x, [3, 1])
    written = build.call(aten.add_.Tensor, view if written_is_view else x, 1)
    graph = build.finish(build.call(aten.sum.default, written), x if written_is_view else view)
    with pytest.raises(UnsupportedOperator, match=r"write the result to a new tensor"):
        make_functional(graph)
