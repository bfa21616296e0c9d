from __future__ import annotations

import torch

from lowpeak_compiler.ir.graph import Constant
from lowpeak_compiler.passes.fuse.constant_value import constant_value
from tests.evaluate import GraphBuilder

aten = torch.ops.aten


def test_what_depends_on_constants_only():
    build = GraphBuilder()
    table = build.input("table", 3, role=Constant("table", torch.tensor([1.0, 2.0, 3.0])))
    twice = build.call(aten.mul.Scalar, build.call(aten.add.Tensor, table, table), 2)
    graph = build.finish(twice)
    assert torch.equal(constant_value(graph, twice), torch.tensor([4.0, 8.0, 12.0]))


def test_what_depends_on_an_input_or_on_chance():
    build = GraphBuilder()
    x = build.input("x", 3)
    product = build.call(aten.mul.Scalar, x, 2)
    noise = build.call(aten.rand.default, [3], device=torch.device("cpu"))
    graph = build.finish(product)
    assert constant_value(graph, product) is None
    assert constant_value(graph, noise) is None
