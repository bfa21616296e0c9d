from __future__ import annotations

import pytest
import torch
from expecttest import assert_expected_inline

from lowpeak_compiler.passes.fuse.attention import Attention
from lowpeak_compiler.passes.fuse.swiglu import Swiglu
from lowpeak_compiler.passes.normalize import Normalize
from tests.evaluate import GraphBuilder
from tests.models import joint, language_model

aten = torch.ops.aten


@pytest.mark.parametrize("first", [False, True])
def test_golden(first):
    build = GraphBuilder()
    gate, up = build.input("gate", 2, 3), build.input("up", 2, 3)
    silu = build.call(aten.silu.default, gate)
    graph = build.finish(build.call(aten.mul.Tensor, *((silu, up) if first else (up, silu))))
    assert Swiglu().run(graph) == 1
    graph.graph.eliminate_dead_code()
    assert_expected_inline(
        graph.dump(),
        """\
gate: float32[2, 3] = adapter gate
up: float32[2, 3] = adapter up
swiglu_default: float32[2, 3] = lowpeak.swiglu.default(gate, up)
return swiglu_default""",
    )


def test_a_gate_of_another_shape_stays():
    build = GraphBuilder()
    silu = build.call(aten.silu.default, build.input("gate", 1, 3))
    graph = build.finish(build.call(aten.mul.Tensor, silu, build.input("up", 2, 3)))
    assert Swiglu().run(graph) == 0


@pytest.mark.parametrize("kind", ["llama", "qwen2"])
def test_parity(kind):
    model = language_model(kind, batch=2)
    graph = joint(model.forward_graph(), [Attention(), Swiglu()], [Normalize()])
    left = {node.target for node in graph.operations()}
    assert torch.ops.lowpeak.swiglu_backward.default in left and aten.sigmoid.default not in left
    model.check(graph)
