from __future__ import annotations

import pytest
import torch
from expecttest import assert_expected_inline

from lowpeak_compiler.ir.graph import Frozen, TrainGraph
from lowpeak_compiler.passes.fuse.attention import Attention
from lowpeak_compiler.passes.fuse.rotary import Rotary
from lowpeak_compiler.passes.normalize import Normalize
from tests.evaluate import GraphBuilder
from tests.models import joint, language_model

aten = torch.ops.aten
rotary = torch.ops.lowpeak.rotary.default


def turned(
    *, half: int = 2, sequences: int = 1, axis: int = 1, swapped: bool = False, frozen: bool = True
) -> TrainGraph:
    build = GraphBuilder()
    x = build.input("x", 1 if axis == 1 else 3, 2, 3, 4)
    tables = []
    for name in ("cos", "sin"):
        table = build.input(name, sequences, 3, 4, role=Frozen(name) if frozen else None)
        tables.append(build.call(aten.unsqueeze.default, table, axis))
    low = build.call(aten.slice.Tensor, x, 3, 0, half)
    high = build.call(aten.slice.Tensor, x, 3, half, 2**63 - 1)
    negative = build.call(aten.neg.default, low if swapped else high)
    other = build.call(aten.cat.default, [negative, high if swapped else low], -1)
    straight = build.call(aten.mul.Tensor, x, tables[0])
    return build.finish(build.call(aten.add.Tensor, straight, build.call(aten.mul.Tensor, other, tables[1])))


def test_golden():
    graph = turned()
    assert Rotary().run(graph) == 1
    graph.graph.eliminate_dead_code()
    assert_expected_inline(
        graph.dump(),
        """\
x: float32[1, 2, 3, 4] = adapter x
cos: float32[1, 3, 4] = frozen cos
sin: float32[1, 3, 4] = frozen sin
rotary_default: float32[1, 2, 3, 4] = lowpeak.rotary.default(x, cos, sin, False)
return rotary_default""",
    )


@pytest.mark.parametrize(
    "changes",
    [{"half": 1}, {"sequences": 2}, {"axis": 0}, {"swapped": True}, {"frozen": False}],
    ids=str,
)
def test_what_only_looks_like_it_stays(changes):
    assert Rotary().run(turned(**changes)) == 0


@pytest.mark.parametrize("kind", ["llama", "qwen2"])
def test_parity(kind):
    model = language_model(kind, batch=2)
    graph = joint(model.forward_graph(), [Attention(), Rotary()], [Normalize()])
    left = [node.target for node in graph.operations()]
    assert left.count(rotary) == 4 and aten.slice.Tensor not in left
    model.check(graph)
